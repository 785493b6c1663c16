# frozen_string_literal: true

module ConsulLock
  # Runs the blocks of {Lock#on_lost} and {ConsulLock.observe} and the logger, one after the other, on one thread, which
  # the first of them starts.
  #
  # A dispatcher keeps no lock alive: the lock's own handle keeps the notice with the block. It keeps an observer until
  # that is closed, because a program may drop its observer.
  #
  # @api private
  # @private
  class Dispatcher
    LOST_REASONS = { 1 => :expired, 2 => :session_gone, 3 => :key_gone, 4 => :taken_over }.freeze

    # The library's levels count down to ERROR = 1, Logger's up to ERROR = 3.
    LOUDEST = 4

    # The tag of the lines of the log. Locks have other tags.
    LOG = 0
    private_constant :LOG

    def initialize
      @mutex = Mutex.new
      # Each notice is there once: GC.compact of Ruby 3.1 crashes on 30 keys of one object.
      @watched = ObjectSpace::WeakMap.new
      @observers = {}
      @last_tag = LOG
    end

    # Registers a notice of a lock's loss, as long as something else keeps the notice.
    #
    # @param notice [Handle::Notice] the dispatcher calls it with the reason
    # @yieldparam sender [FFI::Pointer]
    # @yieldparam error [FFI::Pointer]
    def watch(notice, &block)
      subscribe do |mailbox|
        tag = @last_tag += 1
        @watched[tag] = notice
        mailbox.subscribe(tag, &block)
      end
    end

    # Registers an observer, until {#forget}.
    #
    # @param observer [Observer] the dispatcher calls its +hear+ with each event
    # @yieldparam tag [Integer]
    # @yieldparam sender [FFI::Pointer]
    # @yieldparam error [FFI::Pointer]
    def observe(observer)
      subscribe do |mailbox|
        tag = @last_tag += 1
        @observers[tag] = observer
        mailbox.subscribe(tag) { |sender, error| yield tag, sender, error }
      end
    end

    # Forgets an observer, also in a trap handler.
    def forget(tag)
      @observers.delete(tag)
    end

    # @param logger [Logger, nil]
    def log_to(logger)
      @logger = logger
      return Native.set_log_callback(nil, nil, nil, LOUDEST) unless logger

      level = (LOUDEST - logger.level).clamp(1, LOUDEST)
      subscribe do |mailbox|
        mailbox.subscribe(LOG) do |sender, _error|
          Native.set_log_callback(Native::QUEUE_LOG, sender, Native::SENDER_FREE, level)
        end
      end
    end

    private

    def subscribe
      @mutex.synchronize do
        @mailbox ||= Mailbox.new
        @thread = start unless @thread&.alive?
        yield @mailbox
      end
    end

    # A thread inherits the mask of the thread that starts it. With a mask of all exceptions it would not end with the
    # program.
    def start
      thread = Thread.new { Thread.handle_interrupt(Object => :immediate) { run } }
      thread.name = "consul_lock"
      thread
    end

    def run
      loop do
        @mailbox.wait
        while (event = @mailbox.next)
          handle(event)
        end
      end
    end

    def handle(event)
      deliver(Native.event_tag(event), event)
    rescue SystemExit
      raise # ends the program, as in any thread
    rescue Exception => e # rubocop:disable Lint/RescueException
      complain(e)
    ensure
      Native.event_free(event)
    end

    # A closed standard error must not end the thread.
    def complain(error)
      warn "consul_lock: a block of on_lost or observe, or the logger, raised: #{error.full_message}"
    rescue IOError, SystemCallError
      nil
    end

    def deliver(tag, event)
      observer = @observers[tag]
      return observer.hear(event) if observer

      code = Native.event_code(event)
      return @watched[tag]&.call(LOST_REASONS[code]) unless tag == LOG

      @logger&.add(LOUDEST - code, Native.text(:event_line, event, 1023), "consul_lock")
    end
  end
end
