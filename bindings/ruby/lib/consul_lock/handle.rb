# frozen_string_literal: true

module ConsulLock
  # A handle owns a lock of the library until it frees the lock. It makes one call at a time, each of which returns at
  # once, so it never frees the lock during a call of another thread.
  #
  # @api private
  # @private
  class Handle
    # Leaves a lock without a release to its TTL, with a warning.
    class Finalizer < Releaser
      def initialize(pointer)
        super(pointer, :abandon)
      end

      # The garbage collector found the lock, or the program ends.
      def call(_object_id)
        return unless @pointer

        key = Native.text(:key, @pointer) if Native.is_held(@pointer)
        free # first: a logger may fail
        complain(key) if key
      end

      private

      def complain(key)
        message = "the lock \"#{key}\" was dropped without a release: it stays in Consul until its life ends"
        ConsulLock.logger ? ConsulLock.logger.warn("consul_lock") { message } : warn("consul_lock: #{message}")
      end
    end

    # A block for the loss of the lock. Only the handle keeps it.
    class Notice
      def initialize(block)
        @block = block
      end

      # Calls the block with the reason of the loss, once.
      def call(reason)
        forget&.call(reason)
      end

      # A later block takes the place of this one.
      #
      # @return [Proc, nil] the block, unless it was called
      def forget
        block = @block
        @block = nil
        block
      end
    end

    # How many seconds a trap handler waits for another thread's call.
    PATIENCE = 1
    private_constant :PATIENCE

    def initialize(pointer)
      @pointer = pointer
      @mutex = Mutex.new
      @closed = @freed = false
      @finalizer = Finalizer.new(pointer)
      ObjectSpace.define_finalizer(self, @finalizer)
    end

    # Lends the lock for a call, also in a trap handler.
    #
    # @yieldparam pointer [FFI::Pointer] for calls that return at once
    # @raise [ClosedError]
    # @raise [TrapError] in a trap handler, while another thread's call does not end
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

    # Refuses all later calls, and frees the lock. Does nothing the second time. It returns at once, and an interruption
    # of the thread does not prevent it.
    #
    # @yieldparam pointer [FFI::Pointer] for a last call, which returns at once
    # @return [nil]
    def close(&last)
      Thread.handle_interrupt(Object => :never) { finish(&last) }
    ensure
      finish(&last) unless @freed # the handler of a signal raised, which no mask prevents
    end

    # Registers a block for the notice of a loss.
    def on_lost(block)
      use do |pointer|
        notice = Notice.new(block)
        Runtime.current.dispatcher.watch(notice) do |sender, error|
          @notice&.forget # its news may be on its way
          @notice = notice
          Native.set_lost_callback(pointer, Native::QUEUE_LOST, sender, Native::SENDER_FREE, error)
        end
      end
    end

    private

    def give
      raise ClosedError, "the lock is closed" if @closed

      yield @pointer
    end

    # Ruby lets a trap handler take the mutex only without a wait. If the interrupted thread owns the mutex, the pointer
    # does not change until the handler ends.
    def use_in_trap(&block)
      return give(&block) if @mutex.owned?

      enter
      begin
        give(&block)
      ensure
        @mutex.unlock
      end
    end

    # The call of another thread ends soon, unless that thread waits for the thread that the handler interrupted.
    def enter
      deadline = now + PATIENCE
      until @mutex.try_lock
        raise TrapError, "another thread is in a call on the lock: try again when the handler is over" if
          now > deadline

        Thread.pass
      end
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # Notes the close before the last call, so that calls which the last call ends raise ClosedError.
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
