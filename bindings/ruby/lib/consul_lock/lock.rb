# frozen_string_literal: true

require_relative "calls"

module ConsulLock
  # A lock on one key, or on several. A lock is single use: a program acquires it once and releases it.
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
  # {ConsulLock.hold} does all of that. Any thread may call any method at any time. An interruption of the thread
  # (Timeout, Thread#raise, Thread#kill, Ctrl-C) ends the wait of a method at once, and leaves nothing behind.
  #
  # A handler of Signal.trap may call the methods that send nothing: {#cancel}, {#abandon}, {#held?}, {#lost?},
  # {#remaining}, {#fencing_token}, {#slot}, {#key}, {#keys}, {#session_id}, {#closed?}. The other methods raise
  # {TrapError} there, and do nothing.
  #
  # After a fork a lock stays the parent's: in the child the lock is not held, and its methods raise {ForkedError}.
  class Lock
    include Calls

    # Makes a lock. Reads the options, the defaults and, for the default client, the environment. Sends nothing.
    #
    # @param key [String, Symbol, Array<String, Symbol>] the name of the work; the default +lock_key_pattern+ makes of
    #   it the key in Consul's KV store. With an Array, of at most 30 keys, the lock takes all of them or none, in one
    #   transaction. Such locks never wait for each other in a circle, whatever the order of their keys
    # @param share [Boolean, nil] whether the lock shares its key with others that share it, but never with an exclusive
    #   lock: +share: true+ is <code>mode: "share"</code>. nil: only with the option +limit+, which says how many may
    #   share the key at once
    # @param fail_hard [Boolean] whether {#acquire} raises {NotAcquiredError}; with false it returns false
    # @param client [Client, nil] instead of the default client
    # @param options [Hash{Symbol => Object}] the lock's options (README.md lists them), such as
    #   +acquire_timeout: 30+; an option that is nil has its default
    # @raise [InvalidArgumentError] the key is one that Consul would change or refuse, or there are too many keys
    # @raise [InvalidOptionError] an option is unknown, belongs to a client, or is out of its range; or a lock of
    #   several keys is to share them
    # @raise [InvalidEnvironmentError] a variable of the default client is wrong
    def initialize(key, fail_hard: true, share: nil, client: nil, **options)
      @runtime = Runtime.current
      @name = key.is_a?(Array) ? key.map { |it| Native.utf8_key(it) } : Native.utf8_key(key)
      @fail_hard = fail_hard
      @generator = ConsulLock.value_generator if options[:value].nil?
      options = Options.with_share(options, share)
      @handle = Handle.new(Options.lend(options, client) { |set| Native.lock(@name, set) })
      @to_release = @acquired = @over = @lost = false
    end

    # Takes the lock. Waits as long as the option +acquire_timeout+ says, whose default 0 makes exactly one attempt.
    # Waiters are served first come, first served, within a process and between processes.
    #
    # The first acquire uses a lock up, whatever the outcome ({ValueFailedError} excepted). An acquire that fails or is
    # interrupted leaves nothing behind in Consul.
    #
    # @return [Boolean] true: the lock is held, with its whole life; false only without +fail_hard+: another session had
    #   the lock until the deadline
    # @raise [NotAcquiredError] another session had the lock until the deadline, and the message names the holder
    # @raise [ConflictError] others share the key with another +limit+
    # @raise [AlreadyUsedError] the lock was used before
    # @raise [CancelledError] {#cancel} ended the acquire
    # @raise [ValueFailedError] the value generator gave no value
    # @raise [UnavailableError] Consul gave no usable answer in time
    # @raise [DeniedError, RejectedError] Consul refused
    def acquire
      take
    rescue NotAcquiredError
      raise if @fail_hard

      false
    end

    # Does what {#acquire} does, but returns false instead of raising {NotAcquiredError}.
    #
    # @return [Boolean] false: another session had the lock until the deadline
    # @raise (see #acquire)
    def try_acquire
      take
    rescue NotAcquiredError
      false
    end

    # Releases the lock and removes its key, at once. Never touches the lock of another holder. Cancels an acquire that
    # waits in another thread. An interrupted release goes on in the background.
    #
    # @return [Boolean] true: the lock was held until now; false: the lock was not held
    # @raise [LostError] the lock had been lost before, so others may have worked meanwhile
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
      undo unless ended # the interruption may have come before the release began
    end

    # Ends an acquire that waits in another thread: the acquire raises {CancelledError}. A cancel is sticky: a later
    # acquire raises the same. A held lock stays held: only an {#upgrade} that waits ends. Does nothing to a closed
    # lock. Never waits, and works in a trap handler.
    #
    # @return [nil]
    def cancel
      @handle.use { |lock| Native.cancel(lock) }
      nil
    rescue ClosedError
      nil
    rescue TrapError
      Trap.leave { cancel } # another thread is in a call on the lock
    end

    # Starts the lock's life anew, for work that takes longer than expected.
    #
    # @return [self]
    # @raise [LostError] the lock is lost, and the caller stops the work
    # @raise [NotHeldError] the lock is not held
    # @raise [UnavailableError] Consul gave no usable answer; the lock is held until {#remaining} is 0
    def renew
      ask { |lock, sender, error| Native.renew_start(lock, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Asks Consul whether the lock is still held, so it also finds a loss that no notice has reported yet. Does not
    # extend the lock's life.
    #
    # @return [self]
    # @raise (see #renew)
    def check
      ask { |lock, sender, error| Native.check_start(lock, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between. Others may share
    # the key from then on, at most as many as the option +limit+ of the lock says. (With +share: false+ a limit is for
    # this alone.) The fencing token grows. An interrupted downgrade goes on in the background.
    #
    # @return [self]
    # @raise [InvalidArgumentError] the lock shares its key already, has several keys, or is being downgraded or
    #   upgraded
    # @raise (see #renew)
    def downgrade
      ask { |lock, sender, error| Native.downgrade_start(lock, Native::QUEUE_DONE, sender, error) }
      look
      self
    end

    # Turns a share into an exclusive lock, without a gap: what the holder has read stays true. Waits until the others
    # that share the key have released it, and meanwhile no other lock can take the key. The fencing token grows.
    #
    # Of two locks that share a key only one can be upgraded at a time, as each would wait for the other. So the second
    # upgrade raises {NotAcquiredError} at once. The caller then releases that lock, takes a new, exclusive one, and
    # reads again what it has read.
    #
    # An interruption ends the wait, and the lock is a share as before, or exclusive if it has just become that.
    #
    # @param timeout [Numeric] how many seconds to wait for the others; 0: not at all; Float::INFINITY: until {#cancel}
    # @return [self]
    # @raise [NotAcquiredError] others still share the key, or another lock is being upgraded, also without +fail_hard+.
    #   The lock is a share, as before
    # @raise [CancelledError] {#cancel} ended the wait, and the lock is a share, as before
    # @raise [InvalidArgumentError] the lock is exclusive already, or is being downgraded or upgraded, or +timeout+ is
    #   wrong
    # @raise (see #renew)
    def upgrade(timeout: 0)
      Trap.refuse("upgrade")
      milliseconds = Options.milliseconds(:timeout, timeout, forever: true)
      ended = false
      begin
        ask do |lock, sender, error|
          Native.upgrade_start(lock, milliseconds, Native::QUEUE_DONE, sender, error)
        end
        ended = true
      rescue Error
        ended = true
        raise
      ensure
        end_upgrade unless ended
      end
      look
      self
    end

    # Writes a key of Consul's KV store in one transaction with a check that this lock is held, so that a former holder
    # cannot write.
    #
    # @param key [String] a plain key of the KV store; +lock_key_pattern+ does not apply
    # @param value [String] any bytes, at most 390,000
    # @return [self]
    # @raise [LostError] the lock is lost, and Consul has written nothing
    # @raise [NotHeldError] the lock is not held, and Consul has written nothing
    # @raise [UnconfirmedError] Consul's answer was lost: Consul may have written the value, or may write it later, as
    #   long as the lock is in Consul. While the lock is held, the caller may repeat the call
    # @raise [UnavailableError, DeniedError, RejectedError] Consul has written nothing
    # @raise [InvalidArgumentError] the key or the value is wrong
    def put_if_held(key, value)
      key = Native.utf8_key(key)
      raise InvalidArgumentError, "value: #{value.class} is no String" unless value.is_a?(String)

      ask do |lock, sender, error|
        Native.put_if_held_start(lock, key, value, value.bytesize, Native::QUEUE_DONE, sender, error)
      end
      self
    end

    # Deletes a key of Consul's KV store in the same way. A key that does not exist is no error.
    #
    # @param key [String] as for {#put_if_held}
    # @return [self]
    # @raise (see #put_if_held)
    def delete_if_held(key)
      key = Native.utf8_key(key)
      ask { |lock, sender, error| Native.delete_if_held_start(lock, key, Native::QUEUE_DONE, sender, error) }
      self
    end

    # Registers a block that is called once when the lock is lost, at the end of the lock's life at the latest, also
    # without Consul. The block gets the reason: +:expired+, +:session_gone+, +:key_gone+ or +:taken_over+. A later
    # block replaces an earlier one. A released, closed, abandoned or dropped lock calls no block.
    #
    # One Ruby thread runs the blocks of all locks, one after the other. A block therefore only stops the work, and
    # returns. Kernel#warn prints the exception of a block.
    #
    # @yieldparam reason [Symbol]
    # @return [self]
    def on_lost(&block)
      raise ArgumentError, "no block given" unless block

      Trap.refuse("on_lost")
      @handle.on_lost(block)
      self
    end

    # Whether the lock is held, by this process's own clock. Sends nothing. The holder asks before each step that must
    # not be done twice.
    def held?
      @handle.use { |lock| Native.is_held(lock) }
    rescue ClosedError
      false
    end

    # Whether the lock was held and is not any more, without a release.
    def lost?
      @lost || (@acquired && !@over && !held? && @runtime.pid == Process.pid)
    end

    # @return [Float] the rest of the lock's life in seconds, by this process's own clock; 0.0 when the lock is not
    #   held. Sends nothing
    def remaining
      @handle.use { |lock| Native.remaining_ms(lock) } / 1000.0
    rescue ClosedError
      0.0
    end

    # The fencing token grows with every acquisition of the key. The holder sends it along with each write, and the
    # receiver refuses a token smaller than one that it has seen. That stops a holder that was paused past the end of
    # its lock. Of locks with a +limit+ the receiver keeps a token for each {#slot}.
    #
    # @return [Integer, nil] nil before the acquire. Only {#downgrade} and {#upgrade} change it afterwards
    def fencing_token
      look
      @token
    end

    # The slot of a lock that shares its key with a +limit+, such as the number of a worker. No two locks that share the
    # key at the same time have the same slot.
    #
    # @return [Integer, nil] from 0 and below the limit; nil: the lock was not acquired yet, is exclusive, or has no
    #   limit. Stays the same when the lock is over
    def slot
      look
      @slot
    end

    # @return [String] the full key in Consul's KV store, such as "locks/ephemeral/nightly-report"; of several keys the
    #   first of {#keys}
    # @raise [ClosedError]
    def key
      @key ||= @handle.use { |lock| Native.text(:key, lock) }
    end

    # @return [Array<String>] the full keys, in the order of their bytes, each of them once
    # @raise [ClosedError]
    def keys
      @keys ||= @handle.use do |lock|
        Array.new(Native.keys_count(lock)) { |index| Native.text(:key_at, lock, 255, index).freeze }.freeze
      end
    end

    # @return [String, nil] the id of the session that holds, or held, the lock; nil before the acquire
    # @raise [ClosedError]
    def session_id
      id = @handle.use { |lock| Native.text(:session_id, lock, 36) }
      id unless id.empty?
    end

    # Releases a held lock and frees its memory. An acquire that waits in another thread raises {ClosedError}, and so do
    # later calls that need the lock. Raises no error of the release, so that it can stand in an +ensure+: {#release}
    # reports that error. Does nothing the second time. In a child after fork it frees memory only. The garbage
    # collector frees a released lock without a close.
    #
    # @return [nil]
    # @raise [TrapError] in a trap handler
    def close
      Trap.refuse("close")
      @over = true
      outcome = nil
      @handle.close do |lock|
        remember(lock)
        outcome = give_back(lock) if @to_release
      end
      hear(outcome) if outcome
    end

    # Closes the lock without a release and without a wait: a held lock stays in Consul until its life ends. It is for
    # work that all processes together may do only once in that time.
    #
    # @return [nil]
    def abandon
      return Trap.leave { abandon } if Trap.inside?

      @over = true
      @handle.close { |lock| remember(lock) }
    end

    # Releases and closes the lock at the end of a {ConsulLock.hold}.
    #
    # @param quietly [Boolean] whether another exception is on its way
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
  end
end
