# frozen_string_literal: true

require_relative "consul_lock/version"
require_relative "consul_lock/native"
require_relative "consul_lock/errors"
require_relative "consul_lock/trap"
require_relative "consul_lock/releaser"
require_relative "consul_lock/mailbox"
require_relative "consul_lock/dispatcher"
require_relative "consul_lock/runtime"
require_relative "consul_lock/options"
require_relative "consul_lock/defaults"
require_relative "consul_lock/client"
require_relative "consul_lock/handle"
require_relative "consul_lock/holder"
require_relative "consul_lock/lock"

# Distributed ephemeral locks on Consul: for work that only one process in the whole datacenter may do at a time.
#
#   require "consul_lock"
#
#   ConsulLock.hold("nightly-report") do |lock|
#     make_the_report
#   end
#
# The lock has a bounded life: a holder that crashes can never block the others for ever. It is deleted when it is
# given back. Consul is found by CONSUL_HTTP_ADDR, else on 127.0.0.1:8500.
module ConsulLock
  class << self
    # Takes a lock, runs the block, gives the lock back, whether the block ends well or not.
    #
    # @example Wait for half a minute, and tell a database who comes later
    #   ConsulLock.hold("invoices", acquire_timeout: 30, lock_timeout: 60) do |lock|
    #     database.write(invoices, token: lock.fencing_token)
    #   end
    #
    # @param key [String, Symbol] see {Lock#initialize}
    # @param options [Hash{Symbol => Object}] see {Lock#initialize}
    # @yieldparam lock [Lock] it is closed after the block
    # @return [Object] what the block returned; false, only with +fail_hard: false+: somebody else had the lock, and
    #   the block did not run
    # @raise [NotAcquiredError] somebody else had the lock, and the block did not run; see {Lock#acquire} for more
    # @raise [LostError] the block ended well, but the lock was lost meanwhile: others may have worked at the same
    #   time. What the block itself raises comes first
    # @raise [UnconfirmedError] the block ended well, but Consul did not confirm the release; see {Lock#release}
    def hold(key, **options)
      raise ArgumentError, "no block given" unless block_given?

      Trap.refuse("hold")
      lock = Lock.new(key, **options)
      begin
        return false unless lock.acquire

        yield lock
      rescue Exception => e # rubocop:disable Lint/RescueException -- only to know of it
        raise
      ensure
        # An exception here would bring a thread that is being killed back to life.
        lock.finish(quietly: e || Thread.current.status == "aborting")
      end
    end

    # Who has it? Asks Consul.
    #
    # @param key [String, Symbol] as given to {Lock#initialize}
    # @param client [Client, nil] instead of the default client
    # @return [Holder, nil] nil: nobody
    # @raise [InvalidArgumentError, InvalidEnvironmentError, UnavailableError, DeniedError, RejectedError]
    def holder(key, client: nil)
      Options.check_client(client)
      key = Native.utf8_key(key)
      found = Runtime.current.ask do |mailbox|
        mailbox.post do |sender, error|
          Native.holder_start(client&.pointer, key, Native::QUEUE_HOLDER_DONE, sender, error)
        end
      end
      Holder.take(found)
    end

    # @return [Defaults] the process-wide defaults, to be set by name
    def defaults
      Defaults
    end

    # @return [Client, nil] the client of locks that are given none; nil: it is made from the environment
    attr_reader :default_client

    # Sets the client of locks that are given none. Locks that exist keep theirs.
    #
    # @param client [Client, nil] nil: the next lock makes one from the environment again
    def default_client=(client)
      Options.check_client(client)
      Native.set_default_client(client&.pointer)
      @default_client = client
    end

    # What makes the value that a lock stores under its key, for locks that are made from now on and have no option
    # +value+. It is called without arguments on the thread that acquires, before anything is sent, and returns a
    # String. If it raises, or returns anything else, the acquire raises {ValueFailedError}. Without one the value
    # is a JSON object with +locked_at+, the time of the attempt that took the lock.
    #
    # @example
    #   ConsulLock.value_generator = -> { JSON.generate(host: Socket.gethostname, release: RELEASE) }
    #
    # @return [#call, nil]
    attr_accessor :value_generator

    # What the default client did in this process until now; see {Client#stats}.
    #
    # @return [Hash{Symbol => Object}]
    def stats
      Client.stats_of(nil)
    end

    # @return [Logger, nil]
    attr_reader :logger

    # Sets who is told what the library has to say: locks that were lost, releases that Consul did not confirm,
    # outages that last. One for the whole process, also for a child after fork (from its first use of ConsulLock
    # on). The logger's level at this moment says what it is told. Lines never contain a token or a stored value.
    #
    # @param logger [Logger, nil] anything with +level+, +add+ and +warn+ as Logger has them; nil: the log is off
    # @raise [TrapError] in a trap handler
    def logger=(logger)
      Trap.refuse("logger=")
      missing = logger.nil? ? [] : %i[level add warn].reject { |name| logger.respond_to?(name) }
      unless missing.empty?
        raise TypeError, "logger must be a Logger, or have its methods: #{logger.class} has no #{missing.join(", ")}"
      end

      Runtime.current.dispatcher.log_to(logger)
      @logger = logger
    end

    # Waits for the releases that are still under way, and ends the sessions that the library keeps at hand: the one
    # call for an orderly exit. It is optional: after a release that was unconfirmed, Consul removes the lock by
    # itself after up to two TTLs. Locks and clients stay usable afterwards.
    #
    # @param timeout [Numeric] how many seconds to wait at most
    # @return [nil]
    # @raise [UnconfirmedError] something was still under way at the end of the time
    # @raise [InvalidArgumentError] +timeout+ is no number, or more than a day
    def shutdown(timeout: 30)
      milliseconds = Options.milliseconds(:timeout, timeout)
      Runtime.current.ask do |mailbox|
        mailbox.post { |sender, error| Native.shutdown_start(milliseconds, Native::QUEUE_DONE, sender, error) }
      end
      nil
    end

    # @return [String] the version of the library that runs; that of this gem is {VERSION}
    def version
      Native.version.force_encoding(Encoding::UTF_8)
    end
  end
end
