# frozen_string_literal: true

# Work of unknown length stops when the lock is lost. Run the program twice, and kill the process that works.
#
#   CONSUL_HTTP_ADDR=127.0.0.1:8500 ruby examples/worker.rb
require "consul_lock"
require "logger"

$stdout.sync = true
ConsulLock.logger = Logger.new($stderr, level: :warn)
stop = false

begin
  ConsulLock.hold("worker", acquire_timeout: Float::INFINITY, lock_timeout: 15, auto_renew: true) do |lock|
    lock.on_lost do |reason|
      warn "lost: #{reason}"
      stop = true
    end
    step = 0
    until stop
      step += 1
      puts "step #{step}, token #{lock.fencing_token}, #{lock.remaining.round} s left"
      sleep 1
    end
  end
rescue ConsulLock::LostError => e
  warn e.message
rescue Interrupt
  puts "released"
end
