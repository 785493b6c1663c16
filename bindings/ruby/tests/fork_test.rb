# frozen_string_literal: true

require_relative "helper"

# A child of fork holds none of its parent's locks, and can acquire its own.
class ForkTest < Test
  def test_as_in_a_preloading_server
    holding(value: "parent") do |lock|
      workers = Array.new(3) do |number|
        child do
          ConsulLock.hold("#{key}-#{number}") do |own|
            own.held? && own.session_id != lock.session_id && ConsulLock.holder(key).value
          end
        end
      end
      assert_equal ["parent"] * 3, workers.map { |worker| answer(worker) }
      lock.check
    end
  end

  # A job in a fork acquires the lock, while the parent waits for the child.
  def test_as_in_a_forking_worker
    RUNS.times do
      assert_equal "done", answer(child { ConsulLock.hold(key, acquire_timeout: 30) { "done" } })
    end
    holding { nil }
    assert_nothing_left
  end

  def test_the_parents_lock_answers_that_it_is_not_the_childs
    holding do |lock|
      told = answer(child do
        methods = [-> { lock.acquire }, -> { lock.release }, -> { lock.renew }, -> { lock.check },
                   -> { lock.downgrade }, -> { lock.upgrade }, -> { lock.put_if_held("a", "b") },
                   -> { lock.on_lost { nil } }]
        errors = methods.map { |method| assert_raises(ConsulLock::ForkedError, &method).status }.uniq
        [*errors, lock.held?, lock.lost?, lock.remaining, lock.fencing_token, lock.slot, lock.key, lock.close].inspect
      end)
      assert_equal "[:forked, false, false, 0.0, #{lock.fencing_token}, nil, #{full_key.inspect}, nil]", told
      lock.check
    end
  end

  def test_leaving_a_hold_in_the_child_does_nothing_to_the_parents_lock
    out = ruby!(<<~'RUBY', key)
      begin
        ConsulLock.hold(ARGV[0]) do |lock|
          child = fork or next
          Process.wait(child)
          lock.check
          puts "still held"
        end
      rescue ConsulLock::ForkedError
        puts "not the child's"
      end
    RUBY
    assert_equal ["not the child's", "still held"], out.split("\n")
  end

  def test_the_collector_in_the_child_does_nothing_to_the_parents_lock
    lock = ConsulLock::Lock.new(key)
    lock.acquire
    told = answer(child do
      lock = nil
      $stderr = StringIO.new
      4.times { GC.start }
      $stderr.string
    end)
    assert_equal "", told
    lock.check
    lock.close
  end

  def test_while_other_threads_wait
    holding do |lock|
      threads = Array.new(4) { Thread.new { ConsulLock::Lock.new(key, acquire_timeout: 60).try_acquire } }
      wait_until("all wait") { ConsulLock.stats[:waiting] >= 4 }
      assert_equal "false", answer(child { ConsulLock::Lock.new(key).try_acquire.to_s })
      threads.each { |thread| thread.kill.join }
      lock.check
    end
    assert_nothing_left
  end

  def test_a_child_of_a_child
    holding do
      told = answer(child { answer(child { ConsulLock.hold("#{key}-own") { "deep" } }) })
      assert_equal "deep", told
    end
  end

  def test_a_daemon
    out, status = Open3.capture2e(RbConfig.ruby, "-I", File.join(ROOT, "lib"), "-r", "consul_lock", "-e",
                                  <<~'RUBY', key)
                                    $stdout.sync = true
                                    reader, writer = IO.pipe
                                    ConsulLock.hold(ARGV[0]) do
                                      if fork
                                        puts reader.gets
                                        exit! 0
                                      end
                                      Process.daemon
                                      writer.puts ConsulLock.hold("#{ARGV[0]}-own") { |lock| lock.held? }
                                      exit!
                                    end
                                  RUBY
    assert_predicate status, :success?
    assert_equal "true\n", out
    Consul.end_session_of(full_key)
  end

  def test_notices_and_log_in_the_child
    lines = StringIO.new
    ConsulLock.logger = Logger.new(lines)
    told = answer(child { [lose_a_lock, wait_until("a line comes") { lines.string[/ERROR .*#{key}-own/] }].inspect })
    assert_match(/\A\[:key_gone, "ERROR -- consul_lock: /, told)
    assert_empty lines.string, "the parent's log is not the child's"
  ensure
    ConsulLock.logger = nil
  end

  def lose_a_lock
    lock = ConsulLock::Lock.new("#{key}-own", monitor: false)
    told = Thread::Queue.new
    lock.on_lost { |reason| told << reason }
    lock.acquire
    Consul.delete(lock.key)
    assert_raises(ConsulLock::LostError) { lock.check }
    Timeout.timeout(10) { told.pop }
  end

  private

  # Forks a child that runs the block, and returns the block's value.
  def child
    reader, writer = IO.pipe
    pid = fork do
      writer.write(yield)
      writer.close
      exit! 0
    rescue Exception => e # rubocop:disable Lint/RescueException
      writer.write(e.full_message(highlight: false))
      exit! 1
    end
    writer.close
    [pid, reader]
  end

  def answer(child)
    pid, reader = child
    Process.kill(:KILL, pid) unless reader.wait_readable(30)
    told = reader.read
    assert_predicate Process.wait2(pid).last, :success?, told
    told
  end
end
