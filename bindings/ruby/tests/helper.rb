# frozen_string_literal: true

require "minitest"
require "minitest/mock"
require "fileutils"
require "json"
require "logger"
require "net/http"
require "open3"
require "rbconfig"
require "securerandom"
require "stringio"
require "timeout"
require "tmpdir"

ROOT = File.expand_path("..", __dir__)
REPOSITORY = File.expand_path("../..", ROOT)
# The number of runs of a program that must never crash.
RUNS = ENV["NIGHTLY"] ? 200 : 20

$LOAD_PATH.unshift(File.join(ROOT, "lib"))
require "consul_lock"

# The tests check the exceptions of their threads.
Thread.report_on_exception = false

# Requests to the Consul of the tests without the library, as an operator makes them.
module Consul
  ADDRESS = ENV.fetch("CONSUL_HTTP_ADDR")
  ACL_ADDRESS = ENV.fetch("TEST_CONSUL_ACL_ADDR")
  DEAD_ADDRESS = ENV.fetch("TEST_CONSUL_DEAD_ADDR")

  class << self
    # The id of the session that holds a full key, or nil.
    def session_on(key)
      get("kv/#{key}?consistent")&.first&.fetch("Session", nil)
    end

    # The value under a full key.
    def value(key)
      get("kv/#{key}?consistent")&.first&.fetch("Value")&.unpack1("m")
    end

    # The number of sessions of processes.
    def sessions_of(*pids)
      names = get("session/list?consistent").map { |session| session["Name"] }
      names.count { |name| pids.any? { |pid| name.include?(":#{pid} ") } }
    end

    # A full key, and all keys below it.
    def keys(key)
      get("kv/#{key}?keys&consistent") || []
    end

    def delete(key)
      ask(Net::HTTP::Delete, "kv/#{key}")
    end

    def end_session_of(key)
      ask(Net::HTTP::Put, "session/destroy/#{session_on(key)}")
    end

    private

    def get(path)
      answer = ask(Net::HTTP::Get, path)
      JSON.parse(answer.body) unless answer.is_a?(Net::HTTPNotFound)
    end

    def ask(method, path)
      host, port = ADDRESS.split(":")
      Net::HTTP.start(host, port) { |http| http.request(method.new("/v1/#{path}")) }
    end
  end
end

# A proxy before Consul. A shut gate accepts connections and passes nothing on.
class Gate
  attr_reader :address

  def self.open
    gate = new
    yield gate
  ensure
    gate.close
  end

  def initialize
    @server = TCPServer.new("127.0.0.1", 0)
    @address = "127.0.0.1:#{@server.addr[1]}"
    @shut = false
    @threads = [Thread.new { loop { pass(@server.accept) } }]
  end

  attr_writer :shut

  def close
    @threads.each(&:kill)
    @server.close
  end

  private

  def pass(client)
    consul = TCPSocket.new(*Consul::ADDRESS.split(":"))
    [[client, consul], [consul, client]].each do |from, to|
      @threads << Thread.new do
        loop do
          bytes = from.readpartial(1 << 16)
          sleep 0.01 while @shut
          to.write(bytes)
        end
      rescue SystemCallError, IOError
        [from, to].each(&:close)
      end
    end
  end
end

# The base of all tests.
class Test < Minitest::Test
  # A key that no other test uses.
  def key
    @key ||= "ruby-tests/#{name}-#{SecureRandom.hex(4)}"
  end

  # A test that fails under GC stress must not leave the stress on.
  def teardown
    GC.stress = false
    super
  end

  def full_key
    "locks/ephemeral/#{key}"
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # Waits until the block is true. The patience is generous, as a machine may be busy.
  def wait_until(what, patience: 30)
    deadline = now + patience
    until (it = yield)
      flunk "waited #{patience} s in vain: #{what}" if now > deadline
      sleep 0.01
    end
    it
  end

  def assert_within(seconds)
    begun = now
    result = yield
    assert_operator now - begun, :<, seconds
    result
  end

  # The lock has left no key, no ticket and no session of this process. The shutdown destroys the session that the
  # library keeps for reuse.
  def assert_nothing_left(*pids)
    ConsulLock.shutdown(timeout: 10)
    wait_until("nothing is left on #{full_key}") { Consul.keys(full_key).empty? }
    assert_nothing_left_of(Process.pid, *pids)
  end

  # A program that ended may have left its session to Consul, which needs up to two TTLs: such a lock has 10 s.
  def assert_nothing_left_of(*pids)
    wait_until("no session is left", patience: 60) { Consul.sessions_of(*pids).zero? }
  end

  # Holds the lock of this test.
  def holding(**options, &block)
    ConsulLock.hold(key, **options, &block)
  end

  # Starts a thread that acquires the lock, and returns when that thread waits.
  def waiting(lock = ConsulLock::Lock.new(key, acquire_timeout: 60))
    thread = Thread.new { lock.acquire }
    wait_until("it waits") { Consul.keys("#{full_key}/.fifo/").any? || !thread.alive? }
    thread
  end

  # Runs a Ruby program with this binding, and returns its output, its standard error and its status.
  def ruby(program, *arguments, requires: ["consul_lock"], **environment)
    requires = requires.map { |name| "-r#{name}" }
    command = [RbConfig.ruby, "-I", File.join(ROOT, "lib"), *requires, "-e", program, *arguments]
    Open3.capture3(environment.transform_keys(&:to_s), *command)
  end

  # Runs a Ruby program that must end well, with an empty standard error.
  def ruby!(program, *arguments, **options)
    out, complaints, status = ruby(program, *arguments, **options)
    assert_predicate status, :success?, "#{status}: #{complaints}"
    assert_empty complaints
    out
  end
end
