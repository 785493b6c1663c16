# frozen_string_literal: true

require_relative "helper"

# Many cycles leave no growth.
class SoakTest < Test
  CYCLES = 10_000

  Use = Struct.new(:memory_kb, :descriptors, :threads) do
    def self.now
      GC.start
      new(File.read("/proc/self/status")[/VmRSS:\s+(\d+)/, 1].to_i, Dir["/proc/self/fd/*"].size,
          Dir["/proc/self/task/*"].size)
    end
  end

  # A leak grows in every round, so one round without growth is enough.
  def test_cycles
    cycles(CYCLES / 10)
    before = Use.now
    rounds = Array.new(3).lazy.map { growth_of { cycles(CYCLES) } }
    assert rounds.any? { |kilobytes| kilobytes < 8 * 1024 }, "memory"
    after = Use.now
    assert_operator after.descriptors, :<=, before.descriptors + 8
    assert_operator after.threads, :<=, before.threads + 8
    assert_nothing_left
  end

  # Native memory, which the collector does not see: a leak of any object grows in every round, and Ruby's heap only in
  # some.
  def test_objects_of_the_library
    lock = ConsulLock::Lock.new(key)
    uses = {
      "events and errors" => -> { lock.release },
      "locks and options" => -> { ConsulLock::Lock.new(key, lock_timeout: 60, value: "a" * 100).close },
      "locks of several keys" => -> { ConsulLock::Lock.new([key, "#{key}-b"]).tap(&:keys).close },
      "errors of options" => -> { ConsulLock::Lock.new(key, nonsense: 1) rescue nil }, # rubocop:disable Style/RescueModifier
      "notices" => -> { lock.on_lost { nil } }
    }
    uses.each do |what, use|
      2000.times { use.call }
      rounds = Array.new(5).lazy.map { growth_of { 20_000.times { use.call } } }
      assert rounds.any? { |kilobytes| kilobytes < 1500 }, what
    end
  end

  # Each answer has 20 KB, so few of them show a leak. The heap first grows for some ten rounds, to its place for such
  # answers.
  def test_answers_of_consul
    holding(value: "a" * 20_000) do
      told = Thread::Queue.new
      uses = {
        "holders" => -> { ConsulLock.holders(key) },
        "observers" => lambda do
          observer = ConsulLock.observe(key) { |holder| told << holder.fencing_token }
          told.pop
          observer.close
        end
      }
      uses.each do |what, use|
        200.times { use.call }
        rounds = Array.new(25).lazy.map { growth_of { 500.times { use.call } } }
        assert rounds.any? { |kilobytes| kilobytes < 1500 }, what
      end
    end
    assert_nothing_left
  end

  def test_mailboxes_are_used_again
    holding { nil }
    ConsulLock::Mailbox.stub(:new, -> { flunk "a new one" }) { holding { ConsulLock.holder(key) } }
  end

  def growth_of
    before = Use.now
    yield
    Use.now.memory_kb - before.memory_kb
  end

  # Uses a lock in every way.
  def cycles(count)
    (count / 10).times do
      4.times { ConsulLock.hold(key) { |lock| lock.on_lost { lock.close } } }
      2.times { used_without_a_word }
      holding { 2.times { ConsulLock::Lock.new(key).try_acquire } }
      holding { interrupted }
      holding(share: false, limit: 2) { |lock| lock.downgrade.upgrade }
    end
  end

  # Leaves locks and clients to the collector.
  def used_without_a_word
    lock = ConsulLock::Lock.new(key, lock_timeout: 60, value: "v")
    lock.acquire
    lock.release
  end

  def interrupted
    Timeout.timeout(0.002) { ConsulLock.hold(key, acquire_timeout: 60) { flunk } }
  rescue Timeout::Error
    nil
  end
end
