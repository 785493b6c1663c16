# frozen_string_literal: true

require_relative "helper"

# Notices of losses, and lines of the log.
class NoticeTest < Test
  def setup
    @told = Thread::Queue.new
  end

  def teardown
    ConsulLock.logger = nil
  end

  # Loses a lock, which the block prepares. The test keeps the lock, as a dropped lock gets no notice.
  def lose(lock = ConsulLock::Lock.new(key, monitor: false))
    @kept = lock
    yield lock if block_given?
    lock.acquire
    Consul.delete(full_key)
    assert_raises(ConsulLock::LostError) { lock.check }
    lock
  end

  def assert_told(expected)
    assert_equal expected, Timeout.timeout(10) { @told.pop }
  end

  def test_a_loss_calls_the_block_once_with_the_reason
    lock = lose { |it| assert_same it, it.on_lost { |reason| @told << reason } }
    assert_told :key_gone
    assert_raises(ConsulLock::LostError) { lock.release }
    assert_empty @told
  end

  def test_an_ended_session
    lock = ConsulLock::Lock.new(key, monitor: false)
    lock.on_lost { |reason| @told << reason }
    lock.acquire
    Consul.end_session_of(full_key)
    assert_raises(ConsulLock::LostError) { lock.renew }
    assert_told :session_gone
  end

  def test_a_watched_lock_gets_the_notice_at_once
    holding do |lock|
      lock.on_lost { |reason| @told << reason }
      sleep 1.3
      Consul.delete(full_key)
      assert_told :key_gone
      assert_equal [true, false], [lock.lost?, lock.held?]
    end
  rescue ConsulLock::LostError
    nil
  end

  def test_on_lost_after_the_loss_calls_the_block
    lose.on_lost { |reason| @told << reason }
    assert_told :key_gone
  end

  def test_the_last_block_counts
    lose do |lock|
      lock.on_lost { @told << :first }
      lock.on_lost { @told << :second }
    end
    assert_told :second
    assert_empty @told
  end

  # The notice for the former block is on its way already.
  def test_a_notice_that_comes_late_is_not_for_the_next_block
    lock = ConsulLock::Lock.new(key)
    handle = lock.instance_variable_get(:@handle)
    notices = %i[first second].map do |block|
      lock.on_lost { @told << block }
      handle.instance_variable_get(:@notice)
    end
    notices.first.call(:expired)
    assert_empty @told
    2.times { notices.last.call(:expired) }
    assert_told :second
    assert_empty @told
  end

  def test_it_is_another_thread
    lose { |lock| lock.on_lost { @told << Thread.current } }
    refute_same Thread.current, thread = @told.pop
    assert_equal "consul_lock", thread.name
  end

  def test_the_block_may_use_the_lock
    lose { |lock| lock.on_lost { @told << assert_raises(ConsulLock::LostError) { lock.release }.status } }
    assert_told :lost
  end

  def test_a_released_lock_is_not_lost
    %i[release close].each do |way|
      lock = ConsulLock::Lock.new(key)
      lock.on_lost { @told << :lost }
      lock.acquire
      lock.public_send(way)
    end
    lose { |lock| lock.on_lost { @told << :after } }
    assert_told :after
  end

  # A block that refers to its lock does not keep the lock alive.
  def test_locks_and_blocks_do_not_pile_up
    count = lambda do
      GC.start
      ObjectSpace.each_object(ConsulLock::Lock).count
    end
    before = count.call
    100.times do
      lock = ConsulLock::Lock.new(key)
      lock.on_lost { lock.close }
    end
    wait_until("they are collected") { count.call <= before + 10 }
  end

  def test_what_a_block_raises_is_a_warning
    _, complaints = capture_io do
      lose { |lock| lock.on_lost { (@told << :first) && raise(NotImplementedError, "own") } }
      assert_told :first
      @key = nil
      lose { |lock| lock.on_lost { @told << :second } }
      assert_told :second
    end
    assert_includes complaints, "consul_lock: a block of on_lost or observe, or the logger, raised: "
    assert_includes complaints, "own (NotImplementedError)"
  end

  def test_a_closed_standard_error_ends_no_notices
    before = $stderr
    reader, $stderr = IO.pipe
    [reader, $stderr].each(&:close)
    # Both blocks are registered before the first notice, because on_lost would start the thread again.
    locks = %i[first second].map do |name|
      lock = ConsulLock::Lock.new(key, monitor: false)
      lock.on_lost { (@told << name) && raise("own") }.acquire
      @key = nil
      lock
    end
    locks.zip(%i[first second]) do |lock, name|
      Consul.delete(lock.key)
      assert_raises(ConsulLock::LostError) { lock.check }
      assert_told name
    end
  ensure
    $stderr = before
  end

  # A thread inherits the mask of the thread that starts it.
  def test_a_mask_of_the_callers_does_not_keep_the_thread_alive
    out = ruby!(<<~'RUBY', key)
      lock = ConsulLock::Lock.new(ARGV[0])
      Thread.handle_interrupt(Object => :never) { lock.on_lost { nil } }
      thread = Thread.list.find { |it| it.name == "consul_lock" }
      $stdout.syswrite(thread.kill.join(5) ? "it ended" : "it goes on")
      exit! 0 # an exit would wait for the thread
    RUBY
    assert_equal "it ended", out
  end

  def test_a_block_may_end_the_program
    out, complaints, status = ruby(<<~'RUBY', key)
      require "net/http"
      ConsulLock.hold(ARGV[0], monitor: false) do |lock|
        lock.on_lost { exit 7 }
        Net::HTTP.start(*ENV["CONSUL_HTTP_ADDR"].split(":")) { |http| http.delete("/v1/kv/#{lock.key}") }
        Thread.new { lock.check }
        sleep
      ensure
        puts "unwound"
      end
    RUBY
    assert_equal ["unwound\n", 7], [out, status.exitstatus], complaints
  end

  def test_log
    lines = StringIO.new
    ConsulLock.logger = logger = Logger.new(lines, level: :warn)
    assert_same logger, ConsulLock.logger
    lose(ConsulLock::Lock.new(key, monitor: false, value: "s3cret"))
    wait_until("a line comes") { lines.string.include?("ERROR -- consul_lock: ") && lines.string.include?(key) }
    refute_includes lines.string, "INFO"

    ConsulLock.logger = Logger.new(others = StringIO.new, level: :info)
    @key = nil
    lose(ConsulLock::Lock.new(key, monitor: false, value: "s3cret"))
    wait_until("a line comes") { others.string.include?("flight recorder") && others.string.include?(key) }
    refute_includes lines.string, key
    refute_includes lines.string + others.string, "s3cret"

    ConsulLock.logger = nil
    assert_nil ConsulLock.logger
    @key = nil
    lose
    refute_includes others.string, key
  end

  # The exception of a logger does not stop later lines.
  def test_a_logger_that_fails
    logger = Logger.new(lines = StringIO.new, level: :error)
    failing = true
    logger.formatter = lambda do |_severity, _time, _program, line|
      raise KeyError, "own" if failing

      line
    end
    ConsulLock.logger = logger
    _, complaints = capture_io do
      lose
      wait_until("it fails") { $stderr.string.include?("KeyError") }
    end
    failing = false
    assert_includes complaints, "own"
    @key = nil
    lose
    wait_until("a line comes") { lines.string.include?(key) }
  end
end
