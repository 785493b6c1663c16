# frozen_string_literal: true

module ConsulLock
  # Calls a block with the holder of a key, at once and at each change, until {#close}. {ConsulLock.observe} makes one.
  class Observer
    # @api private
    def initialize(key, client, on_error, block)
      @on_error = on_error
      @block = block
      @closed = false
      @dispatcher = Runtime.current.dispatcher
      # An interruption must not leave an observer that the program cannot close.
      Thread.handle_interrupt(Object => :never) { start(key, client) }
      started = true
    ensure
      close unless started
    end
    private_class_method :new

    # @api private
    def self.start(...)
      new(...)
    end

    # Ends the observer: its block is not called any more. A call of the block that runs on the other thread goes on.
    # Does nothing the second time. Never waits, and works in a trap handler and in the block itself.
    #
    # @return [nil]
    def close
      @closed = true
      Thread.handle_interrupt(Object => :never) do
        @dispatcher.forget(@tag)
        @releaser&.free
      end
      nil
    end

    # Whether {#close} was called.
    def closed?
      @closed
    end

    # Calls the block that an event is for. The dispatcher calls this on its thread.
    #
    # @api private
    def hear(event)
      error = Native.event_take_error(event)
      if error.null?
        holder = Holder.take(Native.event_take_holder(event))
        @block.call(holder) unless @closed
      else
        error = Error.take(error)
        @on_error&.call(error) unless @closed
      end
    end

    private

    def start(key, client)
      @dispatcher.observe(self) do |tag, sender, error|
        @tag = tag
        observer = Native.observe(client&.pointer, key, Native::QUEUE_OBSERVED, sender, Native::SENDER_FREE, error)
        @releaser = Releaser.new(observer, :observer_free)
      end
    end

    def initialize_copy(_other)
      raise TypeError, "an observer cannot be copied; it can be shared"
    end
  end
end
