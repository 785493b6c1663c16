# frozen_string_literal: true

# One process leads, and each process knows the leader. Run the program twice, and end the process that leads.
require "consul_lock"

$stdout.sync = true
me = "process #{Process.pid}"
observer = ConsulLock.observe("leader", on_error: ->(error) { warn error.message }) do |holder|
  puts holder ? "the leader is #{holder.value}" : "there is no leader"
end

begin
  ConsulLock.hold("leader", value: me, acquire_timeout: Float::INFINITY, lock_timeout: 15, auto_renew: true) do |lock|
    sleep 0.5 while lock.held?
  end
rescue ConsulLock::LostError => e
  warn e.message
rescue Interrupt
  puts "resigned"
ensure
  observer.close
end
