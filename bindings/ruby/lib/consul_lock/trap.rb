# frozen_string_literal: true

module ConsulLock
  # What may be done in a handler of Signal.trap. Ruby lets such a handler take no mutex that it would have to wait for,
  # as the thread that it interrupted may have it; and while it runs, nothing else interrupts that thread.
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

      # Has a thread do what must not wait: it does so when the handler is over, or before.
      #
      # @return [nil]
      def leave(&block)
        Thread.new(&block)
        nil
      end

      # Nobody else has this mutex: only a trap handler cannot take it.
      def inside?
        Mutex.new.synchronize { false }
      rescue ThreadError
        true
      end
    end
  end
end
