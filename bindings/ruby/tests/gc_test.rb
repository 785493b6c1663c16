# frozen_string_literal: true

require_relative "helper"

# The garbage collector runs all the time, and finds locks without a release.
class GcTest < Test
  def test_collecting_all_the_time_while_waiting
    holding do
      thread = waiting
      GC.stress = true
      refute ConsulLock::Lock.new(key, acquire_timeout: 0.5).try_acquire
      ConsulLock.hold("#{key}-other") { |lock| lock.on_lost { nil } }
      assert_equal full_key, ConsulLock::Lock.new(key).key
      assert_equal "node", ConsulLock.holder(key).node
      thread.kill.join
    ensure
      GC.stress = false
    end
    assert_nothing_left
  end

  # GC.compact of Ruby 3.1 reads what is left on the stacks of threads, and the parser of rbs 2.1 does not survive a
  # compaction. So a program compacts that has loaded nothing but this gem, and not the process of these tests.
  def test_a_notice_finds_its_lock_after_compaction
    told = compacting(<<~'RUBY') { Consul.delete(full_key) }
      told = Thread::Queue.new
      lock = ConsulLock::Lock.new(ARGV[0], monitor: false)
      lock.on_lost { |reason| told << reason }
      GC.compact
      lock.acquire
      puts "held"
      $stdin.gets
      GC.compact
      begin
        lock.check
      rescue ConsulLock::LostError
        puts told.pop
      end
    RUBY
    assert_equal "key_gone\n", told
  end

  # Many blocks for one lock: a compaction must find nothing of the former ones.
  def test_compaction_after_any_number_of_blocks
    ruby!(<<~'RUBY', key)
      lock = ConsulLock::Lock.new(ARGV[0])
      (1..70).each do
        lock.on_lost { nil }
        GC.compact
      end
    RUBY
  end

  def test_observers_and_compaction
    told = compacting(<<~'RUBY') { nil }
      told = Thread::Queue.new
      GC.stress = true
      observer = ConsulLock.observe(ARGV[0]) { |holder| told << holder }
      told.pop
      GC.stress = false
      GC.compact
      puts "observed"
      $stdin.gets
      ConsulLock.hold(ARGV[0]) { |lock| puts(told.pop.session == lock.session_id) }
      observer.close
    RUBY
    assert_equal "true\n", told
  end

  # Runs a program that says when it stands still, and then goes on. Returns what else it says.
  def compacting(program)
    program = "$stdout.sync = true\n#{program}"
    command = [RbConfig.ruby, "-I", File.join(ROOT, "lib"), "-rconsul_lock", "-e", program, key]
    told = IO.popen(command, "r+") do |io|
      assert io.wait_readable(60) && io.gets, "it never says that it stands still"
      yield
      io.puts
      Timeout.timeout(60) { io.read }
    end
    assert_predicate Process.last_status, :success?
    told
  end

  def test_a_dropped_lock_is_abandoned_with_one_warning
    out, complaints, status = ruby(<<~'RUBY', key)
      def drop = ConsulLock::Lock.new(ARGV[0]).acquire
      def clutter = Array.new(1000) { |number| number.to_s }

      drop
      clutter
      4.times { GC.start }
      puts ConsulLock.stats[:held], ConsulLock.holder(ARGV[0]).session
    RUBY
    assert_predicate status, :success?
    assert_equal ["0", Consul.session_on(full_key)], out.split("\n")
    assert_equal ["consul_lock: the lock \"#{full_key}\" was dropped without a release: it stays in Consul until its " \
                  "life ends\n"], complaints.lines
    Consul.end_session_of(full_key)
  end

  def test_the_warning_goes_to_the_logger
    out, complaints, = ruby(<<~'RUBY', key)
      require "logger"
      ConsulLock.logger = Logger.new($stdout)
      LOCK = ConsulLock::Lock.new(ARGV[0])
      LOCK.acquire
    RUBY
    assert_empty complaints
    assert_match(/WARN -- consul_lock: the lock .*#{key}.* was dropped/, out)
    Consul.end_session_of(full_key)
  end

  # A dropped lock that the library went on renewing would stay for ever.
  def test_a_logger_that_fails_does_not_keep_a_dropped_lock
    out, = ruby(<<~'RUBY', key)
      require "logger"
      require "timeout"
      ConsulLock.logger = Class.new(Logger) { def warn(*) = raise("own") }.new($stderr, level: :fatal)
      def drop = ConsulLock::Lock.new(ARGV[0], lock_timeout: 10, auto_renew: true).acquire
      def clutter = Array.new(1000) { |number| number.to_s }

      drop
      puts ConsulLock.stats[:held]
      clutter
      Timeout.timeout(10) { GC.start until ConsulLock.stats[:held].zero? }
      puts ConsulLock.stats[:held]
    RUBY
    assert_equal "1\n0\n", out
    Consul.end_session_of(full_key)
  end

  def test_a_released_or_closed_lock_causes_no_warning
    ruby!(<<~'RUBY', key)
      def used(way) = ConsulLock::Lock.new("#{ARGV[0]}-#{way}").tap(&:acquire).public_send(way)
      ConsulLock.hold(ARGV[0]) {}
      %i[release close abandon].each { |way| used(way) }
      ConsulLock::Lock.new(ARGV[0])
      4.times { GC.start }
    RUBY
    Consul.end_session_of("#{full_key}-abandon")
  end
end
