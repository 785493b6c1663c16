# frozen_string_literal: true

module ConsulLock
  # The idle mailboxes and the dispatcher of one process. A child of fork makes its own, because the parent's queues
  # give it no events.
  #
  # @api private
  # @private
  class Runtime
    # The number of mailboxes that are kept for reuse.
    IDLE = 8
    private_constant :IDLE

    @mutex = Mutex.new

    # @return [Runtime] the runtime of this process
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

    # Starts a call of the library, and waits for its outcome.
    #
    # @param (see #await)
    # @yieldparam (see #post)
    # @return (see #await)
    # @raise (see #await)
    def ask(patience = nil, take: nil, &question)
      await(post(&question), patience, take: take)
    end

    # Starts a call of the library.
    #
    # @yieldparam mailbox [Mailbox] the mailbox to post the call to
    # @return [Mailbox] the same mailbox, for {#await}
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

    # Waits for the outcome of a call.
    #
    # @param mailbox [Mailbox]
    # @param patience [Numeric, nil] the longest wait in seconds
    # @param take [Symbol, nil] the function that takes the result of the call out of its event
    # @return [FFI::Pointer, nil] the result
    # @raise [Error] the call failed
    def await(mailbox, patience = nil, take: nil)
      event = mailbox.next until event || !mailbox.wait(patience)
      answer(event, take) if event
    ensure
      # A mailbox whose one outcome has come is empty, and can be used again.
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

    def answer(event, take)
      error = Native.event_take_error(event)
      raise Error.take(error) unless error.null?

      Native.public_send(take, event) if take
    ensure
      Native.event_free(event)
    end
  end
end
