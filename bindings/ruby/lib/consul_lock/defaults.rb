# frozen_string_literal: true

module ConsulLock
  # The process-wide defaults: +acquire_timeout+ (or +acquire_timeout_ms+), +lock_timeout+ (or
  # +lock_timeout_seconds+), +lock_key_pattern+. {Lock#initialize} reads them, so a later change does not touch an
  # existing lock.
  #
  #   ConsulLock.defaults[:lock_key_pattern] = "billing/locks/%s"
  #   ConsulLock.defaults.set(acquire_timeout: 30, lock_timeout: 60)
  module Defaults
    # The library's names, with the values of the library itself.
    BUILT_IN = {
      "acquire_timeout_ms" => "0", "lock_timeout_seconds" => "180", "lock_key_pattern" => "locks/ephemeral/%s"
    }.freeze
    private_constant :BUILT_IN

    @set = {}

    class << self
      # Reads a default.
      #
      # @param name [Symbol, String]
      # @return [String, Numeric] a name without a unit gives seconds; +acquire_timeout+ is Float::INFINITY for a wait
      #   without a limit
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
      # @raise [InvalidOptionError] there is no such default, or the value is out of its range; the call changed
      #   nothing
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

      # Sets several defaults.
      #
      # @return [nil]
      # @raise [InvalidOptionError] one is wrong; the defaults before it are set
      def set(**values)
        values.each { |name, value| self[name] = value }
        nil
      end
    end
  end
end
