# frozen_string_literal: true

require_relative "helper"

class ClientTest < Test
  def client
    @client ||= ConsulLock::Client.new(address: Consul::ADDRESS)
  end

  def test_lock_and_hold_use_the_client
    client.hold(key) do |lock|
      assert_equal lock.session_id, client.holder(key).session
      refute client.lock(key).try_acquire
    end
    assert_nil client.holder(key)
  end

  def test_holder
    assert_nil ConsulLock.holder(key)
    holding(value: "mine") do |lock|
      holder = ConsulLock.holder(key.to_sym)
      assert_equal [lock.session_id, "node", "mine".b, lock.fencing_token],
                   [holder.session, holder.node, holder.value, holder.fencing_token]
      assert_equal [nil, 180.0], [holder.since, holder.ttl]
      assert_includes holder.name, ":#{Process.pid} "
      assert_predicate holder, :frozen?
      assert_equal "mine".b, holder.to_h[:value]
    end
  end

  def test_the_default_value_has_the_time_of_the_acquire
    before = Time.now
    holding { assert_in_delta before, ConsulLock.holder(key).since, 10 }
  end

  def test_a_holder_at_a_dead_address
    client = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.5)
    error = assert_raises(ConsulLock::UnavailableError) { client.holder(key) }
    assert_predicate error, :retryable?
  end

  def test_a_token_without_rights
    error = assert_raises(ConsulLock::DeniedError) do
      ConsulLock::Client.new(address: Consul::ACL_ADDRESS, token: "no-such-token").hold(key) { flunk }
    end
    assert_equal [403, 60], [error.http_status, error.code]
    refute_includes error.message, "no-such-token"
    assert_equal 1, ConsulLock::Client.new(address: Consul::ACL_ADDRESS, token: "root").hold(key) { 1 }
  end

  def test_stats
    assert_equal 0, client.stats[:held]
    client.hold(key) { assert_equal 1, client.stats[:held] }
    assert_equal 1, client.stats[:requests][:lock]
    assert_equal 1, client.stats[:hold_us][:count]
    assert_kind_of Integer, ConsulLock.stats[:raft_writes]
  end

  def test_the_default_client
    nowhere = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.5)
    before = ConsulLock::Lock.new(key)
    ConsulLock.default_client = nowhere
    assert_same nowhere, ConsulLock.default_client
    assert_raises(ConsulLock::UnavailableError) { ConsulLock.hold(key) { flunk } }
    assert before.acquire
    before.close
    ConsulLock.default_client = nil
    assert_nil ConsulLock.default_client
    assert_equal 7, ConsulLock.hold(key) { 7 }
  ensure
    ConsulLock.default_client = nil
  end

  def test_a_lock_keeps_its_client
    lock = ConsulLock::Client.new(address: Consul::ADDRESS).lock(key)
    GC.start
    assert lock.acquire
    lock.close
  end

  def test_the_environment
    out = ruby!(<<~RUBY, CONSUL_HTTP_ADDR: "nowhere://at-all")
      begin
        ConsulLock.hold("a") {}
      rescue ConsulLock::InvalidEnvironmentError => e
        puts e.message
      end
      p ConsulLock.stats
    RUBY
    assert_includes out, "CONSUL_HTTP_ADDR"
    assert_includes out, "{}"
  end

  # The first address is dead.
  def test_several_addresses
    client = ConsulLock::Client.new(address: [Consul::DEAD_ADDRESS, Consul::ADDRESS])
    assert_equal 7, client.hold(key) { 7 }
  end

  def test_shutdown
    2.times { holding { nil } }
    assert_nil ConsulLock.shutdown(timeout: 10)
    assert_equal 0, Consul.sessions_of(Process.pid)
    [-1, 86_401, 2**80, 1e300, Float::INFINITY, Float::NAN, nil, "2", Complex(1, 1), Time.now].each do |timeout|
      error = assert_raises(ConsulLock::InvalidArgumentError, timeout.inspect) { ConsulLock.shutdown(timeout: timeout) }
      assert_includes error.message, "timeout"
    end
    assert_equal 7, holding { 7 }
  end

  def test_no_secret_is_shown
    client = ConsulLock::Client.new(token: "s3cret")
    refute_includes client.inspect, "s3cret"
    refute_includes client.lock(key, value: "s3cret").inspect, "s3cret"
  end
end
