# frozen_string_literal: true

require "consul_lock"
require_relative "testing/consul"

module ConsulLock
  # A Consul for tests: `consul-lock dev`, a model of Consul that is ready in milliseconds. Each test may have one.
  #
  # @example Minitest: a Consul for each test that asks for one
  #   require "consul_lock/testing"
  #
  #   class ReportTest < Minitest::Test
  #     include ConsulLock::Testing
  #
  #     def test_one_report_at_a_time
  #       consul.client.hold("report") do
  #         assert_raises(ConsulLock::NotAcquiredError) { Report.new(consul.client).make }
  #       end
  #     end
  #   end
  #
  # @example RSpec: the same for all examples
  #   RSpec.configure { |config| config.include ConsulLock::Testing }
  #
  # @example One Consul for a program whose locks use the default client, in test_helper.rb or spec_helper.rb
  #   ConsulLock::Testing.start
  module Testing
    class << self
      # Starts a Consul for the default client, which lives as long as this process. Call +start+ before the first lock
      # is made. The settings of the caller's own Consul are not for the tests: +start+ removes the variables of the
      # environment that begin with CONSUL_, but for CONSUL_BIN and CONSUL_LOCK_*, and sets CONSUL_HTTP_ADDR.
      #
      # @param options [Hash{Symbol => Object}] see {Consul#initialize}
      # @return [Consul]
      # @raise [StartError] see {Consul#initialize}
      def start(**options)
        consul = Consul.new(**options)
        ENV.delete_if { |name, _| name.match?(/\ACONSUL_(?!LOCK_|BIN\z)/) }
        ENV["CONSUL_HTTP_ADDR"] = consul.address
        consul
      end

      # RSpec has no hook of a fixed name, but a method that takes one.
      #
      # @api private
      def included(tests)
        super
        tests.after { stop_consul } if tests.respond_to?(:after)
      end
    end

    # The Consul of this test: the first call starts it, and it ends with the test.
    #
    # @param options [Hash{Symbol => Object}] see {Consul#initialize}; for the first call
    # @return [Consul]
    # @raise [StartError] see {Consul#initialize}
    def consul(**options)
      # Not @consul, which is a likely name in the tests.
      @consul_lock_testing = Consul.new(**options) if @consul_lock_testing.nil?
      @consul_lock_testing
    end

    # Minitest calls this method after each test.
    #
    # @api private
    def after_teardown
      super
    ensure
      stop_consul
    end

    private

    def stop_consul
      @consul_lock_testing&.stop
      @consul_lock_testing = nil
    end
  end
end
