# frozen_string_literal: true

module ConsulLock
  # Frees what the library gave, once: when it is told to, or as the finalizer of the object that owns it.
  #
  # @api private
  # @private
  class Releaser
    def initialize(pointer, function)
      @pointer = pointer
      @function = function
    end

    # Forgets the pointer first: whoever is interrupted in between leaks it, and nobody frees it twice.
    def free
      pointer = @pointer
      @pointer = nil
      Native.public_send(@function, pointer) if pointer
    end

    # The garbage collector found the owner.
    def call(_object_id)
      free
    end
  end
end
