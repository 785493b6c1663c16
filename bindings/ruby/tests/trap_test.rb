# frozen_string_literal: true

require_relative "helper"

# A handler of Signal.trap may call the methods that send nothing. The others raise TrapError and do nothing.
class TrapTest < Test
  def test_the_methods_that_send_nothing
    lock = ConsulLock::Lock.new(key)
    before = in_trap { answers(lock) }
    assert_equal [false, false, 0.0, nil, nil, full_key, [full_key], nil, false], before
    lock.acquire
    held, lost, remaining, *rest = in_trap { answers(lock) }
    assert_equal [true, false], [held, lost]
    assert_operator remaining, :>, 100
    assert_equal [lock.fencing_token, nil, full_key, [full_key], lock.session_id, false], rest
    assert_match(/ held>\z/, in_trap { lock.inspect })
    lock.close
    assert_equal [false, false, 0.0, true], in_trap { [lock.held?, lock.lost?, lock.remaining, lock.closed?] }
    assert_raises(ConsulLock::ClosedError) { in_trap { lock.session_id } }
  end

  def test_a_lost_lock
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    Consul.delete(full_key)
    assert_raises(ConsulLock::LostError) { lock.check }
    assert(in_trap { lock.lost? })
  end

  def test_the_others_raise_and_do_nothing
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    unused = ConsulLock::Lock.new("#{key}-unused")
    unused.instance_variable_set(:@generator, -> { flunk })
    forbidden(lock, unused).each do |name, call|
      error = assert_raises(ConsulLock::TrapError, name.to_s) { in_trap(&call) }
      assert_match(/trap handler.*Thread\.new/, error.message)
      assert_equal [:trap, nil, false], [error.status, error.code, error.retryable?]
    end
    lock.check
    assert_equal [true, false, false], [lock.held?, lock.closed?, lock.lost?]
    assert lock.release
    assert_nothing_left
  end

  def test_cancel
    lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
    holding do
      signal_when_waiting
      assert_raises(ConsulLock::CancelledError) { in_traps_of(-> { lock.cancel }) { lock.acquire } }
    end
    assert_nothing_left
  end

  def test_an_exit_releases
    out = ruby!(<<~'RUBY', key)
      trap("TERM") { exit }
      ConsulLock.hold(ARGV[0]) do |lock|
        Process.kill(:TERM, Process.pid)
        sleep 60
      ensure
        puts lock.held?
      end
    RUBY
    assert_equal "true\n", out
    assert_nil Consul.session_on(full_key)
  end

  def test_an_observer_can_be_closed
    told = Thread::Queue.new
    observer = ConsulLock.observe(key) { |holder| told << holder }
    assert_nil Timeout.timeout(10) { told.pop }
    assert_nil(in_trap { observer.close })
    assert(in_trap { observer.closed? })
    holding { sleep 0.3 }
    assert_empty told
  end

  # The handler's exception ends the wait of an upgrade, and the lock is a share, as before.
  def test_an_upgrade_that_a_handler_interrupts
    share = ConsulLock::Lock.new(key, share: true)
    share.acquire
    holding(share: true) do |lock|
      Thread.new do
        wait_until("it waits") { Consul.session_on(full_key) }
        Process.kill(:USR1, Process.pid)
      end
      assert_raises(KeyError) { in_traps_of(-> { raise KeyError }) { lock.upgrade(timeout: 60) } }
      assert_nil Consul.session_on(full_key)
      assert_equal [true, true], [lock.held?, share.held?]
      share.close
    end
    assert_nothing_left
  end

  # The interrupted thread has just begun, or is about to end, a call that sends nothing.
  def test_a_handler_that_interrupts_a_call_on_the_same_lock
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    handle = lock.instance_variable_get(:@handle)
    assert_equal [true, false], handle.use { in_trap { [lock.held?, lock.lost?] } }
    in_trap { lock.cancel }
    handle.use { assert_nil(in_trap { lock.cancel }) }
    handle.use { assert_nil(in_trap { lock.abandon }) }
    wait_until("it is abandoned") { lock.closed? }
    Consul.end_session_of(full_key)
  end

  def test_a_handler_while_another_thread_is_inside
    lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
    gate = Thread::Queue.new
    thread = Thread.new { lock.instance_variable_get(:@handle).use { gate.pop } }
    wait_until("it is inside") { thread.stop? }
    # The other thread's call does not end, so the handler gives up.
    assert_raises(ConsulLock::TrapError) { in_trap { lock.held? } }
    assert_nil(in_trap { lock.cancel })
    gate << nil
    thread.join
    holding { assert_raises(ConsulLock::CancelledError) { lock.acquire } }
    # The other thread's call ends, as it does in programs.
    thread = Thread.new { lock.instance_variable_get(:@handle).use { sleep 0.1 } }
    wait_until("it is inside") { thread.stop? }
    assert_equal(false, in_trap { lock.held? })
    thread.join
  end

  # A handler may come at any moment of any call.
  def test_handlers_at_any_moment
    asked = 0
    lock = nil
    asks = lambda do
      asked += 1 if lock && [true, false].include?(lock.held?) && lock.key && lock.remaining
    rescue ConsulLock::ClosedError
      nil # between the end of the lock and the end of its close
    end
    in_traps_of(asks) do
      pest = Thread.new { (RUNS * 50).times { Process.kill(:USR1, Process.pid) && sleep(0.0005) } }
      while pest.alive?
        lock = ConsulLock::Lock.new(key, acquire_timeout: 5)
        lock.acquire
        lock.renew
        lock.close
        lock = nil
      end
    end
    assert_operator asked, :>, 0
    assert_nothing_left
  end

  # The interrupted call raises the handler's exception. A close has released the lock nevertheless.
  def test_a_handler_that_raises_loses_no_release
    ending = nil
    raises = lambda do
      lock = ending
      next unless lock&.closed?

      ending = nil # once for each lock
      lock.key
    end
    in_traps_of(raises) do
      pest = Thread.new { (RUNS * 50).times { Process.kill(:USR1, Process.pid) && sleep(0.0005) } }
      while pest.alive?
        lock = ConsulLock::Lock.new(key, acquire_timeout: 5)
        lock.acquire
        begin
          ending = lock
          lock.close
          ending = nil
        rescue ConsulLock::ClosedError
          assert_predicate lock, :closed?
        end
      end
    end
    assert_nothing_left
  end

  private

  def answers(lock)
    [lock.held?, lock.lost?, lock.remaining, lock.fencing_token, lock.slot, lock.key, lock.keys, lock.session_id,
     lock.closed?]
  end

  def forbidden(lock, unused)
    {
      acquire: -> { unused.acquire }, try_acquire: -> { unused.try_acquire }, release: -> { lock.release },
      close: -> { lock.close }, renew: -> { lock.renew }, check: -> { lock.check },
      downgrade: -> { lock.downgrade }, upgrade: -> { lock.upgrade },
      put: -> { lock.put_if_held("k", "v") }, delete: -> { lock.delete_if_held("k") },
      on_lost: -> { lock.on_lost { nil } }, hold: -> { ConsulLock.hold(key) { flunk } },
      client: -> { ConsulLock::Client.new.hold(key) { flunk } }, holder: -> { ConsulLock.holder(key) },
      holders: -> { ConsulLock.holders(key) }, observe: -> { ConsulLock.observe(key) { flunk } },
      shutdown: -> { ConsulLock.shutdown }, logger: -> { ConsulLock.logger = nil }
    }
  end

  def signal_when_waiting
    Thread.new do
      wait_until("it waits") { Consul.keys("#{full_key}/.fifo/").any? }
      Process.kill(:USR1, Process.pid)
    end
  end

  # Runs a block while a signal has a handler.
  def in_traps_of(handler)
    before = trap("USR1") { handler.call }
    yield
  ensure
    trap("USR1", before || "DEFAULT")
  end

  # Runs a block in a trap handler, and returns its value or its exception.
  def in_trap
    told = nil
    handler = lambda do
      told = [yield]
    rescue Exception => e # rubocop:disable Lint/RescueException
      told = e
    end
    in_traps_of(handler) do
      Process.kill(:USR1, Process.pid)
      Thread.pass until told
    end
    told.is_a?(Array) ? told.first : raise(told)
  end
end
