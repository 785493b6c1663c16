# frozen_string_literal: true

require_relative "helper"

# The garbage collector runs all the time, and finds locks without a release.
class GcTest < Test
  def test_collecting_all_the_time_while_waiting
    holding do
      thread = waiting
      GC.stress = true
      refute ConsulLock::Lock.new(key, acquire_timeout: 0.05).try_acquire
      ConsulLock.hold("#{key}-other") { |lock| lock.on_lost { nil } }
      assert_equal full_key, ConsulLock::Lock.new(key).key
      assert_equal "node", ConsulLock.holder(key).node
      thread.kill.join
    ensure
      GC.stress = false
    end
    assert_nothing_left
  end

  def test_a_notice_finds_its_lock_after_compaction
    told = Thread::Queue.new
    lock = ConsulLock::Lock.new(key, monitor: false)
    lock.on_lost { |reason| told << reason }
    GC.compact
    lock.acquire
    Consul.delete(full_key)
    GC.compact
    assert_raises(ConsulLock::LostError) { lock.check }
    assert_equal :key_gone, Timeout.timeout(10) { told.pop }
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
