# frozen_string_literal: true

module ConsulLock
  # The process-wide defaults: +acquire_timeout+ (or +acquire_timeout_ms+), +lock_timeout+ (or
  # +lock_timeout_seconds+), +lock_key_pattern+. Locks read them when they are made: a later change never touches a
  # lock that exists.
  #
  #   ConsulLock.defaults[:lock_key_pattern] = "billing/locks/%s"
  #   ConsulLock.defaults.set(acquire_timeout: 30, lock_timeout: 60)
  module Defaults
    # The library's names, with what holds where nothing was set.
    BUILT_IN = {
      "acquire_timeout_ms" => "0", "lock_timeout_seconds" => "180", "lock_key_pattern" => "locks/ephemeral/%s"
    }.freeze
    private_constant :BUILT_IN

    @set = {}

    class << self
      # Reads a default, as it was set here.
      #
      # @param name [Symbol, String]
      # @return [String, Numeric] a time without its unit is in seconds, +acquire_timeout+ Float::INFINITY for one
      #   without an end
      # @raise [InvalidOptionError] there is no such default
      def [](name)
        option, per_second = Options::TIMES.fetch(name.to_sym, [name.to_s, nil])
        text = @set.fetch(option) { BUILT_IN[option] }
        raise InvalidOptionError, "there is no default #{name}; there are #{BUILT_IN.keys.join(", ")}" unless text
        return text if option == "lock_key_pattern"

        number = Integer(text, 10)
        return number unless per_second
        return Float::INFINITY if number.negative?

        per_second == 1 ? number : number.fdiv(per_second)
      end

      # Sets a default.
      #
      # @param name [Symbol, String]
      # @param value [Object]
      # @raise [InvalidOptionError] there is no such default, or the value is out of its range; nothing was changed
      def []=(name, value)
        option, text = Options.text(name.to_sym, value)
        Options.as_written([name.to_sym]) do
          Native.check { |error| Native.defaults_set(option, text, error) }
        end
        @set = @set.merge(option => text.dup.freeze)
        value
      rescue ArgumentError
        raise InvalidOptionError, "#{name}: contains a NUL"
      end

      # Sets several.
      #
      # @return [nil]
      # @raise [InvalidOptionError] those before the wrong one are set
      def set(**values)
        values.each { |name, value| self[name] = value }
        nil
      end
    end
  end
end
