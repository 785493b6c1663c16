# frozen_string_literal: true

module ConsulLock
  # Runs the blocks of the program's that want to hear of lost locks and of lines of log: one after the other, on
  # one thread, which is started when the first wants to.
  #
  # @api private
  class Dispatcher
    LOST_REASONS = { 1 => :expired, 2 => :session_gone, 3 => :key_gone, 4 => :taken_over }.freeze

    # The library's levels count down to ERROR = 1, Logger's up to ERROR = 3.
    LOUDEST = 4
    private_constant :LOUDEST

    def initialize
      @mutex = Mutex.new
      @handlers = {}
      @last_tag = 0
      @log_tag = nil
    end

    # Has a block told of the loss of a lock, once.
    #
    # @return [Integer] a number to {#forget} it by
    def on_lost(lock, block)
      told = lambda do |event|
        forget(Native.event_tag(event))
        block.call(LOST_REASONS[Native.event_code(event)])
      end
      subscribe(told) do |ticket, error|
        Native.set_lost_callback(lock, Native::QUEUE_LOST, ticket, Native::TICKET_FREE, error)
      end
    end

    # @param logger [Logger, nil]
    def log_to(logger)
      former = @log_tag
      if logger
        level = (LOUDEST - logger.level).clamp(1, LOUDEST)
        @log_tag = subscribe(->(event) { log(logger, event) }) do |ticket, _error|
          Native.set_log_callback(Native::QUEUE_LOG, ticket, Native::TICKET_FREE, level)
        end
      else
        Native.set_log_callback(nil, nil, nil, LOUDEST)
      end
      forget(former)
    end

    # Finalizers call this: it takes no mutex.
    def forget(tag)
      @handlers.delete(tag)
    end

    private

    def subscribe(handler, &registration)
      @mutex.synchronize do
        @mailbox ||= Mailbox.new
        @thread = Thread.new { run }.tap { |it| it.name = "consul_lock" } unless @thread&.alive?
        @handlers[@last_tag += 1] = handler
        @mailbox.subscribe(@last_tag, &registration)
        @last_tag
      rescue Error
        forget(@last_tag)
        raise
      end
    end

    def run
      loop do
        event = @mailbox.take
        begin
          @handlers[Native.event_tag(event)]&.call(event)
        rescue SystemExit
          raise # which ends the program, as everywhere
        rescue Exception => e # rubocop:disable Lint/RescueException
          warn "consul_lock: a block that was told something raised: #{e.full_message}"
        ensure
          Native.event_free(event)
        end
      end
    end

    def log(logger, event)
      line = Native.text(:event_line, event, 1023)
      logger.add(LOUDEST - Native.event_code(event), line, "consul_lock")
    end
  end
end
