require "consul_lock"

lock = ConsulLock::Lock.new("nightly-report", acquire_timeout: 2)
if lock.try_acquire # raises when Consul gave no usable answer, or refused
  puts "making the report"
  lock.release
else
  puts "another process makes it"
end
