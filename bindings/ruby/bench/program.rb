# frozen_string_literal: true

# Acquires and releases a lock as its input says: benches/peers/README.md has the contract.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "consul_lock"

# The turns on one key.
class Program
  def initialize(key)
    @key = key
    @output = Mutex.new
  end

  def obey(input)
    threads = []
    say "ready"
    input.each_line do |line|
      case line.split
      in ["turns", name, hold_ms, count]
        threads << Thread.new { count.to_i.times { turn(name, hold_ms.to_i / 1000.0) } }
      in ["cycles", count]
        say ["cycles", *Array.new(count.to_i) { cycle }].join(" ")
      end
    end
    threads.each(&:join)
  end

  private

  def turn(name, hold)
    lock = ConsulLock::Lock.new(@key, acquire_timeout_ms: -1)
    begun = now
    lock.acquire
    say "acquired #{name} #{begun} #{now}"
    sleep hold
    begun = now
    lock.release
    say "released #{name} #{begun} #{now}"
  rescue ConsulLock::Error => e
    say "failed #{name} #{e.message}"
  end

  def cycle
    begun = now
    lock = ConsulLock::Lock.new(@key, acquire_timeout_ms: -1)
    lock.acquire
    lock.release
    now - begun
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
  end

  def say(line)
    @output.synchronize { puts line }
  end
end

address, key = ARGV
abort "usage: #{$PROGRAM_NAME} ADDRESS KEY" unless key
ENV["CONSUL_HTTP_ADDR"] = address
$stdout.sync = true
ConsulLock.defaults[:lock_key_pattern] = "%s"
Program.new(key).obey($stdin)
