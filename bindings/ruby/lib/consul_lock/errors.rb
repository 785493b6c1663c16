# frozen_string_literal: true

module ConsulLock
  # The base of all errors. Each status of the library has a subclass, so that a +rescue+ names what it handles:
  #
  #   begin
  #     ConsulLock.hold("nightly-report") { make_the_report }
  #   rescue ConsulLock::NotAcquiredError => e
  #     puts e.message                             # names the holder, its node and since when
  #   end
  #
  # The message is one line for people. It never contains a token or a stored value.
  class Error < StandardError
    # @return [Integer, nil] the library's number of the status; nil for {ClosedError} and {TrapError}, which the
    #   library does not know
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

    # @return [Integer, nil] the HTTP status of Consul's answer, such as 403; nil: the failure came without an answer
    attr_reader :http_status

    # Whether the same call may work later without any change: another session had the lock, or Consul was unreachable.
    # A lock is single use, so the caller tries again with a new one.
    #
    # @return [Boolean]
    def retryable?
      @retryable
    end

    # Makes an exception of an error of the library, and frees that error.
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

  # An argument is wrong: a key that Consul would change or refuse, or text that is not UTF-8. The call changed nothing.
  class InvalidArgumentError < Error; end

  # An option is unknown, in the wrong place, or out of its range. The call changed nothing.
  class InvalidOptionError < Error; end

  # A variable of the environment is wrong. The library sent nothing.
  class InvalidEnvironmentError < Error; end

  # The lock was used before, and a lock is single use.
  class AlreadyUsedError < Error; end

  # The value generator raised (its exception is the cause) or gave no String. The library sent nothing, and the lock is
  # not used up.
  class ValueFailedError < Error; end

  # Consul answered until the deadline that the lock is not free: another session has it, or its lock-delay runs. The
  # message names the holder. Of an upgrade: others still share the key, or another lock is being upgraded.
  class NotAcquiredError < Error; end

  # {Lock#cancel} ended the call.
  class CancelledError < Error; end

  # The lock was held and is not any more: it expired, or Consul or an operator ended it. Others may have worked at the
  # same time.
  class LostError < Error
    # @return [Symbol, nil] how the lock was lost: +:expired+, +:session_gone+, +:key_gone+ or +:taken_over+
    attr_reader :reason

    # @param message [String, nil]
    # @param reason [Symbol, nil]
    # @param details [Hash{Symbol => Object}] see {Error#initialize}
    def initialize(message = nil, reason: nil, **details)
      super(message, **details)
      @reason = reason
    end
  end

  # The lock is not held: it was never acquired, or it was released or used up.
  class NotHeldError < Error; end

  # Consul did not confirm a release in time, and the library goes on while the process lives. Or Consul did not confirm
  # a guarded write, and may have applied it.
  class UnconfirmedError < Error; end

  # Others share the key with another +limit+ than the lock's. The message names both.
  class ConflictError < Error; end

  # Consul gave no usable answer in time, so it is unknown whether the lock is free.
  class UnavailableError < Error; end

  # Consul refused because the token lacks a right, which the message names.
  class DeniedError < Error; end

  # Consul refused the request itself, or gave an answer that the library does not know. Or the key of the lock holds
  # the data of another program, which the library does not touch.
  class RejectedError < Error; end

  # The library has a defect. Please report it.
  class InternalError < Error; end

  # The parent process made the lock before the fork, and the lock stays the parent's.
  class ForkedError < Error; end

  # The system gave no thread, no socket or no memory.
  class NoResourcesError < Error; end

  # The lock was closed or abandoned, perhaps by another thread while the call waited.
  class ClosedError < Error; end

  # The method waits for Consul or for another thread, which a handler of Signal.trap must not. The call did nothing.
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
      25 => ConflictError,
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
