# frozen_string_literal: true

require_relative "helper"

# Observers of the holder of a key.
class ObserverTest < Test
  def setup
    @told = Thread::Queue.new
    @observers = []
  end

  def teardown
    @observers.each(&:close)
    super
  end

  def observe(*arguments, **options, &block)
    block ||= ->(holder) { @told << holder }
    ConsulLock.observe(*arguments, **options, &block).tap { |it| @observers << it }
  end

  def told
    Timeout.timeout(10) { @told.pop }
  end

  # Waits until the observer says that a session holds the key. An observer may skip states in between.
  def told_of(session)
    wait_until("the observer tells of #{session.inspect}") { told&.session == session }
  end

  def test_it_tells_each_change
    observe(key)
    assert_nil told
    session = holding(value: "mine") do |lock|
      holder = told
      assert_equal [lock.session_id, "mine".b, lock.fencing_token], [holder.session, holder.value, holder.fencing_token]
      assert_equal [nil, nil, nil], [holder.name, holder.node, holder.ttl]
      assert_predicate holder, :frozen?
      lock.session_id
    end
    assert session
    assert_nil told
    assert_empty @told
  end

  def test_it_tells_the_holder_at_once
    holding do |lock|
      observe(key.to_sym, client: ConsulLock::Client.new)
      told_of(lock.session_id)
    end
  end

  def test_it_is_the_thread_of_the_notices
    observe(key) { @told << Thread.current }
    assert_equal "consul_lock", told.name
  end

  def test_a_closed_observer_tells_nothing
    observer = observe(key)
    assert_nil told
    refute_predicate observer, :closed?
    2.times { assert_nil observer.close }
    assert_predicate observer, :closed?
    other = observe(key)
    holding { |lock| told_of(lock.session_id) }
    told_of(nil)
    assert_empty @told, "the closed one told, too"
    other.close
    assert_nothing_left
  end

  def test_a_block_may_close_its_observer
    observer = nil
    started = Thread::Queue.new
    observer = observe(key) do |holder|
      started.pop
      observer.close
      @told << holder
    end
    started << nil
    assert_nil told
    holding { sleep 0.2 }
    assert_empty @told
  end

  # The library's event is on its way when the observer is closed.
  def test_an_event_behind_the_close
    gate = Thread::Queue.new
    first = observe(key) { gate.pop }
    second = observe(key)
    wait_until("the first block runs") { gate.num_waiting == 1 }
    holding do
      sleep 0.3 # events of both are in the queue
      second.close
    end
    first.close
    gate << nil
    last = observe("#{key}-last")
    assert_nil told
    assert_empty @told
    last.close
  end

  def test_the_program_need_not_keep_it
    ConsulLock.observe(key) { |holder| @told << holder }
    assert_nil told
    4.times { GC.start }
    holding { |lock| told_of(lock.session_id) }
  end

  def test_closed_observers_do_not_pile_up
    count = lambda do
      GC.start
      ObjectSpace.each_object(ConsulLock::Observer).count
    end
    before = count.call
    100.times { ConsulLock.observe(key) { nil }.close }
    wait_until("they are collected") { count.call <= before + 10 }
  end

  def test_an_error_and_the_holder_again
    Gate.open do |gate|
      client = ConsulLock::Client.new(address: gate.address, request_timeout: 0.5)
      gate.shut = true
      observe(key, client: client, on_error: ->(error) { @told << error })
      error = told
      assert_equal [ConsulLock::UnavailableError, true], [error.class, error.retryable?]
      gate.shut = false
      assert_nil told
      holding { |lock| told_of(lock.session_id) }
    end
  end

  def test_without_on_error_the_block_hears_only_of_holders
    client = ConsulLock::Client.new(address: Consul::DEAD_ADDRESS, request_timeout: 0.1)
    observe(key, client: client)
    sleep 1
    assert_empty @told
  end

  def test_a_token_without_rights
    client = ConsulLock::Client.new(address: Consul::ACL_ADDRESS)
    observe(key, client: client, on_error: ->(error) { @told << error })
    assert_equal [ConsulLock::DeniedError, 403], told.then { |error| [error.class, error.http_status] }
  end

  def test_what_a_block_raises_is_a_warning
    _, complaints = capture_io do
      observe(key) do |holder|
        @told << holder
        raise NotImplementedError, "own"
      end
      assert_nil told
      holding { |lock| told_of(lock.session_id) }
      wait_until("both are warnings") { $stderr.string.scan("own").size >= 2 }
    end
    assert_includes complaints, "consul_lock: a block of on_lost or observe, or the logger, raised: "
  end

  def test_wrong_arguments
    assert_raises(ArgumentError) { ConsulLock.observe(key) }
    assert_raises(ConsulLock::InvalidArgumentError) { observe("a//b") }
    assert_raises(ConsulLock::InvalidArgumentError) { observe([key]) }
    assert_raises(TypeError) { observe(key, client: "x") }
    assert_raises(TypeError) { observe(key).dup }
  end

  def test_a_refused_observer_leaves_nothing
    before = observers
    assert_raises(ConsulLock::InvalidArgumentError) { observe("a//b") }
    assert_equal before, observers
  end

  def observers
    ConsulLock::Runtime.current.dispatcher.instance_variable_get(:@observers).size
  end

  def test_the_environment
    out = ruby!(<<~RUBY, CONSUL_HTTP_ADDR: "nowhere://at-all")
      begin
        ConsulLock.observe("a") {}
      rescue ConsulLock::InvalidEnvironmentError => e
        puts e.message
      end
    RUBY
    assert_includes out, "CONSUL_HTTP_ADDR"
  end

  # A fork while an observer works: the parent's goes on, and the child has its own.
  def test_fork
    observer = observe(key)
    assert_nil told
    reader, writer = IO.pipe
    child = fork do
      seen = Thread::Queue.new
      ConsulLock.observe(key) { |holder| seen << holder }
      Timeout.timeout(10) { seen.pop }
      writer.puts "ready"
      wait_until("it sees the parent") { seen.pop&.name.nil? }
      observer.close
      writer.puts @told.empty?
      exit! 0
    rescue Exception => e # rubocop:disable Lint/RescueException
      writer.puts e.full_message(highlight: false)
      exit! 1
    end
    assert_equal "ready\n", reader.gets
    holding do |lock|
      told_of(lock.session_id)
      assert_equal "true\n", reader.gets
    end
    assert_predicate Process.wait2(child).last, :success?
    told_of(nil)
  end

  def test_a_program_with_an_observer_ends
    ruby!("ConsulLock.observe(ARGV[0]) { nil }", key)
    assert_equal "held\n", ruby!(<<~'RUBY', key)
      ConsulLock.observe(ARGV[0]) do |holder|
        next unless holder

        $stdout.syswrite("held\n")
        exit
      end
      ConsulLock.hold(ARGV[0]) { sleep 30 }
    RUBY
  end

  # Thread#raise and Thread#kill wait for the end of the mask, and the handler of a signal does not.
  def test_an_interrupted_observe_leaves_no_observer
    begin_observing = ConsulLock::Native.method(:observe)
    [-> { Thread.current.raise(KeyError) }, -> { Thread.current.kill }, -> { throw :out }].each do |interrupt|
      before = observers
      begun = lambda do |*arguments|
        begin_observing.call(*arguments).tap { interrupt.call }
      end
      thread = Thread.new do
        catch(:out) { ConsulLock::Native.stub(:observe, begun) { observe(key) } }
      rescue KeyError
        nil
      end
      assert_nil thread.value
      assert_equal before, observers
    end
  end

  def test_collecting_all_the_time
    GC.stress = true
    observer = observe(key)
    assert_nil told
    GC.stress = false
    holding { |lock| told_of(lock.session_id) }
    observer.close
  ensure
    GC.stress = false
  end
end
