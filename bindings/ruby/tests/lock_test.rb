# frozen_string_literal: true

require_relative "helper"

# The Ruby interface of a lock. bindings/conformance tests the rules that all languages share.
class LockTest < Test
  def teardown
    ConsulLock.value_generator = nil
  end

  def test_hold_returns_what_the_block_returns
    answer = holding do |lock|
      assert_predicate lock, :held?
      assert_equal lock.session_id, Consul.session_on(full_key)
      42
    end
    assert_equal 42, answer
    assert_nothing_left
  end

  def test_hold_without_fail_hard_answers_false_and_does_not_run_the_block
    holding do
      assert_equal false, ConsulLock.hold(key, fail_hard: false) { flunk }
    end
    assert_raises(ConsulLock::UnavailableError) do
      client = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.5)
      client.hold(key, fail_hard: false) { flunk }
    end
  end

  def test_leaving_the_block_by_any_way_releases
    [-> { holding { break } }, -> { catch(:done) { holding { throw :done } } }, -> { returning }].each do |way|
      way.call
      assert_nil Consul.session_on(full_key)
    end
  end

  def returning
    holding { return }
  end

  def test_the_blocks_own_error_comes_first_and_the_lock_is_released
    error = assert_raises(KeyError) do
      holding do
        Consul.delete(full_key)
        raise KeyError, "own"
      end
    end
    assert_equal "own", error.message
    assert_nothing_left
  end

  def test_a_loss_during_the_block_raises
    [-> { holding { Consul.delete(full_key) } }, -> { holding { Consul.delete(full_key) && break } }].each do |way|
      assert_raises(ConsulLock::LostError, &way)
    end
  end

  def test_the_lock_of_a_hold_is_closed_afterwards
    lock = holding(&:itself)
    assert_predicate lock, :closed?
    refute_predicate lock, :held?
    refute_predicate lock, :lost?
    assert_in_delta 0.0, lock.remaining
    assert_kind_of Integer, lock.fencing_token
    [-> { lock.acquire }, -> { lock.release }, -> { lock.renew }, -> { lock.check }, -> { lock.session_id },
     -> { lock.put_if_held("a", "b") }, -> { lock.delete_if_held("a") }, -> { lock.on_lost { nil } }].each do |call|
      assert_equal :closed, assert_raises(ConsulLock::ClosedError, &call).status
    end
    lock.close
    lock.abandon
    lock.cancel
  end

  def test_fail_hard
    holding do
      refute ConsulLock::Lock.new(key, fail_hard: false).acquire
      refute ConsulLock::Lock.new(key).try_acquire
      error = assert_raises(ConsulLock::NotAcquiredError) { ConsulLock::Lock.new(key).acquire }
      assert_equal [20, :not_acquired, true, nil], [error.code, error.status, error.retryable?, error.http_status]
      assert_includes error.message, "this very process"
      assert_equal Encoding::UTF_8, error.message.encoding
    end
  end

  def test_its_answers_before_during_and_after
    lock = ConsulLock::Lock.new(key, lock_timeout: 60)
    assert_equal [false, false, 0.0, nil, nil, full_key], facts(lock)
    refute lock.release
    assert lock.acquire
    assert_in_delta 55, lock.remaining, 5
    assert_equal [true, false], facts(lock).first(2)
    session = lock.session_id
    assert_match(/\A\h{8}-/, session)
    assert_same lock, lock.renew
    assert_same lock, lock.check
    assert lock.release
    refute lock.release
    assert_equal [false, false, 0.0, lock.fencing_token, session, full_key], facts(lock)
  end

  def facts(lock)
    [lock.held?, lock.lost?, lock.remaining, lock.fencing_token, lock.session_id, lock.key]
  end

  def test_a_lost_lock_is_lost
    lock = ConsulLock::Lock.new(key, monitor: false)
    lock.acquire
    Consul.delete(full_key)
    assert_raises(ConsulLock::LostError) { lock.check }
    assert_equal [true, false], [lock.lost?, lock.held?]
    assert_raises(ConsulLock::LostError) { lock.release }
    refute lock.release
    assert_predicate lock, :lost?
    lock.close
    assert_predicate lock, :lost?
  end

  def test_a_release_before_the_acquire_hides_no_later_loss
    lock = ConsulLock::Lock.new(key, monitor: false)
    refute lock.release
    lock.acquire
    Consul.delete(full_key)
    assert_raises(ConsulLock::LostError) { lock.put_if_held("#{key}-data", "") }
    assert_predicate lock, :lost?
    lock.close
  end

  def test_a_key_is_a_string_or_a_symbol_in_any_encoding
    name = "#{key}-ü"
    [name, name.to_sym, name.encode(Encoding::ISO_8859_1), name.encode(Encoding::UTF_16LE), name.b].each do |it|
      assert_equal "locks/ephemeral/#{name}", ConsulLock::Lock.new(it).key
    end
    ["", "a\0b", "a//b", "\xff", "\xff".b, nil, 7, [], [7], [["a"]]].each do |it|
      error = assert_raises(ConsulLock::InvalidArgumentError, it.inspect) { ConsulLock::Lock.new(it) }
      refute_predicate error, :retryable?
    end
    assert_raises(ConsulLock::InvalidArgumentError) { ConsulLock.holder("a\0b") }
  end

  def test_options_go_by_their_names_as_values_or_as_text
    lock = ConsulLock::Lock.new(key, lock_timeout_seconds: "40", monitor: "false", fair: true, value: "a\0b".b)
    lock.acquire
    assert_in_delta 38, lock.remaining, 2
    assert_equal "a\0b".b, ConsulLock.holder(key).value
    lock.close
  end

  def test_times_go_in_seconds
    { acquire_timeout: [1, 0.5, 0, Float::INFINITY, Rational(1, 3)], lock_timeout: [10, 10.0, Rational(20, 2)],
      max_lifetime: [0, 100], queue_grace: [0.5] }.each do |name, values|
      values.each { |value| ConsulLock::Lock.new(key, name => value) }
    end
    ConsulLock::Client.new(connect_timeout: 0.1, request_timeout: 1, release_timeout: 2, lock_delay: 1.5)
    holding do
      begun = now
      refute ConsulLock::Lock.new(key, acquire_timeout: 0.5).try_acquire
      assert_operator now - begun, :>=, 0.49
    end
  end

  def test_an_option_that_is_nil_has_its_default
    assert_equal full_key, ConsulLock::Lock.new(key, acquire_timeout: nil, value: nil, client: nil).key
  end

  def test_bad_options_say_what_is_wrong
    {
      { nonsense: 1 } => "nonsense", { lock_timeout: 9 } => "10 to 86400", { lock_timeout_seconds: 9 } => "10 to 86400",
      { acquire_timeout: -1 } => "acquire_timeout", { acquire_timeout: "soon" } => "acquire_timeout",
      { lock_timeout: Float::INFINITY } => "lock_timeout", { acquire_timeout: Float::NAN } => "acquire_timeout",
      { lock_timeout: 10.2 } => "whole number", { max_lifetime: 0.5 } => "whole number",
      { acquire_timeout: Complex(1, 1) } => "acquire_timeout", { acquire_timeout: 1e308 } => "acquire_timeout",
      { acquire_timeout: Time.now } => "acquire_timeout",
      { acquire_timeout_ms: 2**70 } => "acquire_timeout_ms", { acquire_timeout_ms: 0.5 } => "acquire_timeout_ms",
      { auto_renew: {} } => "auto_renew", { fair: [{}] } => "fair",
      { value: "a" * 400_000 } => "value",
      { address: "127.0.0.1:8500" } => "address", { fair: "a\0b" } => "fair", { "a\x00b": 1 } => "NUL",
      { fair: "\xff".dup.force_encoding(Encoding::EUC_JP) } => "fair"
    }.each do |options, words|
      error = assert_raises(ConsulLock::InvalidOptionError, options.inspect) { ConsulLock::Lock.new(key, **options) }
      assert_includes error.message, words
    end
    assert_raises(ConsulLock::InvalidOptionError) { ConsulLock::Client.new(lock_timeout: 60) }
    { { lock_timeout: 5 } => "lock_timeout: must be 10 to 86400, is 5",
      { lock_timeout_seconds: 5 } => "option lock_timeout_seconds: must be 10 to 86400, is 5",
      { queue_grace: 100 } => "queue_grace: must be 0.01 to 60, is 100",
      { acquire_timeout: 100_000 } => "acquire_timeout: must be 0 to 86400, is 100000" }.each do |options, message|
      error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock::Lock.new(key, **options) }
      assert_equal message, error.message
      assert_equal 2, error.code
    end
    assert_raises(ConsulLock::InvalidOptionError) { ConsulLock.defaults[:acquire_timeout] = nil }
    error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock::Client.new(token: :s3cret) }
    refute_includes error.message, "s3cret"
  end

  def test_arguments_of_the_wrong_class
    { -> { ConsulLock::Lock.new(key, client: "x") } => "client must be a ConsulLock::Client, not String",
      -> { ConsulLock.holder(key, client: "x") } => "client must be a ConsulLock::Client, not String",
      -> { ConsulLock.default_client = "x" } => "client must be a ConsulLock::Client, not String",
      -> { ConsulLock::Lock.new(key, value: 5) } => "value must be a String, not Integer",
      -> { ConsulLock.logger = 5 } => "logger must be a Logger, or have its methods: Integer has no level, add, warn" }
      .each { |call, message| assert_equal message, assert_raises(TypeError, &call).message }
  end

  def test_defaults_can_be_read
    assert_equal ["locks/ephemeral/%s", 180, 180, 0, 0.0],
                 %i[lock_key_pattern lock_timeout lock_timeout_seconds acquire_timeout_ms acquire_timeout]
                   .map { |name| ConsulLock.defaults[name] }
    ConsulLock.defaults.set(acquire_timeout: 1.5, lock_timeout: 60)
    names = %i[acquire_timeout acquire_timeout_ms lock_timeout]
    assert_equal([1.5, 1500, 60], names.map { |name| ConsulLock.defaults[name] })
    ConsulLock.defaults[:acquire_timeout] = Float::INFINITY
    assert_equal Float::INFINITY, ConsulLock.defaults["acquire_timeout"]
    error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock.defaults[:fair] }
    assert_includes error.message, "no default fair"
    error = assert_raises(ConsulLock::InvalidOptionError) { ConsulLock.defaults[:lock_timeout] = 5 }
    assert_equal "lock_timeout: must be 10 to 86400, is 5", error.message
    assert_equal 60, ConsulLock.defaults[:lock_timeout]
  ensure
    ConsulLock.defaults.set(acquire_timeout: 0, lock_timeout: 180)
  end

  def test_guarded_writes
    holding do |lock|
      assert_same lock, lock.put_if_held("#{key}-data", "a\0\xff".b)
      assert_equal "a\0\xff".b, Consul.value("#{key}-data")
      assert_same lock, lock.delete_if_held("#{key}-data")
      assert_nil Consul.value("#{key}-data")
      [-> { lock.put_if_held("#{key}-data", nil) }, -> { lock.put_if_held("a\0b", "") },
       -> { lock.put_if_held("#{key}-data", "a" * 400_000) }, -> { lock.delete_if_held("a//b") }].each do |call|
        assert_raises(ConsulLock::InvalidArgumentError, &call)
      end
    end
  end

  def test_the_value_generator_runs_on_the_thread_that_acquires
    thread = nil
    ConsulLock.value_generator = lambda do
      thread = Thread.current
      "made here"
    end
    holding do
      assert_equal "made here", ConsulLock.holder(key).value
      assert_same Thread.current, thread
    end
    holding(value: "fixed") { assert_equal "fixed", ConsulLock.holder(key).value }
  end

  def test_a_value_generator_that_fails_sends_nothing_and_leaves_the_lock_unused
    answers = [-> { raise KeyError, "s3cret" }, -> {}, -> { 7 }, -> { "a" * 400_000 }, -> { "good" }]
    ConsulLock.value_generator = -> { answers.shift.call }
    lock = ConsulLock::Lock.new(key)
    errors = Array.new(4) { assert_raises(ConsulLock::ValueFailedError) { lock.acquire } }
    assert_equal [KeyError, nil, nil], errors.first(3).map { |error| error.cause&.class }
    assert_includes errors[0].message, "KeyError"
    refute_includes errors[0].message, "s3cret"
    assert_equal [5, :value_failed], [errors[0].code, errors[0].status]
    assert lock.acquire
    assert lock.release
  end

  def test_a_generator_may_use_locks_itself
    other = "#{key}-other"
    ConsulLock.value_generator = lambda do
      ConsulLock.value_generator = nil
      ConsulLock.hold(other) { |lock| lock.fencing_token.to_s }
    end
    holding { assert_match(/\A\d+\z/, ConsulLock.holder(key).value) }
  end

  def test_a_second_acquire_changes_nothing
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    assert_raises(ConsulLock::AlreadyUsedError) { lock.acquire }
    assert_raises(ConsulLock::AlreadyUsedError) { lock.try_acquire }
    assert_equal [true, false], [lock.held?, lock.lost?]
    lock.close
    assert_nil Consul.session_on(full_key)
  end

  def test_defaults
    out = ruby!(<<~'RUBY', key)
      ConsulLock.defaults[:lock_key_pattern] = "elsewhere/%s"
      ConsulLock.defaults.set(lock_timeout: 40, acquire_timeout: 0.1)
      ConsulLock.hold(ARGV[0]) do |lock|
        puts lock.key, lock.remaining.between?(30, 40)
        begin
          ConsulLock.defaults["lock_timeout_seconds"] = "9"
        rescue ConsulLock::InvalidOptionError => e
          puts e.status
        end
        puts ConsulLock::Lock.new(ARGV[0]).try_acquire
      end
    RUBY
    assert_equal ["elsewhere/#{key}", "true", "invalid_option", "false"], out.split("\n")
  end

  def test_abandon_leaves_it_to_its_ttl
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    session = lock.session_id
    assert_nil lock.abandon
    assert_equal session, Consul.session_on(full_key)
    Consul.end_session_of(full_key)
  end

  def test_it_cannot_be_copied
    lock = ConsulLock::Lock.new(key)
    [lock, ConsulLock::Client.new].each do |it|
      assert_raises(TypeError) { it.dup }
      assert_raises(TypeError) { it.clone }
    end
    assert_raises(TypeError) { Marshal.dump(lock) }
  end

  def test_inspect_says_what_it_is
    lock = ConsulLock::Lock.new("a", lock_timeout: 60, value: "s3cret")
    assert_equal '#<ConsulLock::Lock "a" not held>', lock.inspect
    lock.close
    assert_equal '#<ConsulLock::Lock "a" closed>', lock.inspect
  end

  def test_a_block_is_needed
    assert_raises(ArgumentError) { ConsulLock.hold(key) }
    assert_raises(ArgumentError) { ConsulLock::Lock.new(key).on_lost }
  end
end
