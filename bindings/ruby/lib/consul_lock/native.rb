# frozen_string_literal: true

require_relative "loader"

module ConsulLock
  # The functions of the C interface: `Native.acquire_start` is consul_lock_acquire_start() of
  # include/consul_lock_async.h. Each of them returns at once, so none needs to give up Ruby's global lock. Outcomes
  # come to a {Mailbox}.
  #
  # @api private
  # @private
  module Native
    # The types of the parameters and of the result, by the C name without its prefix.
    FUNCTIONS = {
      new: [%i[string pointer pointer], :pointer],
      new_all: [%i[pointer size_t pointer pointer], :pointer],
      acquire_start: [%i[pointer pointer pointer pointer], :int],
      release_start: [%i[pointer pointer pointer pointer], :int],
      renew_start: [%i[pointer pointer pointer pointer], :int],
      check_start: [%i[pointer pointer pointer pointer], :int],
      downgrade_start: [%i[pointer pointer pointer pointer], :int],
      upgrade_start: [%i[pointer int64 pointer pointer pointer], :int],
      put_if_held_start: [%i[pointer string pointer size_t pointer pointer pointer], :int],
      delete_if_held_start: [%i[pointer string pointer pointer pointer], :int],
      set_value: [%i[pointer pointer size_t pointer], :int],
      set_lost_callback: [%i[pointer pointer pointer pointer pointer], :int],
      cancel: [%i[pointer], :void],
      abandon: [%i[pointer], :void],
      is_held: [%i[pointer], :bool],
      remaining_ms: [%i[pointer], :int64],
      fencing_token: [%i[pointer], :uint64],
      slot: [%i[pointer], :int32],
      key: [%i[pointer pointer size_t], :size_t],
      keys_count: [%i[pointer], :size_t],
      key_at: [%i[pointer size_t pointer size_t], :size_t],
      session_id: [%i[pointer pointer size_t], :size_t],

      options_new: [[], :pointer],
      options_set: [%i[pointer string string pointer], :int],
      options_set_bytes: [%i[pointer string pointer size_t pointer], :int],
      options_set_client: [%i[pointer pointer pointer], :int],
      options_free: [%i[pointer], :void],

      client_new: [%i[pointer pointer], :pointer],
      client_free: [%i[pointer], :void],
      client_stats: [%i[pointer pointer size_t], :size_t],

      defaults_set: [%i[string string pointer], :int],
      set_default_client: [%i[pointer], :void],

      error_code: [%i[pointer], :int],
      error_message: [%i[pointer], :string],
      error_http_status: [%i[pointer], :int32],
      error_why_lost: [%i[pointer], :int32],
      error_is_retryable: [%i[pointer], :bool],
      error_free: [%i[pointer], :void],
      status_name: [%i[int32], :string],

      holder_start: [%i[pointer string pointer pointer pointer], :int],
      holder_session: [%i[pointer pointer size_t], :size_t],
      holder_name: [%i[pointer pointer size_t], :size_t],
      holder_node: [%i[pointer pointer size_t], :size_t],
      holder_value: [%i[pointer pointer size_t], :size_t],
      holder_fencing_token: [%i[pointer], :uint64],
      holder_since_ms: [%i[pointer], :int64],
      holder_ttl_ms: [%i[pointer], :int64],
      holder_free: [%i[pointer], :void],
      holders_start: [%i[pointer string pointer pointer pointer], :int],
      holders_json: [%i[pointer pointer size_t], :size_t],
      holders_free: [%i[pointer], :void],

      observe: [%i[pointer string pointer pointer pointer pointer], :pointer],
      observer_free: [%i[pointer], :void],

      queue_new: [%i[pointer pointer], :pointer],
      queue_next: [%i[pointer], :pointer],
      queue_free: [%i[pointer], :void],
      sender_new: [%i[pointer uint64], :pointer],
      sender_free: [%i[pointer], :void],
      event_tag: [%i[pointer], :uint64],
      event_code: [%i[pointer], :int32],
      event_take_error: [%i[pointer], :pointer],
      event_take_holder: [%i[pointer], :pointer],
      event_take_holders: [%i[pointer], :pointer],
      event_line: [%i[pointer pointer size_t], :size_t],
      event_free: [%i[pointer], :void],

      set_log_callback: [%i[pointer pointer pointer int32], :int],
      version: [[], :string],
      shutdown_start: [%i[int64 pointer pointer pointer], :int]
    }.freeze

    LIBRARY = Loader.load

    class << self
      # A text for the library. Bytes without an encoding stay as they are: the library checks whether they are UTF-8.
      #
      # @param text [String]
      # @raise [EncodingError] it cannot be written in UTF-8
      def utf8(text)
        text.encoding == Encoding::BINARY ? text : text.encode(Encoding::UTF_8)
      end

      # A key for the library.
      #
      # @raise [InvalidArgumentError]
      def utf8_key(key)
        unless key.is_a?(String) || key.is_a?(Symbol)
          raise InvalidArgumentError, "key: #{key.class} is neither String nor Symbol"
        end

        utf8(key.to_s).tap { |it| raise InvalidArgumentError, "key: contains a NUL" if it.include?("\0") }
      rescue EncodingError
        raise InvalidArgumentError, "key: cannot be written in UTF-8"
      end

      # Copies a text out of the library.
      #
      # @param function [Symbol] a function that takes a buffer and its size, and returns the length of the whole text
      # @param length [Integer] the expected length in bytes; a longer text costs a second call
      # @param more [Array] what the function takes between the object and the buffer
      # @return [String] UTF-8
      def text(function, object, length = 255, *more)
        bytes(function, object, length, *more).force_encoding(Encoding::UTF_8)
      end

      # Copies bytes out of the library. The buffer has one byte more, as a NUL follows a text.
      def bytes(function, object, length = 1023, *more)
        loop do
          buffer = FFI::MemoryPointer.new(:char, length + 1)
          whole = public_send(function, object, *more, buffer, length + 1)
          return buffer.read_bytes(whole) if whole <= length

          length = whole
        end
      end

      # Makes a lock.
      #
      # @param key [String, Array<String>] one key, or several
      # @param options [FFI::Pointer, nil]
      # @return [FFI::Pointer]
      # @raise [Error]
      def lock(key, options)
        return check { |error| new(key, options, error) } if key.is_a?(String)

        texts = key.map { |it| FFI::MemoryPointer.from_string(it) }
        array = FFI::MemoryPointer.new(:pointer, texts.size)
        array.write_array_of_pointer(texts)
        check { |error| new_all(array, texts.size, options, error) }
      end

      # Calls a function that may refuse.
      #
      # @yieldparam error [FFI::Pointer] the function's last parameter
      # @return what the block returns
      # @raise [Error] the function refused
      def check
        place = FFI::MemoryPointer.new(:pointer)
        result = yield place
        error = place.read_pointer
        error.null? ? result : raise(Error.take(error))
      end

      # The address of a function of the library, for a parameter of type callback.
      def address(name)
        LIBRARY.find_function("consul_lock_#{name}") || raise(LibraryError, too_old(name))
      end

      private

      def attach(name, parameters, returns)
        FFI::Function.new(returns, parameters, address(name)).attach(self, name.to_s)
      end

      def too_old(name)
        "#{LIBRARY.name} is older than this gem (#{VERSION}): it has no function consul_lock_#{name}"
      end
    end

    FUNCTIONS.each { |name, (parameters, returns)| attach(name, parameters, returns) }

    QUEUE_DONE = address(:queue_done)
    QUEUE_HOLDER_DONE = address(:queue_holder_done)
    QUEUE_HOLDERS_DONE = address(:queue_holders_done)
    QUEUE_LOST = address(:queue_lost)
    QUEUE_OBSERVED = address(:queue_observed)
    QUEUE_LOG = address(:queue_log)
    SENDER_FREE = address(:sender_free)
  end
end
