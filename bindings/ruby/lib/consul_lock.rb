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
require_relative "consul_lock/holders"
require_relative "consul_lock/observer"
require_relative "consul_lock/lock"

# Distributed ephemeral locks on Consul, for work that one process at a time may do in the whole datacenter.
#
#   require "consul_lock"
#
#   ConsulLock.hold("nightly-report") do |lock|
#     make_the_report
#   end
#
# A lock has a bounded life, so a holder that crashes does not block the others for ever. A release deletes the key.
# The library finds Consul by CONSUL_HTTP_ADDR, else at 127.0.0.1:8500.
module ConsulLock
  class << self
    # Acquires a lock, runs the block, and releases the lock, however the block ends.
    #
    # @example Wait for half a minute, and give the fencing token to a database
    #   ConsulLock.hold("invoices", acquire_timeout: 30, lock_timeout: 60) do |lock|
    #     database.write(invoices, token: lock.fencing_token)
    #   end
    #
    # @example At most three at once, each with a number of its own
    #   ConsulLock.hold("licences", limit: 3, acquire_timeout: 60) { |lock| work_as(lock.slot) }
    #
    # @example Readers, which share the key with each other, but not with a writer
    #   ConsulLock.hold("prices", share: true) { read_prices }      # a writer: ConsulLock.hold("prices") { … }
    #
    # @example Several keys, all or none
    #   ConsulLock.hold(["account/1", "account/2"], acquire_timeout: 60) { transfer }
    #
    # @param key [String, Symbol, Array<String, Symbol>] see {Lock#initialize}
    # @param options [Hash{Symbol => Object}] see {Lock#initialize}
    # @yieldparam lock [Lock] the lock, which +hold+ closes after the block
    # @return [Object] the block's value; false, only with +fail_hard: false+: another session had the lock, and the
    #   block did not run
    # @raise [NotAcquiredError] another session had the lock, and the block did not run; see {Lock#acquire} for more
    # @raise [LostError] the block ended well, but the lock was lost meanwhile: others may have worked at the same
    #   time. An exception of the block has precedence
    # @raise [UnconfirmedError] the block ended well, but Consul did not confirm the release; see {Lock#release}
    def hold(key, **options)
      raise ArgumentError, "no block given" unless block_given?

      Trap.refuse("hold")
      lock = Lock.new(key, **options)
      begin
        return false unless lock.acquire

        yield lock
      rescue Exception => e # rubocop:disable Lint/RescueException -- only noted for the ensure
        raise
      ensure
        # An exception here would end the kill of a thread, and the thread would live on.
        lock.finish(quietly: e || Thread.current.status == "aborting")
      end
    end

    # Asks Consul for the holder of a lock.
    #
    # @param key [String, Symbol] as given to {Lock#initialize}
    # @param client [Client, nil] instead of the default client
    # @return [Holder, nil] nil: the lock is free
    # @raise [InvalidArgumentError, InvalidEnvironmentError, UnavailableError, DeniedError, RejectedError]
    def holder(key, client: nil)
      Options.check_client(client)
      key = Native.utf8_key(key)
      found = Runtime.current.ask(take: :event_take_holder) do |mailbox|
        mailbox.post do |sender, error|
          Native.holder_start(client&.pointer, key, Native::QUEUE_HOLDER_DONE, sender, error)
        end
      end
      Holder.take(found)
    end

    # Asks Consul for all that hold a key or wait for it: the exclusive holder, those that share the key, and the line.
    # Consul answers in two parts, so a lock that changes hands in between may show twice, or not at all.
    #
    # @param (see #holder)
    # @return [Holders]
    # @raise (see #holder)
    def holders(key, client: nil)
      Options.check_client(client)
      key = Native.utf8_key(key)
      found = Runtime.current.ask(take: :event_take_holders) do |mailbox|
        mailbox.post do |sender, error|
          Native.holders_start(client&.pointer, key, Native::QUEUE_HOLDERS_DONE, sender, error)
        end
      end
      Holders.take(found)
    end

    # Calls a block with the holder of a key, soon after this call and again whenever another session holds the key
    # exclusively, or none does any more. The last call has the present state in the end; the library may skip states in
    # between. Sessions that share the key are no holders here: {ConsulLock.holders} shows them.
    #
    # The thread that runs the blocks of {Lock#on_lost} runs the block, so the block must return soon. The observer
    # lives until {Observer#close}, whether the program keeps it or not. In a child after fork it calls nothing.
    #
    # @example Send the work to the holder
    #   ConsulLock.observe("leader") { |holder| upstream.address = holder&.value }
    #
    # @param (see #holder)
    # @param on_error [#call, nil] gets an {Error} when Consul refuses to show the key, or does not answer: then the
    #   holder is unknown. The library asks on, and the block gets the holder as soon as Consul shows it
    # @yieldparam holder [Holder, nil] without +name+, +node+ and +ttl+; nil: no session holds the key exclusively
    # @return [Observer]
    # @raise [InvalidArgumentError, InvalidEnvironmentError, UnavailableError] the key or the environment is wrong
    # @raise [TrapError] in a trap handler
    def observe(key, client: nil, on_error: nil, &block)
      raise ArgumentError, "no block given" unless block

      Trap.refuse("observe")
      Options.check_client(client)
      Observer.start(Native.utf8_key(key), client, on_error, block)
    end

    # @return [Defaults] the process-wide defaults, which a program reads and sets by name
    def defaults
      Defaults
    end

    # @return [Client, nil] the client of locks without the option +client+; nil: the one from the environment
    attr_reader :default_client

    # Sets the client of later locks without the option +client+. Existing locks keep theirs.
    #
    # @param client [Client, nil] nil: the client from the environment
    def default_client=(client)
      Options.check_client(client)
      Native.set_default_client(client&.pointer)
      @default_client = client
    end

    # The generator of the value under the key, for later locks without the option +value+. An acquire calls it on its
    # own thread, without arguments, before it sends anything. The generator returns a String. If it raises or returns
    # anything else, the acquire raises {ValueFailedError}. Without a generator the value is a JSON object with
    # +locked_at+, the time of the attempt that took the lock.
    #
    # @example
    #   ConsulLock.value_generator = -> { JSON.generate(host: Socket.gethostname, release: RELEASE) }
    #
    # @return [#call, nil]
    attr_accessor :value_generator

    # The statistics of the default client; see {Client#stats}.
    #
    # @return [Hash{Symbol => Object}]
    def stats
      Client.stats_of(nil)
    end

    # @return [Logger, nil]
    attr_reader :logger

    # Sends the library's log to a logger: lost locks, releases that Consul did not confirm, long outages. The process
    # has one logger, and so has a child after fork (from its first use of ConsulLock on). The logger's level at the
    # time of this call limits the lines. A line never contains a token or a stored value.
    #
    # @param logger [Logger, nil] an object with +level+, +add+ and +warn+ as Logger has them; nil turns the log off
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

    # Makes an orderly exit: waits for the releases that are still in progress, and destroys the sessions that the
    # library keeps for reuse. It is optional: after an unconfirmed release Consul removes the lock by itself within
    # two TTLs. Locks and clients stay usable.
    #
    # @param timeout [Numeric] the longest wait in seconds
    # @return [nil]
    # @raise [UnconfirmedError] a release was still in progress at the end of the time
    # @raise [InvalidArgumentError] +timeout+ is no number, or more than a day
    def shutdown(timeout: 30)
      milliseconds = Options.milliseconds(:timeout, timeout)
      Runtime.current.ask do |mailbox|
        mailbox.post { |sender, error| Native.shutdown_start(milliseconds, Native::QUEUE_DONE, sender, error) }
      end
      nil
    end

    # @return [String] the version of the loaded library; the gem's own version is {VERSION}
    def version
      Native.version.force_encoding(Encoding::UTF_8)
    end
  end
end
