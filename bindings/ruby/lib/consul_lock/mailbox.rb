# frozen_string_literal: true

require "io/wait"

module ConsulLock
  # The library puts events into a mailbox: outcomes, losses, lines of the log. A Ruby thread waits for events as for
  # any other IO. So other threads run meanwhile (and fibers, under a scheduler), Timeout, Thread#kill and Ctrl-C end
  # the wait at once, and no thread of the library ever enters Ruby.
  #
  # @api private
  # @private
  class Mailbox
    # The library sends one byte when the first event comes. Into a string as short as that Ruby would read within its
    # own heap, where GC.compact of another thread can make the read fail with EFAULT.
    BYTES = 4096
    private_constant :BYTES

    def initialize
      descriptor = FFI::MemoryPointer.new(:int32)
      @queue = Native.check { |error| Native.queue_new(descriptor, error) }
      @releaser = Releaser.new(@queue, :queue_free)
      ObjectSpace.define_finalizer(self, @releaser)
      @io = IO.for_fd(descriptor.read_int32, "rb")
      @bytes = +""
      @error = FFI::MemoryPointer.new(:pointer)
    end

    # Starts a call of the library whose outcome comes to this mailbox.
    #
    # @yieldparam sender [FFI::Pointer] belongs to the library from then on, unless the library refuses
    # @yieldparam error [FFI::Pointer]
    # @yieldreturn [Integer] the status
    # @raise [Error] the library refused, and sends no event
    def post
      sender = Native.sender_new(@queue, 0)
      return if (yield sender, @error).zero?

      Native.sender_free(sender)
      raise Error.take(@error.read_pointer)
    end

    # Makes the library send any number of events with a tag.
    #
    # @yieldparam sender [FFI::Pointer] belongs to the library, also when the library refuses
    # @yieldparam error [FFI::Pointer]
    def subscribe(tag)
      Native.check { |error| yield Native.sender_new(@queue, tag), error }
    end

    # Waits for events, which {#next} then gives one by one. One thread at a time may wait.
    #
    # @param patience [Numeric, nil] the longest wait in seconds
    # @return [Boolean] false: no event came
    def wait(patience = nil)
      return false if patience && !@io.wait_readable(patience)

      @io.readpartial(BYTES, @bytes)
      true
    end

    # @return [FFI::Pointer, nil] the next event, which the caller frees
    def next
      event = Native.queue_next(@queue)
      event unless event.null?
    end

    # Frees the queue. The library drops later events.
    def close
      @releaser.free
      @io.close
    end
  end
end
