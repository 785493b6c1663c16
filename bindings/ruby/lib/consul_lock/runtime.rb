# frozen_string_literal: true

module ConsulLock
  # What belongs to one process: idle mailboxes, and the dispatcher. A child of fork gets its own, as nothing comes
  # out of its parent's.
  #
  # @api private
  # @private
  class Runtime
    # Mailboxes kept at hand. Beyond them a thread that waits makes one, and closes it.
    IDLE = 8
    private_constant :IDLE

    @mutex = Mutex.new

    # @return [Runtime] this process's
    def self.current
      runtime = @current
      return runtime if runtime && runtime.pid == Process.pid

      Trap.refuse("the first use of ConsulLock in a process")
      @mutex.synchronize do
        @current = new unless @current && @current.pid == Process.pid
        @current
      end
    end

    attr_reader :pid, :dispatcher

    def initialize
      @pid = Process.pid
      @idle = Thread::Queue.new
      @dispatcher = Dispatcher.new
      @dispatcher.log_to(ConsulLock.logger) if ConsulLock.logger
    end

    # Asks the library, and waits for the outcome.
    #
    # @param (see #await)
    # @yieldparam (see #post)
    # @return (see #await)
    # @raise (see #await)
    def ask(patience = nil, &question)
      await(post(&question), patience)
    end

    # Asks the library.
    #
    # @yieldparam mailbox [Mailbox] where to post the question
    # @return [Mailbox] the same, for {#await}
    # @raise [Error] the library refused
    # @raise [TrapError] in a trap handler
    def post
      Trap.refuse("a call that asks Consul")
      mailbox = idle_mailbox
      yield mailbox
      posted = mailbox
    ensure
      mailbox&.close unless posted
    end

    # Waits for the outcome of what was asked.
    #
    # @param mailbox [Mailbox]
    # @param patience [Numeric, nil] for how many seconds at most
    # @return [FFI::Pointer, nil] who holds the lock, if that was the question
    # @raise [Error] if that is the outcome
    def await(mailbox, patience = nil)
      event = mailbox.next until event || !mailbox.wait(patience)
      answer(event) if event
    ensure
      # One that has told its one outcome is empty, and can be used again.
      event ? keep(mailbox) : mailbox.close
    end

    private

    def idle_mailbox
      @idle.pop(true)
    rescue ThreadError
      Mailbox.new
    end

    def keep(mailbox)
      @idle.size < IDLE ? @idle << mailbox : mailbox.close
    end

    def answer(event)
      error = Native.event_take_error(event)
      raise Error.take(error) unless error.null?

      Native.event_take_holder(event)
    ensure
      Native.event_free(event)
    end
  end
end
