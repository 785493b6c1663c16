# frozen_string_literal: true

require_relative "helper"

# Programs that must never crash, run often.
class CrashTest < Test
  # A program with three threads that wait for the lock.
  WAITING = <<~'RUBY'
    3.times { Thread.new { ConsulLock.hold(ARGV[0], acquire_timeout: 60, lock_timeout: 10) {} } }
    sleep 0.01 while ConsulLock.stats.fetch(:waiting, 0) < 3
  RUBY

  def test_the_end_of_the_program_while_threads_wait
    pids = []
    often("#{WAITING} puts Process.pid; exit 3", status: 3) { |out| pids << Integer(out) }
    assert_nothing_left(*pids)
  end

  def test_the_end_without_a_last_word_while_threads_wait
    often("#{WAITING} exit! 3", status: 3)
  end

  def test_an_error_that_ends_the_program_while_threads_wait
    often("#{WAITING} raise 'own'", status: 1, complaints: /own \(RuntimeError\)/)
  end

  def test_an_exception_in_a_block_of_on_lost
    program = <<~'RUBY'
      require "net/http"
      told = Thread::Queue.new
      2.times do |number|
        lock = ConsulLock::Lock.new("#{ARGV[0]}-#{Process.pid}-#{number}", monitor: false)
        lock.on_lost { told << number; raise "own" if number.zero? }
        lock.acquire
        Net::HTTP.start(*ENV["CONSUL_HTTP_ADDR"].split(":")) { |http| http.delete("/v1/kv/#{lock.key}") }
        begin
          lock.check
        rescue ConsulLock::LostError
          puts told.pop
        end
      end
      exit 3
    RUBY
    often(program, status: 3, complaints: /own \(RuntimeError\)/) { |out| assert_equal "0\n1\n", out }
  end

  def test_a_fork_with_locks_held
    program = <<~'RUBY'
      key = "#{ARGV[0]}-#{Process.pid}"
      locks = Array.new(3) { |number| ConsulLock::Lock.new("#{key}-#{number}").tap(&:acquire) }
      locks.each { |lock| lock.on_lost { abort "lost" } }
      Thread.new { ConsulLock.hold("#{key}-0", acquire_timeout: 60) {} }
      children = [
        fork { exit 3 },
        fork { locks = nil; GC.start; exit 3 },
        fork { ConsulLock.hold("#{key}-own") { |lock| exit 3 if lock.held? } },
        fork { locks.each(&:close) && exit!(3) }
      ]
      statuses = children.map { |child| Process.wait2(child).last.exitstatus }
      locks.each(&:check)
      locks.each(&:release)
      exit 3 if statuses == [3, 3, 3, 3]
    RUBY
    often(program, status: 3)
  end

  private

  # Runs a program many times, two at a time, while the lock is held. Each two get a new holder: Consul keeps the
  # connection of a dead watcher until the key changes, and allows 200 connections.
  def often(program, status:, complaints: /\A\z/)
    RUNS.times.each_slice(2) do |pair|
      programs = holding(acquire_timeout: 30) { pair.map { Thread.new { ruby(program, key) } }.map(&:value) }
      programs.each do |out, said, ended|
        assert_equal status, ended.exitstatus, "#{ended}: #{out}#{said}"
        assert_match complaints, said
        yield out if block_given?
      end
    end
  end
end
