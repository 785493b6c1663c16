# frozen_string_literal: true

require "json"

module ConsulLock
  # How to reach Consul, and what the client's locks share: connections, sessions, threads. A simple program needs no
  # client: its locks use the default client, which the library makes from the environment (CONSUL_HTTP_ADDR,
  # CONSUL_HTTP_TOKEN).
  #
  #   consul = ConsulLock::Client.new(address: "10.0.0.7:8500", token: ENV.fetch("LOCK_TOKEN"))
  #   consul.hold("nightly-report") { make_the_report }
  #
  # Any thread may use a client at any time, and so may a child after fork. A lock keeps its client alive.
  class Client
    # Makes a client. Sends nothing: an unreachable Consul fails the first use, not this call.
    #
    # @param options [Hash{Symbol => Object}] the client's options (README.md lists them); the environment has the
    #   others
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

    # Acquires a lock with this client, runs the block, and releases the lock.
    #
    # @see ConsulLock.hold
    def hold(key, **options, &block)
      ConsulLock.hold(key, client: self, **options, &block)
    end

    # Asks Consul, with this client, for the holder of a lock.
    #
    # @see ConsulLock.holder
    def holder(key)
      ConsulLock.holder(key, client: self)
    end

    # Asks Consul, with this client, for all that hold a key or wait for it.
    #
    # @see ConsulLock.holders
    def holders(key)
      ConsulLock.holders(key, client: self)
    end

    # Observes the holder of a key with this client.
    #
    # @see ConsulLock.observe
    def observe(key, on_error: nil, &block)
      ConsulLock.observe(key, client: self, on_error: on_error, &block)
    end

    # The statistics of this client in this process: requests, Raft writes, waiting and held locks, connections,
    # threads, times. docs/guide.md describes the fields. Later versions of the library may add fields. Sends nothing.
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
