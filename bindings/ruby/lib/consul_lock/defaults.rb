# frozen_string_literal: true

module ConsulLock
  # The process-wide defaults: +acquire_timeout+ (or +acquire_timeout_ms+), +lock_timeout+ (or
  # +lock_timeout_seconds+), +lock_key_pattern+. Locks read them when they are made: a later change never touches a
  # lock that exists.
  #
  #   ConsulLock.defaults[:lock_key_pattern] = "billing/locks/%s"
  #   ConsulLock.defaults.set(acquire_timeout: 30, lock_timeout: 60)
  module Defaults
    class << self
      # Sets a default.
      #
      # @param name [Symbol, String]
      # @param value [Object]
      # @raise [InvalidOptionError] there is no such default, or the value is out of its range; nothing was changed
      def []=(name, value)
        Native.check { |error| Native.defaults_set(*Options.text(name.to_sym, value), error) }
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
