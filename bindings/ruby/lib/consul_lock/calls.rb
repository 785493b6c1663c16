# frozen_string_literal: true

module ConsulLock
  # The calls of a {Lock} that wait, and what the library does when an interruption ends such a wait.
  #
  # @api private
  # @private
  module Calls
    # How many seconds an interrupted acquire or upgrade waits for Consul's confirmation that it is undone. After that
    # the library goes on in the background.
    UNDO_PATIENCE = 0.25
    private_constant :UNDO_PATIENCE

    private

    # Starts a call of the library on this lock, and waits for its outcome.
    #
    # @yieldreturn [Integer] the status of the start
    # @raise [Error]
    def ask(patience = nil)
      Runtime.current.ask(patience) do |mailbox|
        @handle.use { |lock| mailbox.post { |sender, error| yield lock, sender, error } }
      end
    rescue LostError
      @lost = true
      raise
    rescue CancelledError, NotHeldError
      # A close causes these two alone. Any other error came before the close, and is what happened.
      raise unless closed?

      raise ClosedError, "the lock was closed meanwhile"
    end

    # An acquire has an outcome, or an exception, a throw or the end of the thread interrupts it. An interrupted acquire
    # is undone, also when it has succeeded. So the success is noted last: any wait before can be interrupted. And the
    # beginning is noted first: as soon as the library has begun, an interruption may come.
    def take
      Trap.refuse("acquire")
      generate_value
      mine = ended = false
      begin
        ask do |lock, sender, error|
          # Only the first acquire can succeed, and a second one must not undo it.
          mine = @to_release = true unless @to_release
          Native.acquire_start(lock, Native::QUEUE_DONE, sender, error)
        end
        @handle.use { |lock| remember(lock) }
        @acquired = ended = true
      rescue Error
        ended = true
        @to_release = false if mine
        raise
      ensure
        undo if mine && !ended
      end
      true
    end

    # Undoes an interrupted acquire, also one that has succeeded. The handler of a signal can raise here, in spite of
    # the mask. Then another thread goes on, in which no handler of a signal runs.
    def undo(again: true)
      undone = false
      Thread.handle_interrupt(Object => :never) do
        ask(UNDO_PATIENCE) { |lock, sender, error| Native.release_start(lock, Native::QUEUE_DONE, sender, error) }
        undone = true
      end
      @to_release = false
    rescue Error => e
      undone = true # the lock is not held, or the library goes on in the background
      @to_release = false unless e.is_a?(NoResourcesError) # then the release has not begun
    ensure
      Trap.leave { undo(again: false) } if again && !undone
    end

    # Ends the wait of an interrupted upgrade. The library answers a check only when the lock is a share again, so the
    # check waits for that. The handler of a signal can raise here, as in {#undo}.
    def end_upgrade(again: true)
      ended = false
      Thread.handle_interrupt(Object => :never) do
        cancel if held? # a lock that is not held waits in no upgrade, but perhaps in an acquire
        ask(UNDO_PATIENCE) { |lock, sender, error| Native.check_start(lock, Native::QUEUE_DONE, sender, error) }
        ended = true
      end
    rescue Error
      ended = true # the lock is over, or the library goes on in the background
    ensure
      Trap.leave { end_upgrade(again: false) } if again && !ended
    end

    # Reads what an acquire, a downgrade and an upgrade change.
    def look
      @handle.use { |lock| remember(lock) }
    rescue ClosedError
      nil # the close has read it
    end

    # Keeps what a lock still answers after its end, and in a child after fork.
    def remember(lock)
      token = Native.fencing_token(lock)
      return if token.zero?

      slot = Native.slot(lock)
      @slot = (slot unless slot.negative?)
      @token = token
    end

    # Starts a release.
    #
    # @return [Mailbox, nil] the receiver of the outcome
    def give_back(lock)
      Runtime.current.post do |mailbox|
        mailbox.post { |sender, error| Native.release_start(lock, Native::QUEUE_DONE, sender, error) }
      end
    rescue ClosedError, TrapError
      raise # a handler of Signal.trap came in between, and the release has not begun
    rescue Error
      nil # such as ForkedError in a child
    end

    # Waits for the outcome of a release. The log has its error.
    def hear(outcome)
      Runtime.current.await(outcome)
      nil
    rescue Error
      nil
    end

    # Calls the generator on the thread that acquires, while that thread owns no mutex.
    def generate_value
      return unless @generator

      value = begin
        @generator.call
      rescue StandardError => e
        raise ValueFailedError, "could not acquire the lock #{@name.inspect}: the value generator raised #{e.class}"
      end
      unless value.is_a?(String)
        raise ValueFailedError, "could not acquire the lock #{@name.inspect}: the value generator must return a " \
                                "String, not #{value.class}"
      end

      @handle.use { |lock| Native.check { |error| Native.set_value(lock, value, value.bytesize, error) } }
    rescue InvalidArgumentError => e
      raise ValueFailedError, e.message
    end
  end
end
