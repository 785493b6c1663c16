# frozen_string_literal: true

# A small scheduler of fibers: while a fiber waits for an IO or sleeps, the others run.
class Scheduler
  def initialize
    @readable = {}
    @asleep = {}
    @unblocked = Thread::Queue.new
  end

  def run
    until @readable.empty? && @asleep.empty?
      wake = @asleep.values.compact.min
      ready, = IO.select(@readable.keys, nil, nil, wake && [wake - now, 0].max)
      (ready || []).each { |io| @readable.delete(io).resume }
      due = @asleep.select { |_fiber, at| at && at <= now }.keys
      due.each do |fiber|
        @asleep.delete(fiber)
        fiber.resume
      end
    end
  end
  alias close run

  def io_wait(io, events, timeout)
    raise NotImplementedError unless events == IO::READABLE && timeout.nil?

    @readable[io] = Fiber.current
    Fiber.yield
    events
  end

  def kernel_sleep(duration = nil)
    @asleep[Fiber.current] = now + duration
    Fiber.yield
  end

  # Ruby demands these methods for a Mutex, though no test needs them.
  def block(_blocker, _timeout = nil)
    raise NotImplementedError
  end

  def unblock(_blocker, _fiber)
    raise NotImplementedError
  end

  def fiber(&block)
    Fiber.new(blocking: false, &block).tap(&:resume)
  end

  private

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
