# frozen_string_literal: true

require_relative "helper"
require_relative "scheduler"

# An interruption of its thread ends a wait at once, and leaves nothing behind.
class InterruptTest < Test
  # Seconds: "at once" on a busy machine.
  AT_ONCE = 8

  def test_timeout
    holding do
      assert_raises(Timeout::Error) { assert_timely { Timeout.timeout(0.2) { acquire } } }
      assert_raises(KeyError) { assert_timely { Timeout.timeout(0.2, KeyError) { acquire } } }
      assert_raises(Timeout::Error) { Timeout.timeout(0.2) { ConsulLock.hold(key, acquire_timeout: 60) { flunk } } }
      assert_line_is_empty
    end
    assert_nothing_left
  end

  def test_thread_kill
    holding do
      thread = waiting
      assert_timely { thread.kill.join }
      assert_nil thread.value
      assert_line_is_empty
    end
    assert_nothing_left
  end

  # The LostError of the release must not end the kill.
  def test_a_killed_thread_stays_dead
    thread = Thread.new do
      holding do
        Consul.delete(full_key)
        sleep
      end
    rescue ConsulLock::LostError
      flunk "it lives"
    end
    wait_until("it sleeps") { thread.stop? && Consul.keys(full_key).empty? }
    assert_nil thread.kill.join.value
  end

  def test_thread_raise
    holding do
      thread = waiting
      thread.raise(KeyError, "enough")
      assert_equal "enough", assert_raises(KeyError) { assert_timely { thread.value } }.message
      assert_line_is_empty
    end
    assert_nothing_left
  end

  def test_an_interrupted_lock_is_used_up_and_not_held
    holding do
      lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
      assert_raises(Timeout::Error) { Timeout.timeout(0.2) { lock.acquire } }
      assert_raises(ConsulLock::AlreadyUsedError) { lock.acquire }
      refute lock.release
      refute_predicate lock, :lost?
    end
  end

  # Consul does not answer.
  def test_timeout_inside_of_a_request
    Gate.open do |gate|
      gate.shut = true
      client = ConsulLock::Client.new(address: gate.address)
      assert_raises(Timeout::Error) { assert_timely { Timeout.timeout(0.2) { client.hold(key) { flunk } } } }
      assert_raises(Timeout::Error) { assert_timely { Timeout.timeout(0.2) { client.holder(key) } } }
      gate.shut = false
      assert_nothing_left
    end
  end

  # An interruption at any moment, also just after the success, leaves nothing behind.
  def test_timeout_at_any_moment
    lock = ConsulLock::Lock.new(key)
    begun = now
    lock.acquire
    lock.release
    longest = now - begun
    outcomes = []
    until outcomes.uniq.size == 2 || longest > 10
      longest *= 2 # a busy machine needs more time
      outcomes += Array.new(RUNS * 5) { |number| outcome_within(0.0001 + (longest * number / (RUNS * 5))) }
    end
    assert_equal %i[held interrupted], outcomes.uniq.sort
    assert_nothing_left
  end

  def outcome_within(seconds)
    Timeout.timeout(seconds) { holding(acquire_timeout: 5) { :held } }
  rescue Timeout::Error
    :interrupted
  end

  def test_kill_at_any_moment
    RUNS.times do |number|
      thread = Thread.new { holding(acquire_timeout: 5) { sleep 0.001 } }
      sleep 0.0003 * number
      thread.kill
      assert thread.join(AT_ONCE)
    end
    assert_nothing_left
  end

  def test_an_interrupted_release_goes_on
    Gate.open do |gate|
      lock = ConsulLock::Client.new(address: gate.address, release_timeout: 60).lock(key)
      lock.acquire
      gate.shut = true
      assert_raises(Timeout::Error) { assert_timely { Timeout.timeout(0.2) { lock.release } } }
      assert_equal [false, false], [lock.held?, lock.lost?]
      lock.close
      assert_equal [full_key], Consul.keys(full_key)
      gate.shut = false
      assert_nothing_left
    end
  end

  # A mask of the caller delays an interruption.
  def test_a_mask_of_the_callers_holds
    lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
    won = false
    thread = nil
    holding do
      thread = Thread.new { Thread.handle_interrupt(KeyError => :never) { won = lock.acquire } }
      wait_until("it waits") { Consul.keys("#{full_key}/.fifo/").any? }
      thread.raise(KeyError)
    end
    assert_raises(KeyError) { thread.value }
    assert won
    lock.close
    assert_nothing_left
  end

  def test_ctrl_c
    { INT: "Interrupt", TERM: "SignalException" }.each do |signal, exception|
      holding do |lock|
        out, pid = interrupted_program(signal)
        assert_equal "#{exception}\n", out
        assert_nothing_left_of pid
        assert_equal [full_key], Consul.keys(full_key)
        lock.check
      end
    end
  end

  # Runs a program that waits for the lock, and ends it by a signal.
  def interrupted_program(signal)
    program = <<~RUBY
      $stdout.sync = true
      begin
        puts Process.pid
        ConsulLock.hold(ARGV[0], acquire_timeout: 60, lock_timeout: 10) {}
      rescue Interrupt, SignalException => e
        puts e.class
      end
    RUBY
    IO.popen([RbConfig.ruby, "-I", File.join(ROOT, "lib"), "-r", "consul_lock", "-e", program, key]) do |io|
      pid = Integer(io.gets)
      wait_until("it waits") { Consul.keys("#{full_key}/.fifo/").any? }
      Process.kill(signal, pid)
      [assert_timely { io.read }, pid]
    end
  end

  # Each wait after the success, however short, can be interrupted.
  def test_an_acquire_that_is_interrupted_after_its_success
    interruptions.each do |interrupt|
      lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
      before = ConsulLock::Lock.new(key).tap(&:acquire)
      thread = waiting(lock)
      engaged(lock) do
        before.release
        wait_until("it has succeeded") { stands_in_line?(thread) }
        interrupt.call(thread)
      end
      assert_interrupted thread
      refute_predicate lock, :held?
      assert_nothing_left
    end
  end

  # Ruby interrupts a thread between any two steps, also between the library's call and the first step behind it.
  def test_an_acquire_that_is_interrupted_as_soon_as_it_has_begun
    begin_acquire = ConsulLock::Native.method(:acquire_start)
    %i[acquire try_acquire].each do |way|
      lock = ConsulLock::Lock.new(key)
      begun = lambda do |*arguments|
        status = begin_acquire.call(*arguments)
        wait_until("it has succeeded") { ConsulLock::Native.is_held(arguments.first) }
        raise KeyError if status.zero?
      end
      ConsulLock::Native.stub(:acquire_start, begun) { assert_raises(KeyError) { lock.public_send(way) } }
      refute_predicate lock, :held?
      assert_raises(ConsulLock::AlreadyUsedError) { lock.acquire }
      assert_nothing_left
    end
  end

  # The library refuses to begin, and the lock is not used up: an interruption of the next acquire undoes that one.
  def test_an_acquire_after_one_that_did_not_begin
    lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
    ConsulLock::Native.stub(:acquire_start, ->(*) { raise KeyError }) { assert_raises(KeyError) { lock.acquire } }
    holding do
      assert_raises(Timeout::Error) { assert_timely { Timeout.timeout(0.2) { lock.acquire } } }
      assert_line_is_empty
    end
    assert_nothing_left
  end

  # While other threads call the lock all the time, an interrupted acquire has either returned true, or is undone.
  def test_raise_at_any_moment
    (RUNS * 2).times do |number|
      lock = ConsulLock::Lock.new(key, acquire_timeout: 60)
      won = false
      thread = Thread.new { won = lock.acquire }
      handle = lock.instance_variable_get(:@handle)
      pollers = Array.new(2) { Thread.new { sleep 0.0001 while thread.alive? && handle.use { sleep 0.0002 } } }
      number.even? ? sleep(0.0001 * number) : (Thread.pass until lock.held? || !thread.alive?)
      thread.raise(KeyError)
      assert_timely { thread.join } rescue KeyError # rubocop:disable Style/RescueModifier
      assert_equal won, lock.held?
      pollers.each(&:join)
      lock.close
    end
    assert_nothing_left
  end

  def test_a_release_that_is_interrupted_before_it_began
    %i[release close abandon].product(interruptions).each do |way, interrupt|
      lock = ConsulLock::Lock.new(key)
      lock.acquire
      thread = nil
      engaged(lock) do
        thread = Thread.new { lock.public_send(way) }
        wait_until("it has to wait") { stands_in_line?(thread) }
        interrupt.call(thread)
      end
      assert_interrupted thread
      refute_predicate lock, :held?
      Consul.end_session_of(full_key) if way == :abandon
      assert_nothing_left
    end
  end

  # No mask delays the handler of a signal.
  def test_ctrl_c_before_a_release_began
    %i[release close].each do |way|
      assert_equal "Interrupt false\n", ruby!(<<~'RUBY', key, way.to_s)
        lock = ConsulLock::Lock.new(ARGV[0])
        lock.acquire
        gate = Thread::Queue.new
        other = Thread.new { lock.instance_variable_get(:@handle).use { gate.pop } }
        Thread.pass until other.stop?
        Thread.new(Thread.current) do |main|
          sleep 0.01 until main.backtrace.any? { |line| line.include?("synchronize") }
          Process.kill(:INT, Process.pid)
          sleep 0.2
          gate << nil
        end
        begin
          lock.public_send(ARGV[1])
        rescue Interrupt => e
          puts "#{e.class} #{lock.held?}"
        end
        ConsulLock.shutdown(timeout: 10)
      RUBY
      assert_nil Consul.session_on(full_key)
    end
  end

  # The handler of a second signal raises while the acquire, which the first signal has interrupted, is being undone.
  def test_a_second_ctrl_c_leaves_no_lock
    assert_equal "Interrupt\n", ruby!(<<~'RUBY', key)
      before = ConsulLock::Lock.new(ARGV[0]).tap(&:acquire)
      lock = ConsulLock::Lock.new(ARGV[0], acquire_timeout: 60)
      Thread.new(Thread.current) do |main|
        waits = ->(place) { sleep 0.01 until %w[synchronize].push(place).all? { |it| main.backtrace.join.include?(it) } }
        sleep 0.01 until ConsulLock.stats[:waiting] == 1
        lock.instance_variable_get(:@handle).use do
          before.release
          %w[acquire undo].each do |place|
            waits.call(place)
            Process.kill(:INT, Process.pid)
          end
          sleep 0.3
        end
      end
      begin
        lock.acquire
      rescue Interrupt => e
        puts e.class
      end
      deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 5
      sleep 0.01 while lock.held? && Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
      ConsulLock.shutdown(timeout: 10)
    RUBY
    assert_nil Consul.session_on(full_key)
  end

  # An interrupted second acquire, which is an error, undoes nothing of the first.
  def test_an_interrupted_second_acquire
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    RUNS.times do |number|
      thread = Thread.new { lock.acquire }
      sleep 0.00002 * number
      thread.raise(KeyError)
      assert_raises(KeyError, ConsulLock::AlreadyUsedError) { thread.value }
    end
    lock.check
    lock.close
    assert_nothing_left
  end

  def test_a_signal_handler_starts_a_thread
    client = ConsulLock::Client.new
    lock = client.lock(key, acquire_timeout: 60)
    before = trap("USR1") { Thread.new { lock.cancel } }
    holding do
      Thread.new do
        wait_until("it waits") { client.stats[:waiting] == 1 }
        Process.kill(:USR1, Process.pid)
      end
      assert_raises(ConsulLock::CancelledError) { assert_timely { lock.acquire } }
    end
  ensure
    trap("USR1", before)
  end

  def test_other_threads_run_meanwhile
    holding do
      thread = waiting
      turns = 0
      assert_timely do
        10.times { turns += 1 while turns < 100 }
        100.times { Thread.pass }
      end
      assert_equal 100, turns
      assert_predicate thread, :alive?
      thread.kill.join
    end
  end

  # The test runs a program, so that threads of other tests do not count.
  def test_a_wait_costs_no_time_of_the_processor
    holding do
      spent = ruby!(<<~'RUBY', key)
        def wait(seconds)
          before = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
          ConsulLock::Lock.new(ARGV[0], acquire_timeout: seconds).try_acquire and abort "it is free"
          Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - before
        end
        wait(0) # which loads everything
        puts wait(2)
      RUBY
      assert_operator Float(spent), :<, 0.3
    end
  end

  # Waits share the library's threads, and need no Ruby thread but the caller's.
  def test_waits_cost_no_threads
    holding do
      threads = Array.new(40) { |number| Thread.new { ConsulLock.hold(key, acquire_timeout: 60) { number } } }
      wait_until("all wait") { ConsulLock.stats[:waiting] >= 40 }
      others = Dir["/proc/self/task/*"].size - Thread.list.size
      assert_operator others, :<, 33 # docs/threading.md: 32 at most
      threads.first(20).each(&:kill)
      @served = threads.drop(20)
    end
    assert_equal (20..39).to_a, @served.map(&:value)
    assert_nothing_left
  end

  def test_fibers_run_meanwhile
    order = []
    holding do |lock|
      Thread.new do
        Fiber.set_scheduler(Scheduler.new)
        Fiber.schedule { ConsulLock.hold(key, acquire_timeout: 60) { order << :held } }
        Fiber.schedule do
          sleep 0.1
          order << :slept
          lock.release
        end
      end.join
    end
    assert_equal %i[slept held], order
    assert_nothing_left
  end

  private

  # Waits, as an interrupted acquire waits for Consul's confirmation only for a moment.
  def assert_line_is_empty
    wait_until("the line is empty") { Consul.keys("#{full_key}/.fifo/").empty? }
  end

  def acquire
    ConsulLock::Lock.new(key, acquire_timeout: 60).acquire
  end

  def assert_timely(&block)
    assert_within(AT_ONCE, &block)
  end

  def interruptions
    [->(thread) { thread.raise(KeyError) }, ->(thread) { thread.kill }]
  end

  def assert_interrupted(thread)
    assert_nil assert_timely { thread.value }
  rescue KeyError
    nil
  end

  # Runs the block while another thread is in a call on the lock.
  def engaged(lock)
    gate = Thread::Queue.new
    thread = Thread.new { lock.instance_variable_get(:@handle).use { gate.pop } }
    wait_until("it is inside") { thread.stop? }
    yield
  ensure
    gate << nil
    thread.join
  end

  def stands_in_line?(thread)
    thread.backtrace.any? { |line| line.include?("synchronize") }
  end
end
