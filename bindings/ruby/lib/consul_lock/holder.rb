# frozen_string_literal: true

module ConsulLock
  # The session that held a lock when Consul answered.
  class Holder
    # @return [String] the id of the session that holds the lock
    attr_reader :session
    # @return [String, nil] the session's name, such as "consul_lock PROGRAM@HOST:PID NONCE"; nil: the token has no
    #   session:read, or the session has no name
    attr_reader :name
    # @return [String, nil] the Consul node of the session; nil: the token has no session:read
    attr_reader :node
    # @return [String] the value under the key, in binary; another program wrote it, so the caller must not trust it
    attr_reader :value
    # @return [Integer] the fencing token of the holder's lock: it grows from holder to holder
    attr_reader :fencing_token
    # @return [Time, nil] the time of the acquire, by the holder's clock; nil: the stored value does not contain it
    attr_reader :since
    # @return [Float, nil] the TTL of the session in seconds; nil: the session has none, or the token has no
    #   session:read
    attr_reader :ttl

    # @api private
    def self.take(pointer)
      new(pointer).freeze unless pointer.null?
    ensure
      Native.holder_free(pointer)
    end

    # @api private
    def initialize(pointer)
      @session = Native.text(:holder_session, pointer).freeze
      @name = known(Native.text(:holder_name, pointer))
      @node = known(Native.text(:holder_node, pointer))
      @value = Native.bytes(:holder_value, pointer).freeze
      @fencing_token = Native.holder_fencing_token(pointer)
      since = Native.holder_since_ms(pointer)
      @since = Time.at(0, since, :millisecond).freeze unless since.zero?
      ttl = Native.holder_ttl_ms(pointer)
      @ttl = ttl / 1000.0 unless ttl.zero?
    end
    private_class_method :new

    # @return [Hash{Symbol => Object}]
    def to_h
      { session: session, name: name, node: node, value: value, fencing_token: fencing_token, since: since,
        ttl: ttl }
    end

    private

    def known(text)
      text.freeze unless text.empty?
    end
  end
end
