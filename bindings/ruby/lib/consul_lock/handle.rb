# frozen_string_literal: true

module ConsulLock
  # A lock of the library until it is freed. Its calls go one at a time, as each returns at once; so closing it never
  # pulls it away from under a call of another thread.
  #
  # @api private
  # @private
  class Handle
    # Leaves a lock that nobody released to its TTL, and says so.
    class Finalizer < Releaser
      def initialize(pointer)
        super(pointer, :abandon)
      end

      # The garbage collector found the lock, or the program ends.
      def call(_object_id)
        return unless @pointer

        key = Native.text(:key, @pointer) if Native.is_held(@pointer)
        free # first, as a logger may fail
        complain(key) if key
      end

      private

      def complain(key)
        message = "the lock \"#{key}\" was dropped without a release: it stays in Consul until its life ends"
        ConsulLock.logger ? ConsulLock.logger.warn("consul_lock") { message } : warn("consul_lock: #{message}")
      end
    end

    # How many seconds a trap handler waits for another thread that is inside.
    PATIENCE = 1
    private_constant :PATIENCE

    def initialize(pointer)
      @pointer = pointer
      @mutex = Mutex.new
      @closed = @freed = false
      @finalizer = Finalizer.new(pointer)
      ObjectSpace.define_finalizer(self, @finalizer)
    end

    # In a trap handler, too.
    #
    # @yieldparam pointer [FFI::Pointer] for calls that return at once
    # @raise [ClosedError]
    # @raise [TrapError] in a trap handler, while another thread is inside and stays there
    def use(&block)
      inside = false
      @mutex.synchronize do
        inside = true
        give(&block)
      end
    rescue ThreadError
      raise if inside

      use_in_trap(&block)
    end

    def closed?
      @closed
    end

    # Closes it to all others and frees it. Does nothing the second time. It returns at once, and is done even if the
    # thread is interrupted meanwhile.
    #
    # @yieldparam pointer [FFI::Pointer] for a last call, which returns at once
    # @return [nil]
    def close(&last)
      Thread.handle_interrupt(Object => :never) { finish(&last) }
    ensure
      finish(&last) unless @freed # a signal came, which nothing can mask
    end

    # Has a block told when the lock is lost.
    def on_lost(block)
      use do |pointer|
        Runtime.current.dispatcher.watch(self) do |tag, sender, error|
          @tag = tag
          @block = block
          Native.set_lost_callback(pointer, Native::QUEUE_LOST, sender, Native::SENDER_FREE, error)
        end
      end
    end

    # The lock was lost. What was meant for a block of the past is not for this one.
    def lost(tag, reason)
      return unless tag == @tag

      block = @block
      @block = nil
      block&.call(reason)
    end

    private

    def give
      raise ClosedError, "the lock is closed" if @closed

      yield @pointer
    end

    # Ruby lets a trap handler take the mutex only if it need not wait. The thread that it interrupted may be inside:
    # then the pointer stays as it is until the handler is over.
    def use_in_trap(&block)
      return give(&block) if @mutex.owned?

      enter
      begin
        give(&block)
      ensure
        @mutex.unlock
      end
    end

    # Another thread inside is there for a moment, unless it waits for the one that the handler interrupted.
    def enter
      deadline = now + PATIENCE
      until @mutex.try_lock
        raise TrapError, "another thread is inside of a call on the lock: try again when the handler is over" if
          now > deadline

        Thread.pass
      end
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # Others hear that it is closed before they hear what the last call does to theirs.
    def finish
      @mutex.synchronize do
        next if @freed

        @closed = true
        yield @pointer if block_given?
        @freed = true
        @finalizer.free
      end
      nil
    end
  end
end
