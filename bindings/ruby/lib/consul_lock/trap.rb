# frozen_string_literal: true

module ConsulLock
  # Detects handlers of Signal.trap. Ruby lets such a handler take no mutex with a wait, because the interrupted thread
  # may own the mutex. While the handler runs, nothing else interrupts that thread.
  #
  # @api private
  # @private
  module Trap
    REMEDY = "start a thread there, as in trap(\"TERM\") { Thread.new { lock.release } }, or raise, as exit does"
    private_constant :REMEDY

    class << self
      # @raise [TrapError] in a trap handler
      def refuse(what)
        raise TrapError, "#{what} cannot be called in a trap handler, which must not wait: #{REMEDY}" if inside?
      end

      # Runs a block on a new thread, in which no handler of a signal runs, and does not wait for it.
      #
      # @return [nil]
      def leave(&block)
        Thread.new(&block)
        nil
      end

      # No other thread knows this mutex, so only a trap handler can fail to take it.
      def inside?
        Mutex.new.synchronize { false }
      rescue ThreadError
        true
      end
    end
  end
end
