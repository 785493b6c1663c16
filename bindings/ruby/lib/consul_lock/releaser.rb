# frozen_string_literal: true

module ConsulLock
  # Frees an object of the library once: in {#free}, or as the finalizer of the owner.
  #
  # @api private
  # @private
  class Releaser
    def initialize(pointer, function)
      @pointer = pointer
      @function = function
    end

    # Forgets the pointer first: an interruption in between leaks the object, and cannot free it twice.
    def free
      pointer = @pointer
      @pointer = nil
      Native.public_send(@function, pointer) if pointer
    end

    # Ruby calls this when the garbage collector has found the owner, or at exit.
    def call(_object_id)
      free
    end
  end
end
