# frozen_string_literal: true

require "json"

module ConsulLock
  # How to reach Consul, and everything that the locks which use it share. A simple program needs none: its locks
  # use the default client, made from the environment (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN).
  #
  #   consul = ConsulLock::Client.new(address: "10.0.0.7:8500", token: ENV.fetch("LOCK_TOKEN"))
  #   consul.hold("nightly-report") { make_the_report }
  #
  # Any thread may use it at any time, and so may a child after fork. Locks keep what they need of it.
  class Client
    # Makes a client. Sends nothing: a Consul that cannot be reached shows at the first use.
    #
    # @param options [Hash{Symbol => Object}] the client's options (README.md lists them); the environment fills in
    #   what they leave out
    # @raise [InvalidOptionError] an option is wrong, or belongs to a lock
    # @raise [InvalidEnvironmentError] a variable is wrong
    def initialize(**options)
      @pointer = Options.lend(options) do |native|
        Native.check { |error| Native.client_new(native, error) }
      end
      ObjectSpace.define_finalizer(self, Releaser.new(@pointer, :client_free))
    end

    # A lock that uses this client.
    #
    # @return [Lock]
    # @see Lock#initialize
    def lock(key, **options)
      Lock.new(key, client: self, **options)
    end

    # Takes a lock with this client, runs the block, gives the lock back.
    #
    # @see ConsulLock.hold
    def hold(key, **options, &block)
      ConsulLock.hold(key, client: self, **options, &block)
    end

    # Who has it?
    #
    # @see ConsulLock.holder
    def holder(key)
      ConsulLock.holder(key, client: self)
    end

    # What this process did with this client until now: requests, Raft writes, locks that wait or are held,
    # connections, threads, times. docs/guide.md describes the fields; later versions may add some. Asks nobody.
    #
    # @return [Hash{Symbol => Object}]
    def stats
      Client.stats_of(pointer)
    end

    # @api private
    attr_reader :pointer

    # @api private
    def self.stats_of(pointer)
      text = Native.text(:client_stats, pointer, 4095)
      text.empty? ? {} : JSON.parse(text, symbolize_names: true)
    end

    private

    def initialize_copy(_other)
      raise TypeError, "a client cannot be copied; it can be shared"
    end
  end
end
