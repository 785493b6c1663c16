# frozen_string_literal: true

require "json"

module ConsulLock
  # The sessions that held a key, and those that waited for it, when Consul answered.
  class Holders
    # @return [String] the full key in Consul's KV store
    attr_reader :key
    # @return [Holder, nil] the exclusive holder; nil: no session holds the key exclusively. While others still share
    #   the key, this holder waits until they have released it
    attr_reader :exclusive
    # @return [Array<Holder>] those that share the key
    attr_reader :sharers
    # @return [Array<Waiter>] the line of waiters, in its order
    attr_reader :line

    # @param pointer [FFI::Pointer] the holders of a C function, which this method frees
    # @api private
    def self.take(pointer)
      new(JSON.parse(Native.text(:holders_json, pointer, 4095), symbolize_names: true)).freeze
    ensure
      Native.holders_free(pointer)
    end

    # @api private
    def initialize(json)
      @key = json[:key].freeze
      @exclusive = Holder.read(json[:exclusive]) if json[:exclusive]
      @sharers = json[:sharers].map { |it| Holder.read(it) }.freeze
      @line = json[:line].map { |it| Waiter.read(it) }.freeze
    end
    private_class_method :new

    # @return [Hash{Symbol => Object}]
    def to_h
      { key: key, exclusive: exclusive&.to_h, sharers: sharers.map(&:to_h), line: line.map(&:to_h) }
    end
  end

  # A session that stands in the line of a key. It stands for all waiters of one client that want the same.
  class Waiter
    # @return [String] the id of the session
    attr_reader :session
    # @return [String, nil] as {Holder#name}
    attr_reader :name
    # @return [String, nil] as {Holder#node}
    attr_reader :node
    # @return [Float, nil] as {Holder#ttl}
    attr_reader :ttl
    # @return [Symbol] what the waiter wants: +:exclusive+ or +:share+
    attr_reader :mode
    # @return [Integer, nil] how many may share the key at once, for a waiter that wants to share it with a limit
    attr_reader :limit
    # @return [Array<String>] the full keys that the waiter waits for, if it waits for several at once
    attr_reader :keys

    # @param json [Hash{Symbol => Object}] an entry of the JSON form of holders
    # @api private
    def self.read(json)
      new(json).freeze
    end

    # @api private
    def initialize(json)
      @session = json[:session].freeze
      @name = json[:name].freeze
      @node = json[:node].freeze
      @ttl = json[:ttl_ms] / 1000.0 if json[:ttl_ms]
      @mode = json[:mode].to_sym
      @limit = json[:limit]
      @keys = json[:keys].each(&:freeze).freeze
    end
    private_class_method :new

    # @return [Hash{Symbol => Object}]
    def to_h
      { session: session, name: name, node: node, ttl: ttl, mode: mode, limit: limit, keys: keys }
    end
  end
end
