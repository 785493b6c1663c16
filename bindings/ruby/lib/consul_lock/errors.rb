# frozen_string_literal: true

module ConsulLock
  # What went wrong. Each status of the library has a class of its own below this one, so that a +rescue+
  # names what it can handle:
  #
  #   begin
  #     ConsulLock.hold("nightly-report") { make_the_report }
  #   rescue ConsulLock::NotAcquiredError => e
  #     puts e.message                             # somebody else works: who, on which node, since when
  #   end
  #
  # The message is one line for people. It never contains a token or a stored value.
  class Error < StandardError
    # @return [Integer, nil] the library's number for the status; nil for {ClosedError} and {TrapError}, which are
    #   Ruby's own
    attr_reader :code

    # @param message [String, nil]
    # @param code [Integer, nil]
    # @param http_status [Integer, nil]
    # @param retryable [Boolean]
    def initialize(message = nil, code: CODES.key(self.class), http_status: nil, retryable: false)
      super(message)
      @code = code
      @http_status = http_status
      @retryable = retryable
    end

    # @return [Symbol] the name of the status, such as +:not_acquired+
    def status
      code ? Native.status_name(code).downcase.to_sym : :closed
    end

    # @return [Integer, nil] the HTTP status with which Consul answered, such as 403, if that was the failure
    attr_reader :http_status

    # Whether the same may well work later without any change: somebody had the lock, or Consul could not be
    # reached. A lock is single use: try again with a new one.
    #
    # @return [Boolean]
    def retryable?
      @retryable
    end

    # The exception for an error of the library, which is freed by that.
    #
    # @param error [FFI::Pointer]
    # @return [Error]
    # @api private
    def self.take(error)
      code = Native.error_code(error)
      http_status = Native.error_http_status(error)
      kind = CODES.fetch(code, Error)
      details = { code: code, http_status: http_status.zero? ? nil : http_status,
                  retryable: Native.error_is_retryable(error) }
      details[:reason] = Dispatcher::LOST_REASONS[Native.error_why_lost(error)] if kind == LostError
      kind.new(Native.error_message(error).force_encoding(Encoding::UTF_8), **details)
    ensure
      Native.error_free(error)
    end
  end

  # An argument is wrong: a key that Consul would change or refuse, text that is not UTF-8. Nothing was changed.
  class InvalidArgumentError < Error; end

  # An option is unknown, in the wrong place, or out of its range. Nothing was changed.
  class InvalidOptionError < Error; end

  # A setting in the environment is wrong. Nothing was sent.
  class InvalidEnvironmentError < Error; end

  # The lock is single use and was used before.
  class AlreadyUsedError < Error; end

  # The value generator has no value, or raised what is the cause of this. Nothing was sent, and the lock is not
  # used up.
  class ValueFailedError < Error; end

  # Consul said until the deadline that the lock is not free: somebody has it, or its lock-delay runs. The message
  # says who.
  class NotAcquiredError < Error; end

  # {Lock#cancel} ended the call.
  class CancelledError < Error; end

  # The lock was held once and is not any more: it expired, or Consul or an operator ended it. Others may have
  # worked at the same time.
  class LostError < Error
    # @return [Symbol, nil] how it was lost: +:expired+, +:session_gone+, +:key_gone+ or +:taken_over+
    attr_reader :reason

    # @param message [String, nil]
    # @param reason [Symbol, nil]
    # @param details [Hash{Symbol => Object}] see {Error#initialize}
    def initialize(message = nil, reason: nil, **details)
      super(message, **details)
      @reason = reason
    end
  end

  # The lock is not held: never acquired, given back, or used up.
  class NotHeldError < Error; end

  # Consul did not confirm a release in time: the library goes on while the process lives. Or it did not confirm a
  # guarded write, which may have been applied.
  class UnconfirmedError < Error; end

  # Consul gave no usable answer in time. Nobody knows who has the lock.
  class UnavailableError < Error; end

  # Consul refused for want of rights. The message names the right.
  class DeniedError < Error; end

  # Consul refused the request itself, or answered something that the library does not know. Or the key of the lock
  # holds the data of another program, which stay as they are.
  class RejectedError < Error; end

  # A defect of the library. Please report it.
  class InternalError < Error; end

  # The lock was made by the parent process, before the fork, and stays the parent's.
  class ForkedError < Error; end

  # The system gave no thread, no socket or no memory.
  class NoResourcesError < Error; end

  # The lock was closed or abandoned, perhaps by another thread while the call waited.
  class ClosedError < Error; end

  # The method waits for Consul or for another thread, which a handler of Signal.trap must not. Nothing was done.
  class TrapError < Error
    # @return [Symbol]
    def status
      :trap
    end
  end

  class Error
    # The class of each status, by its number.
    # @api private
    CODES = {
      1 => InvalidArgumentError,
      2 => InvalidOptionError,
      3 => InvalidEnvironmentError,
      4 => AlreadyUsedError,
      5 => ValueFailedError,
      20 => NotAcquiredError,
      21 => CancelledError,
      22 => LostError,
      23 => NotHeldError,
      24 => UnconfirmedError,
      40 => UnavailableError,
      60 => DeniedError,
      61 => RejectedError,
      90 => InternalError,
      91 => ForkedError,
      92 => NoResourcesError
    }.freeze
    private_constant :CODES
  end
end
