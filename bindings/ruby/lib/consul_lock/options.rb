# frozen_string_literal: true

module ConsulLock
  # Translates Ruby's keywords into options of the library. A keyword is the option's own name, and its value a Ruby
  # value, a text, or an Array for a list. A time may also stand without its unit, in seconds. The library refuses
  # unknown options.
  #
  # @api private
  # @private
  module Options
    # The name without a unit: the option, and how many of its unit a second has.
    TIMES = {
      acquire_timeout: ["acquire_timeout_ms", 1000],
      lock_timeout: ["lock_timeout_seconds", 1],
      max_lifetime: ["max_lifetime_seconds", 1],
      queue_grace: ["queue_grace_ms", 1000],
      lock_delay: ["lock_delay_ms", 1000],
      connect_timeout: ["connect_timeout_ms", 1000],
      request_timeout: ["request_timeout_ms", 1000],
      release_timeout: ["release_timeout_ms", 1000]
    }.freeze

    # The options that have another name in Ruby, too.
    SHORT = { share: "mode", **TIMES.transform_values(&:first) }.freeze
    # The library's value for a wait without a limit.
    FOREVER = "-1"
    # The largest int64: the library refuses it in its own words.
    LONGEST = (2**63) - 1
    private_constant :SHORT, :FOREVER, :LONGEST

    class << self
      # Lends a set of options, or nil where there are none. The function that uses the set refuses a wrong option.
      #
      # @yieldparam native [FFI::Pointer, nil]
      def lend(options, client = nil)
        check_client(client)
        return yield nil if options.empty? && client.nil?

        native = Native.options_new
        raise NoResourcesError, "no memory for options" if native.null?

        begin
          Native.check { |error| Native.options_set_client(native, client.pointer, error) } if client
          options.each { |name, value| set(native, name, value) }
          as_written(options.keys) { yield native }
        ensure
          Native.options_free(native)
        end
      end

      # Adds what says whether a lock shares its key. A limit alone means a share.
      #
      # @param share [Boolean, nil]
      # @return [Hash{Symbol => Object}] the options of a lock
      # @raise [InvalidOptionError]
      def with_share(options, share)
        return options.merge(mode: "share") if share.nil? && options[:mode].nil? && options[:limit]
        return options if share.nil?
        raise InvalidOptionError, "share and mode say the same: one of them is enough" unless options[:mode].nil?

        options.merge(share: share)
      end

      # @raise [TypeError] it is no client
      def check_client(client)
        return if client.nil? || client.is_a?(Client)

        raise TypeError, "client must be a ConsulLock::Client, not #{client.class}"
      end

      # Puts the option as the caller wrote it, and the range in the caller's unit, into a refusal by the library.
      #
      # @param names [Array<Symbol>]
      # @raise [InvalidOptionError]
      def as_written(names)
        yield
      rescue InvalidOptionError => e
        option = e.message[/\Aoption (\w+)/, 1]
        name = names.find { |it| SHORT[it] == option } or raise
        message = e.message.sub(/\Aoption \w+/, name.to_s).sub(/(?<=: must be )-?\d+ to \d+, is -?\d+\z/) do |range|
          range.gsub(/-?\d+/) { |number| seconds(number, TIMES[name].last) }
        end
        raise InvalidOptionError.new(message, code: e.code), cause: nil
      end

      # The library's name of an option, and its value as text.
      #
      # @return [Array(String, String)]
      def text(name, value)
        option, per_second = TIMES[name]
        return ["mode", mode(value)] if name == :share

        option ? [option, time(name, value, per_second)] : [name.to_s, word(name, value)]
      end

      # A parameter in seconds that is no option, in milliseconds.
      #
      # @param forever [Boolean] whether Float::INFINITY is a wait without a limit
      # @return [Integer]
      # @raise [InvalidArgumentError]
      def milliseconds(name, value, forever: false)
        return Integer(FOREVER) if forever && value == Float::INFINITY

        Integer(time(name, value, 1000)).clamp(0, LONGEST)
      rescue InvalidOptionError => e
        raise InvalidArgumentError, e.message
      end

      private

      def set(native, name, value)
        return if value.nil? # nil means the default
        return Native.options_set(native, *text(name, value), nil) unless name == :value

        raise TypeError, "value must be a String, not #{value.class}" unless value.is_a?(String)

        bytes = value
        Native.options_set_bytes(native, "value", bytes, bytes.bytesize, nil)
      rescue ArgumentError
        raise InvalidOptionError, "#{name}: contains a NUL"
      end

      # A time in seconds as a whole number of a smaller unit, rounded up, as 0 has another meaning. A time that the
      # library counts in seconds must be whole, as rounding would change it too much.
      def time(name, value, per_second)
        return FOREVER if value == Float::INFINITY && name == :acquire_timeout

        time = number(name, value) * per_second
        raise InvalidOptionError, "#{name}: #{value} is not a time" unless time.finite? && time >= 0
        if per_second == 1 && time != time.floor
          raise InvalidOptionError, "#{name}: #{value} is not a whole number of seconds"
        end

        time.ceil.to_s
      end

      # A number of the library in seconds. The library's -1 becomes 0, as no time is negative here.
      def seconds(number, per_second)
        number = [Integer(number, 10), 0].max
        (number % per_second).zero? ? number / per_second : number.fdiv(per_second)
      end

      def number(name, value)
        return value.to_f if value.is_a?(Numeric) && value.real?

        raise InvalidOptionError, "#{name}: #{value.class} is not a number of seconds"
      end

      def mode(share)
        { true => "share", false => "exclusive" }.fetch(share) do
          raise InvalidOptionError, "share must be true or false, not #{share.class}"
        end
      end

      def word(name, value)
        case value
        when Integer, true, false then value.to_s
        when Array then value.map { |it| word(name, it) }.join(",")
        when :share, :exclusive then value.name # of the option mode; no other option has these values
        else Native.utf8(string(name, value))
        end
      rescue EncodingError
        raise InvalidOptionError, "#{name}: cannot be written in UTF-8"
      end

      def string(name, value)
        return value if value.is_a?(String)

        raise InvalidOptionError, "#{name} must be a String, an Integer, true or false, not #{value.class}"
      end
    end
  end
end
