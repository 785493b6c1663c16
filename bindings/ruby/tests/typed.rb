# frozen_string_literal: true

# Calls each public method, for the test of the signatures.

require "logger"

key = ARGV.fetch(0)
ConsulLock.logger = Logger.new($stderr, level: :fatal)
ConsulLock.value_generator = -> { "value" }
ConsulLock.defaults[:acquire_timeout] = 0
ConsulLock.defaults.set(lock_timeout_seconds: "30")
client = ConsulLock::Client.new(connect_timeout: 1.5)
ConsulLock.default_client = client
ConsulLock.default_client = nil

ConsulLock.hold(key, lock_timeout: 60, auto_renew: true) do |lock|
  lock.on_lost { |reason| warn reason }
  [lock.held?, lock.lost?, lock.remaining, lock.fencing_token, lock.key, lock.session_id, lock.closed?, lock.inspect]
  lock.renew.check.put_if_held("#{key}-data", "").delete_if_held(:"#{key}-data")
  lock.cancel
  ConsulLock.holder(key).then { |it| [it.session, it.name, it.node, it.value, it.fencing_token, it.to_h] }
  client.hold(key, fail_hard: false) { |other| other }
  client.lock(key, fail_hard: false).acquire
  begin
    client.lock(key).acquire
  rescue ConsulLock::Error => e
    [e.code, e.status, e.http_status, e.retryable?]
  end
end

ConsulLock.hold(key, limit: 1) do |share|
  [share.slot, share.keys, share.upgrade.downgrade, share.upgrade(timeout: 0.5)]
  waiter = Thread.new { client.hold(key.to_sym, share: true, limit: 2, acquire_timeout: 5) { |other| other } }
  sleep 0.01 until client.holders(key).line.any?
  ConsulLock.holders(key).then { |it| [it.key, it.exclusive.slot, it.exclusive.limit, it.sharers, it.to_h] }
  waiting = ConsulLock.holders(key).line.first
  [waiting.session, waiting.name, waiting.node, waiting.ttl, waiting.mode, waiting.limit, waiting.keys, waiting.to_h]
  share.release
  waiter.join
end
client.lock([key, :"#{key}-b"], mode: :exclusive).close

news = Thread::Queue.new
observer = ConsulLock.observe(key, on_error: ->(error) { warn error }) { |holder| news << holder }
news.pop
[observer.closed?, observer.close]
client.observe(key) { |holder| holder }.close

lock = ConsulLock::Lock.new(key, client: client, value: nil, fail_hard: true)
lock.try_acquire
lock.release
lock.close
lock.abandon
client.holder(key)
client.stats
ConsulLock.stats
ConsulLock.version
ConsulLock.shutdown
ConsulLock.shutdown(timeout: 0.5)
puts "done"
