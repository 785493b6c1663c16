# frozen_string_literal: true

require_relative "helper"

# Locks that share a key, with and without a limit, and locks of several keys.
class SharingTest < Test
  READER = { share: true }.freeze
  LIMITED = { limit: 2 }.freeze

  # Acquires a lock on this test's key.
  def taken(**options)
    ConsulLock::Lock.new(key, **options).tap(&:acquire)
  end

  def free?(**options)
    lock = ConsulLock::Lock.new(key, **options)
    lock.try_acquire
  ensure
    lock.close
  end

  def test_readers_share_and_a_writer_does_not
    holding(**READER) do |one|
      holding(mode: :share) do |two|
        assert_operator two.fencing_token, :>, one.fencing_token
        assert_nil one.slot
        refute free?
      end
    end
    holding { refute free?(**READER) }
    assert_nothing_left
  end

  def test_a_limit_gives_slots
    holding(**LIMITED) do |one|
      two = taken(mode: "share", limit: "2")
      assert_equal [0, 1], [one.slot, two.slot].sort
      refute free?(**LIMITED)
      two.close
      assert_equal 1 - one.slot, two.slot # a closed lock still tells what it was
      assert_equal(two.slot, holding(**LIMITED, &:slot))
    end
    assert_nil ConsulLock::Lock.new(key, **LIMITED).slot
    assert_nothing_left
  end

  def test_another_limit_is_a_conflict
    holding(**LIMITED) do
      [-> { holding(limit: 3, fail_hard: false) { flunk } }, -> { taken(limit: 3, acquire_timeout: 5) }].each do |call|
        error = assert_raises(ConsulLock::ConflictError, &call)
        assert_equal [25, :conflict, false], [error.code, error.status, error.retryable?]
        assert_match(/\b2\b.*\b3\b|\b3\b.*\b2\b/, error.message)
      end
    end
  end

  def test_an_exclusive_lock_with_a_limit
    [{ share: false, limit: 2 }, { mode: "exclusive", limit: 2 }].each do |options|
      holding(**options) do |lock|
        assert_nil lock.slot
        refute free?(**LIMITED)
        assert_same lock, lock.downgrade
        assert_includes [0, 1], lock.slot
        assert free?(**LIMITED)
        refute free?
      end
    end
  end

  def test_bad_options_say_what_is_wrong
    { { share: 1 } => "share must be true or false, not Integer", { share: "true" } => "not String",
      { share: true, mode: "share" } => "one of them", { limit: 0 } => "1 to 1024", { limit: 1025 } => "1 to 1024",
      { mode: :other } => "mode", { mode: "both" } => "mode", { fair: :share } => "fair" }.each do |options, words|
      error = assert_raises(ConsulLock::InvalidOptionError, options.inspect) { ConsulLock::Lock.new(key, **options) }
      assert_includes error.message, words
    end
    { limit: 2, share: true }.each do |name, value|
      error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock::Client.new(name => value) }
      assert_includes error.message, name.to_s
    end
    holding(share: nil, mode: nil, limit: nil) { refute free?(**READER) }
  end

  def test_downgrade_and_upgrade
    holding do |lock|
      tokens = [lock.fencing_token]
      tokens << lock.downgrade.fencing_token
      assert free?(**READER)
      tokens << lock.upgrade.fencing_token
      refute free?(**READER)
      assert_equal tokens.sort.uniq, tokens
      [-> { lock.upgrade }, -> { lock.downgrade.downgrade }].each do |call|
        assert_raises(ConsulLock::InvalidArgumentError, &call)
      end
      lock.check
    end
    assert_nothing_left
  end

  def test_an_upgrade_waits_for_the_others
    reader = taken(**READER)
    holding(**READER) do |lock|
      [0, 0.1].each do |timeout|
        error = assert_raises(ConsulLock::NotAcquiredError) { lock.upgrade(timeout: timeout) }
        assert_predicate error, :retryable?
      end
      assert free?(**READER)
      upgrade = Thread.new { lock.upgrade(timeout: Float::INFINITY) }
      wait_until("the upgrade waits") { !free?(**READER) }
      assert_raises(ConsulLock::NotAcquiredError) { reader.upgrade(timeout: 60) } # each would wait for the other
      assert_equal [true, true], [lock.held?, upgrade.alive?]
      reader.close
      assert_same lock, upgrade.value
      refute free?(**READER)
    end
    assert_nothing_left
  end

  def test_a_cancel_ends_an_upgrade_and_no_later_one
    reader = taken(**READER)
    holding(**READER) do |lock|
      upgrade = Thread.new { lock.upgrade(timeout: 60) }
      wait_until("the upgrade waits") { !free?(**READER) }
      lock.cancel
      assert_raises(ConsulLock::CancelledError) { upgrade.value }
      assert free?(**READER)
      reader.close
      lock.upgrade(timeout: 5).check
    end
  end

  def test_a_wrong_timeout_of_an_upgrade
    holding(**READER) do |lock|
      [-1, 86_401, nil, "2", Float::NAN].each do |timeout|
        error = assert_raises(ConsulLock::InvalidArgumentError, timeout.inspect) { lock.upgrade(timeout: timeout) }
        assert_includes error.message, "timeout"
      end
      lock.check
    end
  end

  def test_changes_of_a_lock_that_is_not_held
    lock = ConsulLock::Lock.new(key)
    [-> { lock.downgrade }, -> { lock.upgrade }].each { |call| assert_raises(ConsulLock::NotHeldError, &call) }
    lock.close
    [-> { lock.downgrade }, -> { lock.upgrade }].each { |call| assert_raises(ConsulLock::ClosedError, &call) }
    lost = taken(monitor: false)
    Consul.delete(full_key)
    assert_raises(ConsulLock::LostError) { lost.downgrade }
    assert_predicate lost, :lost?
  end

  def test_an_interrupted_upgrade_is_a_share_as_before
    reader = taken(**READER)
    holding(**READER) do |lock|
      interruptions.each do |interrupt|
        upgrade = Thread.new { lock.upgrade(timeout: 60) }
        wait_until("the upgrade waits") { !free?(**READER) }
        interrupt.call(upgrade)
        assert_within(5) { upgrade.join } rescue KeyError # rubocop:disable Style/RescueModifier
        wait_until("it is a share again") { free?(**READER) }
        assert_equal [true, true], [lock.held?, reader.held?]
      end
      assert_raises(Timeout::Error) { Timeout.timeout(0.2) { lock.upgrade(timeout: 60) } }
      assert_raises(ConsulLock::NotAcquiredError) { lock.upgrade } # no other one is under way
      reader.close
      assert_same lock, lock.upgrade
    end
    assert_nothing_left
  end

  # An interruption at any moment leaves a share or an exclusive lock, which the next upgrade finds ready.
  def test_an_upgrade_that_is_interrupted_at_any_moment
    holding(**READER) do |lock|
      RUNS.times do |number|
        upgrade = Thread.new { lock.upgrade(timeout: 60) }
        sleep 0.0002 * number
        upgrade.raise(KeyError)
        assert_within(5) { upgrade.join } rescue KeyError # rubocop:disable Style/RescueModifier
        exclusive = !free?(**READER)
        lock.downgrade if exclusive
        lock.check
        assert free?(**READER)
      end
    end
    assert_nothing_left
  end

  def test_several_keys
    names = %w[b a].map { |it| "#{key}-#{it}" }
    full = names.map { |name| "locks/ephemeral/#{name}" }
    ConsulLock.hold([*names, names.first.to_sym]) do |lock|
      assert_equal full.sort, lock.keys
      assert_equal full.min, lock.key
      assert_equal [lock.session_id], full.map { |it| Consul.session_on(it) }.uniq
      names.each { |name| refute ConsulLock::Lock.new(name).try_acquire }
      assert_raises(ConsulLock::InvalidArgumentError) { lock.downgrade }
      assert_includes lock.inspect, names.first
    end
    names.each do |name|
      ConsulLock.hold(name) { refute ConsulLock::Lock.new(names, acquire_timeout: 0.1).try_acquire }
      assert_empty Consul.keys("locks/ephemeral/#{name}")
    end
    assert_equal [full.first], ConsulLock::Lock.new([names.first], share: true).keys
    assert_nothing_left
  end

  def test_keys_after_a_close
    lock = ConsulLock::Lock.new(key)
    assert_equal [full_key], lock.keys
    lock.close
    assert_equal [full_key], lock.keys
    assert_raises(ConsulLock::ClosedError) { ConsulLock::Lock.new(key).tap(&:close).keys }
  end

  def test_wrong_keys
    [[], Array.new(31) { |number| "#{key}-#{number}" }, [key, "a//b"], [key, nil], [key, "a\0b"]].each do |keys|
      assert_raises(ConsulLock::InvalidArgumentError, keys.inspect) { ConsulLock::Lock.new(keys) }
    end
    error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock::Lock.new([key, "#{key}-b"], share: true) }
    assert_match(/\Ashare: /, error.message)
    assert_raises(ConsulLock::InvalidArgumentError) { ConsulLock.holder([key]) }
  end

  def test_an_interrupted_wait_for_a_share_and_for_several_keys
    waits = { key => READER, [key, "#{key}-b"] => {} }
    holding do
      waits.each do |name, options|
        lock = ConsulLock::Lock.new(name, acquire_timeout: 60, **options)
        thread = waiting(lock)
        thread.raise(KeyError)
        assert_raises(KeyError) { assert_within(5) { thread.value } }
        wait_until("the lines are empty") { Consul.keys("#{full_key}/").empty? && Consul.keys("#{full_key}-b").empty? }
      end
    end
    assert_nothing_left
  end

  def test_a_loss_of_a_share
    told = Thread::Queue.new
    lock = taken(monitor: false, **READER)
    lock.on_lost { |reason| told << reason }
    Consul.keys("#{full_key}/.share/").each { |row| Consul.delete(row) }
    assert_raises(ConsulLock::LostError) { lock.check }
    assert_equal :key_gone, Timeout.timeout(10) { told.pop }
  end

  def test_guarded_writes_of_a_share
    holding(**LIMITED) do |lock|
      lock.put_if_held("#{key}-data", "mine")
      assert_equal "mine", Consul.value("#{key}-data")
      lock.delete_if_held("#{key}-data")
    end
  end

  def test_holders
    empty = ConsulLock.holders(key)
    assert_equal [full_key, nil, [], []], [empty.key, empty.exclusive, empty.sharers, empty.line]
    holding(value: "a\0b".b, limit: 1) do |lock|
      waits = ConsulLock::Lock.new(key, limit: 1, acquire_timeout: 60)
      found = with_a_waiter(waits) { ConsulLock::Client.new.holders(key) }
      sharer, = found.sharers
      assert_equal [lock.session_id, "a\0b".b, lock.fencing_token, 1, 0, "node", 180.0, nil],
                   [sharer.session, sharer.value, sharer.fencing_token, sharer.limit, sharer.slot, sharer.node,
                    sharer.ttl, sharer.since]
      waiter, = found.line
      assert_equal [:share, 1, []], [waiter.mode, waiter.limit, waiter.keys]
      assert_includes waiter.name, ":#{Process.pid} "
      [found, found.sharers, found.line, sharer, waiter, waiter.keys].each { |it| assert_predicate it, :frozen? }
    end
    holding do |lock|
      waits = ConsulLock::Lock.new([key, "#{key}-b"], acquire_timeout: 60)
      found = with_a_waiter(waits) { ConsulLock.holders(key.to_sym) }
      assert_equal [lock.session_id, nil, nil], [found.exclusive.session, found.exclusive.limit, found.exclusive.slot]
      assert_equal ConsulLock.holder(key).to_h, found.to_h[:exclusive]
      assert_equal found.line.map { |waiter|
        { session: waiter.session, name: waiter.name, node: "node", ttl: 180.0, mode: :exclusive, limit: nil,
          keys: [full_key, "#{full_key}-b"] }
      }, found.to_h[:line]
      assert_equal 1, found.line.size
    end
    assert_nothing_left
  end

  def with_a_waiter(lock)
    thread = waiting(lock)
    yield
  ensure
    thread.kill.join
  end

  def test_holders_at_a_dead_address
    client = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.5)
    assert_raises(ConsulLock::UnavailableError) { client.holders(key) }
    assert_raises(TypeError) { ConsulLock.holders(key, client: "x") }
    assert_raises(ConsulLock::InvalidArgumentError) { ConsulLock.holders("a//b") }
  end

  private

  def interruptions
    [->(thread) { thread.raise(KeyError) }, ->(thread) { thread.kill }]
  end
end
