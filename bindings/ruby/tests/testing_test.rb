# frozen_string_literal: true

require_relative "helper"
require "consul_lock/testing"
require "socket"

# The Consul that the gem gives to the tests of its users.
class TestingTest < Test
  def served?(address)
    Socket.tcp(*address.split(":"), connect_timeout: 1, &:close)
    true
  rescue SystemCallError
    false
  end

  def started(**options)
    consul = ConsulLock::Testing::Consul.new(**options)
    yield consul
  ensure
    consul&.stop
  end

  def test_a_consul_serves_locks_until_it_is_stopped
    consul = started do |it|
      assert_same it.client, it.client
      assert(it.client.hold(key) { served?(it.address) })
      it
    end
    refute served?(consul.address)
    assert_nil consul.stop
  end

  def test_each_consul_is_another
    started do |one|
      started do |other|
        assert_equal 1, one.client.hold(key) { other.client.hold(key) { 1 } }
      end
    end
  end

  def test_a_real_consul
    [true, ENV.fetch("CONSUL_BIN")].each do |real|
      started(real: real) { |consul| assert_equal 1, consul.client.hold(key) { 1 } }
    end
  end

  def test_speed_ends_a_lock_soon
    started(speed: 100) do |consul|
      lock = consul.client.lock(key, lock_timeout: 20)
      lock.acquire
      wait_until("the lock ends with its session", patience: 15) { !lock.held? }
      lock.close
    end
  end

  def test_what_is_wrong_is_said
    { "/nowhere/consul-lock" => "could not start /nowhere/consul-lock: No such file or directory",
      "/bin/echo" => "/bin/echo dev did not serve: dev", "/bin/false" => "/bin/false dev did not serve" }
      .each do |program, wanted|
        said = ruby!(<<~PROGRAM, requires: ["consul_lock/testing"], CONSUL_LOCK_COMMAND: program)
          ConsulLock::Testing.start rescue puts $!.message
        PROGRAM
        assert_includes said, wanted
      end
  end

  # A program of another suite, which runs in a process of its own. Gives its output, and the addresses that it names.
  def suite(program, *command, **environment)
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "program.rb"), program)
      environment = { "CONSUL_HTTP_TOKEN" => "another", **environment.transform_keys(&:to_s) }
      out, status = Open3.capture2e(environment, *command, "-I", File.join(ROOT, "lib"), "program.rb", chdir: folder)
      [out, status, out.scan(/127\.0\.0\.1:\d+/).uniq]
    end
  end

  MINITEST = <<~PROGRAM
    require "minitest/autorun"
    require "consul_lock/testing"
    class ReportTest < Minitest::Test
      include ConsulLock::Testing
      def test_one = consul.client.hold("a") { puts consul.address }
      def test_two = consul.client.hold("a") { puts consul.address }
      def test_that_fails = flunk(consul.address)
    end
  PROGRAM

  def test_minitest_has_a_consul_for_each_test
    out, status, addresses = suite(MINITEST, RbConfig.ruby)
    refute_predicate status, :success?
    assert_includes out, "3 runs, 1 assertions, 1 failures, 0 errors, 0 skips"
    assert_equal 3, addresses.size, out
    refute(addresses.any? { |address| served?(address) })
  end

  RSPEC = <<~PROGRAM
    require "consul_lock/testing"
    RSpec.configure { |config| config.include ConsulLock::Testing }
    RSpec.describe "a report" do
      after { consul.client.hold("a") { nil } }
      it("is made") { consul.client.hold("a") { puts consul.address } }
      it("is made again") { consul.client.hold("a") { puts consul.address } }
      it("fails") { raise consul.address }
    end
  PROGRAM

  def test_rspec_has_a_consul_for_each_example
    out, status, addresses = suite(RSPEC, "rspec", "--no-color")
    refute_predicate status, :success?
    assert_includes out, "3 examples, 1 failure"
    assert_equal 3, addresses.size, out
    refute(addresses.any? { |address| served?(address) })
  end

  # The suite asks nothing of its Consul after the program: the Consul ends with the process.
  DEFAULT = <<~PROGRAM
    require "minitest/autorun"
    require "consul_lock/testing"
    consul = ConsulLock::Testing.start
    raise "a setting is left" if ENV.key?("CONSUL_HTTP_TOKEN") || ENV["CONSUL_HTTP_ADDR"] != consul.address
    class ReportTest < Minitest::Test
      def test_one
        ConsulLock.hold("a") { $stdout.syswrite(ENV.fetch("CONSUL_HTTP_ADDR")) }
        Process.kill(:KILL, Process.pid) if ENV.key?("KILLED")
      end
    end
  PROGRAM

  def test_a_suite_of_the_default_client_has_one_consul_which_ends_with_it
    [{}, { KILLED: "yes" }].each do |environment|
      out, status, addresses = suite(DEFAULT, RbConfig.ruby, **environment)
      assert_equal environment.empty?, status.exited?, out
      assert_equal 1, addresses.size, out
      addresses.each { |address| wait_until("the Consul ends") { !served?(address) } }
    end
  end

  def test_a_forked_process_leaves_the_consul_alone
    started do |consul|
      _, status = Process.wait2(fork { exit!(consul.stop.nil?) })
      assert_predicate status, :success?
      assert served?(consul.address)
    end
  end
end
