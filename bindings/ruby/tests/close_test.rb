# frozen_string_literal: true

require_relative "helper"

# A close during a call of another thread is an error there, and never a crash.
class CloseTest < Test
  def test_close_ends_an_acquire_of_another_thread
    holding do
      %i[close abandon].each do |way|
        lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
        thread = waiting(lock)
        assert_within(5) { lock.public_send(way) }
        error = assert_raises(ConsulLock::ClosedError) { assert_within(5) { thread.value } }
        assert_kind_of ConsulLock::CancelledError, error.cause
      end
    end
    assert_nothing_left
  end

  def test_an_error_that_is_not_of_the_close_stays
    client = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.5)
    lock = ConsulLock::Lock.new(key, client: client)
    # As if another thread had closed the lock right behind the outcome.
    lock.define_singleton_method(:closed?) { true }
    assert_raises(ConsulLock::UnavailableError) { lock.acquire }
  end

  def test_close_releases_and_never_raises
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    assert_nil lock.close
    assert_nil Consul.session_on(full_key)
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    Consul.delete(full_key)
    assert_nil lock.close
  end

  def test_close_from_many_threads_at_once
    RUNS.times do
      lock = ConsulLock::Lock.new(key)
      lock.acquire
      callers = Array.new(4) { Thread.new { call_until_closed(lock) } }
      closers = Array.new(2) { |number| Thread.new { number.zero? ? lock.close : lock.release } }
      [*callers, *closers].each { |thread| expect_only_errors_of_ours(thread) }
      lock.close
    end
    assert_nothing_left
  end

  private

  def call_until_closed(lock)
    loop do
      lock.held?
      lock.remaining
      lock.lost?
      lock.session_id
      lock.check
    end
  end

  def expect_only_errors_of_ours(thread)
    thread.value
  rescue ConsulLock::ClosedError, ConsulLock::NotHeldError
    nil
  end
end
