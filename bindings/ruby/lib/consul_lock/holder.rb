# frozen_string_literal: true

module ConsulLock
  # The session that held a lock when Consul answered.
  class Holder
    # @return [String] the id of the session that holds the lock
    attr_reader :session
    # @return [String, nil] the session's name, such as "consul_lock PROGRAM@HOST:PID NONCE"; nil: the token has no
    #   session:read, or the session has no name; {ConsulLock.observe} does not ask for it
    attr_reader :name
    # @return [String, nil] the Consul node of the session; nil: the token has no session:read, or as for {#name}
    attr_reader :node
    # @return [String] the value under the key, in binary; another program wrote it, so the caller must not trust it
    attr_reader :value
    # @return [Integer] the fencing token of the holder's lock: it grows from holder to holder
    attr_reader :fencing_token
    # @return [Time, nil] the time of the acquire, by the holder's clock; nil: the stored value does not contain it
    attr_reader :since
    # @return [Float, nil] the TTL of the session in seconds; nil: the session has none, or the token has no
    #   session:read, or as for {#name}
    attr_reader :ttl
    # @return [Integer, nil] how many may share the key at once; nil: the holder has the key alone, or shares it without
    #   a limit
    attr_reader :limit
    # @return [Integer, nil] the slot of a holder that shares the key with a limit
    attr_reader :slot

    class << self
      # @param pointer [FFI::Pointer] the holder of a C function, which this method frees
      # @return [Holder, nil] nil: there is none
      # @api private
      def take(pointer)
        new(facts(pointer)).freeze unless pointer.null?
      ensure
        Native.holder_free(pointer)
      end

      # @param json [Hash{Symbol => Object}] an entry of the JSON form of holders
      # @return [Holder]
      # @api private
      def read(json)
        new(json.merge(value: json[:value_base64].unpack1("m"))).freeze
      end

      private

      def facts(pointer)
        { session: Native.text(:holder_session, pointer), name: known(Native.text(:holder_name, pointer)),
          node: known(Native.text(:holder_node, pointer)), value: Native.bytes(:holder_value, pointer),
          fencing_token: Native.holder_fencing_token(pointer), since_ms: known(Native.holder_since_ms(pointer)),
          ttl_ms: known(Native.holder_ttl_ms(pointer)) }
      end

      # An empty text and 0 say in C what nil says in Ruby.
      def known(fact)
        fact unless [0, ""].include?(fact)
      end
    end

    # @api private
    def initialize(facts)
      @session = facts[:session].freeze
      @name = facts[:name].freeze
      @node = facts[:node].freeze
      @value = facts[:value].freeze
      @fencing_token = facts[:fencing_token]
      @since = facts[:since_ms]&.then { |since| Time.at(0, since, :millisecond).freeze }
      @ttl = facts[:ttl_ms]&.then { |ttl| ttl / 1000.0 }
      @limit = facts[:limit]
      @slot = facts[:slot]
    end
    private_class_method :new

    # @return [Hash{Symbol => Object}]
    def to_h
      { session: session, name: name, node: node, value: value, fencing_token: fencing_token, since: since,
        ttl: ttl, limit: limit, slot: slot }
    end
  end
end
