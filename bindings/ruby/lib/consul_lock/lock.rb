# frozen_string_literal: true

module ConsulLock
  # A lock on one key. Single use: acquire it once, release it.
  #
  #   lock = ConsulLock::Lock.new("nightly-report", acquire_timeout: 30)
  #   if lock.try_acquire
  #     begin
  #       make_the_report
  #     ensure
  #       lock.release
  #     end
  #   end
  #
  # {ConsulLock.hold} does all of that. Any thread may call any method at any time. A wait of a method ends at once
  # when the thread is interrupted (Timeout, Thread#raise, Thread#kill, Ctrl-C), and leaves nothing behind.
  #
  # In a handler of Signal.trap a program may call the methods that ask nothing: {#cancel}, {#abandon}, {#held?},
  # {#lost?}, {#remaining}, {#fencing_token}, {#key}, {#session_id}, {#closed?}. The rest raises {TrapError} there, and
  # does nothing.
  #
  # After a fork a lock stays the parent's: in the child its methods raise {ForkedError}, and it is not held there.
  class Lock
    # How many seconds an interrupted acquire waits until Consul has confirmed that nothing is left of it. Beyond
    # that the library sees to it in the background.
    UNDO_PATIENCE = 0.25
    private_constant :UNDO_PATIENCE

    # Makes a lock. Reads the options, the defaults and, for the default client, the environment; sends nothing.
    #
    # @param key [String, Symbol] what to lock; it is put into the default +lock_key_pattern+ to make the key in
    #   Consul's KV store
    # @param fail_hard [Boolean] whether {#acquire} raises {NotAcquiredError} (else it answers false)
    # @param client [Client, nil] instead of the default client
    # @param options [Hash{Symbol => Object}] the lock's options (README.md lists them), such as
    #   +acquire_timeout: 30+; nil counts as left out, and the defaults fill that in
    # @raise [InvalidArgumentError] the key is one that Consul would change or refuse
    # @raise [InvalidOptionError] an option is unknown, belongs to a client, or is out of its range
    # @raise [InvalidEnvironmentError] a variable of the default client's is wrong
    def initialize(key, fail_hard: true, client: nil, **options)
      @runtime = Runtime.current
      @name = Native.utf8_key(key)
      @fail_hard = fail_hard
      @generator = ConsulLock.value_generator if options[:value].nil?
      @handle = Handle.new(Options.lend(options, client) { |native| make(native) })
      @begun = @to_release = @acquired = @over = @lost = false
    end

    # Takes the lock. Waits for it up to the option +acquire_timeout+; its default 0 makes exactly one attempt. Who
    # waits is served in the order of coming, between processes, too.
    #
    # A lock is used up by its first acquire, whatever the outcome ({ValueFailedError} excepted). If it fails or is
    # interrupted, nothing is left behind in Consul.
    #
    # @return [Boolean] true: it is yours, with its whole life ahead; false only without +fail_hard+: somebody else
    #   had it until the deadline
    # @raise [NotAcquiredError] somebody else had it until the deadline, and the message says who
    # @raise [AlreadyUsedError] it was acquired before
    # @raise [CancelledError] by {#cancel}
    # @raise [ValueFailedError] the value generator has no value
    # @raise [UnavailableError] Consul gave no usable answer in time
    # @raise [DeniedError, RejectedError] Consul refused
    def acquire
      take
    rescue NotAcquiredError
      raise if @fail_hard

      false
    end

    # As {#acquire}, but somebody else's lock is no failure.
    #
    # @return [Boolean] false: somebody else had it until the deadline; everything else is raised
    def try_acquire
      take
    rescue NotAcquiredError
      false
    end

    # Gives the lock back and removes its key, at once; can only ever touch this very lock. An acquire that another
    # thread waits for is cancelled. A release that is interrupted goes on in the background.
    #
    # @return [Boolean] true: it was held until now; false: there was nothing to give back
    # @raise [LostError] it had been lost before, so others may have worked meanwhile
    # @raise [UnconfirmedError] Consul did not confirm within the client's +release_timeout+; the library goes on in
    #   the background while the process lives, and {ConsulLock.shutdown} waits for that
    def release
      Trap.refuse("release")
      @over ||= @to_release
      ended = false
      ask { |lock, sender, error| Native.release_start(lock, Native::QUEUE_DONE, sender, error) }
      @to_release = false
      ended = true
    rescue Error => e
      ended = true
      raise unless e.is_a?(NotHeldError)

      @to_release = false
    ensure
      undo unless ended # it may not have begun
    end

    # Ends an acquire that another thread waits for: it raises {CancelledError}. Sticky: an acquire that comes later
    # does so, too. Does nothing to a lock that is held or closed. Never waits, and may be called in a trap handler.
    #
    # @return [nil]
    def cancel
      @handle.use { |lock| Native.cancel(lock) }
      nil
    rescue ClosedError
      nil
    rescue TrapError
      Trap.leave { cancel } # another thread is inside of the lock
    end

    # Starts the lock's life anew, for work that takes longer than was thought.
    #
    # @return [self]
    # @raise [LostError] it is not yours any more: stop the work
    # @raise [NotHeldError]
    # @raise [UnavailableError] Consul gave no usable answer; the lock is held as long as {#remaining} says
    def renew
      ask { |lock, sender, error| Native.renew_start(lock, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Asks Consul whether the lock is still held, and so also finds out that an operator took it away. Does not
    # extend its life.
    #
    # @return [self]
    # @raise (see #renew)
    def check
      ask { |lock, sender, error| Native.check_start(lock, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Writes a key of Consul's KV store if and only if this lock is held, in one transaction: a holder of the past,
    # however long it was paused, cannot write.
    #
    # @param key [String] the key as it stands in the KV store, not put into +lock_key_pattern+
    # @param value [String] any bytes, at most 390,000
    # @return [self]
    # @raise [LostError] the lock is not yours any more, and nothing was written
    # @raise [NotHeldError] nothing was written
    # @raise [UnconfirmedError] Consul's answer was lost: it may have been written, or may be as long as the lock is
    #   in Consul. While it is held, the same call may be made again
    # @raise [UnavailableError, DeniedError, RejectedError] nothing was written
    # @raise [InvalidArgumentError] a key or a value that is refused
    def put_if_held(key, value)
      key = Native.utf8_key(key)
      raise InvalidArgumentError, "value: #{value.class} is no String" unless value.is_a?(String)

      ask do |lock, sender, error|
        Native.put_if_held_start(lock, key, value, value.bytesize, Native::QUEUE_DONE, sender, error)
      end
      self
    end

    # Deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
    #
    # @param key [String] as for {#put_if_held}
    # @return [self]
    # @raise (see #put_if_held)
    def delete_if_held(key)
      key = Native.utf8_key(key)
      ask { |lock, sender, error| Native.delete_if_held_start(lock, key, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Has the block called when the lock is lost: once, with how (+:expired+, +:session_gone+, +:key_gone+ or
    # +:taken_over+), at the end of its life at the latest, network or not. It takes the place of the one before.
    # Never called for a lock that was given back, closed, abandoned or dropped.
    #
    # Blocks run on one thread of Ruby's for all locks, one after the other: say there that the work must stop, and
    # return. What a block raises is printed by Kernel#warn.
    #
    # @yieldparam reason [Symbol]
    # @return [self]
    def on_lost(&block)
      raise ArgumentError, "no block given" unless block

      Trap.refuse("on_lost")
      @handle.on_lost(block)
      self
    end

    # Whether the lock is held, as far as this process can know by its own clock. Asks nobody. Look before each step
    # that must not be done twice.
    def held?
      @handle.use { |lock| Native.is_held(lock) }
    rescue ClosedError
      false
    end

    # Whether the lock was held once and is not any more, without having been given back.
    def lost?
      @lost || (@acquired && !@over && !held? && @runtime.pid == Process.pid)
    end

    # @return [Float] how many seconds are left of the lock's life, by this process's own clock; 0.0 when it is not
    #   held. Asks nobody
    def remaining
      @handle.use { |lock| Native.remaining_ms(lock) } / 1000.0
    rescue ClosedError
      0.0
    end

    # The fencing token: it grows with every acquisition of the key. Send it along with what you write, and let the
    # receiver refuse a smaller one than it has seen: that stops a holder that was paused past the end of its lock.
    #
    # @return [Integer, nil] nil before the lock was acquired; stays the same afterwards
    attr_reader :fencing_token

    # @return [String] where the lock lives in Consul's KV store, such as "locks/ephemeral/nightly-report"
    # @raise [ClosedError]
    def key
      @key ||= @handle.use { |lock| Native.text(:key, lock) }
    end

    # @return [String, nil] the id of the session that holds, or held, the lock; nil before it was acquired
    # @raise [ClosedError]
    def session_id
      id = @handle.use { |lock| Native.text(:session_id, lock, 36) }
      id unless id.empty?
    end

    # Ends the lock. A held one is released; an acquire that another thread waits for raises {ClosedError} there, and
    # so does whatever is called afterwards that needs the lock. Never raises, so it can stand in an +ensure+: call
    # {#release} before to know how that went. Does nothing the second time, and in a child after fork gives up only
    # memory. A lock that was released need not be closed: the garbage collector sees to it.
    #
    # @return [nil]
    # @raise [TrapError] in a trap handler, the one exception
    def close
      Trap.refuse("close")
      @over = true
      outcome = nil
      @handle.close { |lock| outcome = give_back(lock) if @to_release }
      hear(outcome) if outcome
    end

    # Ends the lock without giving it back, and without waiting: a held one stays in Consul until its life ends. For
    # work that may be done only once in that time, by whomever.
    #
    # @return [nil]
    def abandon
      return Trap.leave { abandon } if Trap.inside?

      @over = true
      @handle.close
    end

    # The end of a {ConsulLock.hold}.
    #
    # @param quietly [Boolean] whether something else is being raised
    # @api private
    def finish(quietly:)
      release if @to_release && !closed?
    rescue Error
      raise unless quietly
    ensure
      close
    end

    # Whether {#close} or {#abandon} was called.
    def closed?
      @handle.closed?
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{@name.inspect} #{state}>"
    end

    private

    def state
      return "lost" if lost?
      return "closed" if closed?

      held? ? "held" : "not held"
    end

    def initialize_copy(_other)
      raise TypeError, "a lock cannot be copied; it can be shared"
    end

    def make(native)
      Native.check { |error| Native.new(@name, native, error) }
    end

    # Begins a call of the library on this lock, and waits for its outcome.
    #
    # @yieldreturn [Integer] the status of the beginning
    # @raise [Error]
    def ask(patience = nil)
      Runtime.current.ask(patience) do |mailbox|
        @handle.use { |lock| mailbox.post { |sender, error| yield lock, sender, error } }
      end
    rescue LostError
      @lost = true
      raise
    rescue Error => e
      raise if e.is_a?(ClosedError) || !closed?

      raise ClosedError, "the lock was closed meanwhile"
    end

    # Either there is an outcome, or the call is interrupted: by an exception, a throw, or the end of the thread. Then
    # what it began, and may have won, is undone. So that it is won has to be the last that happens: whatever waits,
    # even for a moment, can be interrupted.
    def take
      Trap.refuse("acquire")
      generate_value
      mine = ended = false
      begin
        ask do |lock, sender, error|
          status = Native.acquire_start(lock, Native::QUEUE_DONE, sender, error)
          # The first one is the one that can win. What it has is not another's to undo.
          mine = @begun = @to_release = true if status.zero? && !@begun
          status
        end
        @fencing_token = @handle.use { |lock| Native.fencing_token(lock) }
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

    # Gives back what nobody waits for any more, and what it has won meanwhile.
    def undo
      Thread.handle_interrupt(Object => :never) do
        ask(UNDO_PATIENCE) { |lock, sender, error| Native.release_start(lock, Native::QUEUE_DONE, sender, error) }
      end
      @to_release = false
    rescue Error
      nil # nothing was left, or the library goes on in the background; the interruption is what counts
    end

    # Begins a release.
    #
    # @return [Mailbox, nil] to which the outcome comes
    def give_back(lock)
      Runtime.current.post do |mailbox|
        mailbox.post { |sender, error| Native.release_start(lock, Native::QUEUE_DONE, sender, error) }
      end
    rescue ClosedError, TrapError
      raise # of a handler of Signal.trap, which came in between: the release has still to begin
    rescue Error
      nil # as in a child after fork
    end

    # What the library has to say of a failure, the log says.
    def hear(outcome)
      Runtime.current.await(outcome)
      nil
    rescue Error
      nil
    end

    # Runs the generator on the thread that acquires, and outside of everything that could be locked.
    def generate_value
      return unless @generator

      value = begin
        @generator.call
      rescue StandardError => e
        raise ValueFailedError, "could not acquire the lock #{@name.inspect}: the value generator raised #{e.class}"
      end
      unless value.is_a?(String)
        raise ValueFailedError, "could not acquire the lock #{@name.inspect}: the value generator has no value, " \
                                "which would be a String, but #{value.class}"
      end

      @handle.use { |lock| Native.check { |error| Native.set_value(lock, value, value.bytesize, error) } }
    rescue InvalidArgumentError => e
      raise ValueFailedError, e.message
    end
  end
end
