# frozen_string_literal: true

require "io/wait"

module ConsulLock
  # Where the library puts what it has to tell: outcomes, lost locks, lines of log. Ruby waits for it as for any
  # other IO. So other threads run meanwhile (and fibers, under a scheduler); Timeout, Thread#kill and Ctrl-C end
  # the wait at once; and no thread of the library ever enters Ruby.
  #
  # @api private
  # @private
  class Mailbox
    # More than ever wait: the library sends one byte when the first event comes.
    BYTES = 8
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

    # Begins a call of the library whose outcome comes here.
    #
    # @yieldparam sender [FFI::Pointer] the library's from then on, unless it refuses
    # @yieldparam error [FFI::Pointer]
    # @yieldreturn [Integer] the status
    # @raise [Error] the library refused, and will tell nothing
    def post
      sender = Native.sender_new(@queue, 0)
      return if (yield sender, @error).zero?

      Native.sender_free(sender)
      raise Error.take(@error.read_pointer)
    end

    # Has the library tell again and again, under a number.
    #
    # @yieldparam sender [FFI::Pointer] the library's, whether it refuses or not
    # @yieldparam error [FFI::Pointer]
    def subscribe(tag)
      Native.check { |error| yield Native.sender_new(@queue, tag), error }
    end

    # Waits until something comes, after which {#next} gives all of it, event by event. One thread at a time.
    #
    # @param patience [Numeric, nil] for how many seconds at most
    # @return [Boolean] false: nothing came
    def wait(patience = nil)
      return false if patience && !@io.wait_readable(patience)

      @io.readpartial(BYTES, @bytes)
      true
    end

    # @return [FFI::Pointer, nil] an event, which the caller frees
    def next
      event = Native.queue_next(@queue)
      event unless event.null?
    end

    # Nobody will hear what is still to come.
    def close
      @releaser.free
      @io.close
    end
  end
end
