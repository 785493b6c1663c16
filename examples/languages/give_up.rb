require "consul_lock"

lock = ConsulLock::Lock.new("nightly-report", acquire_timeout: 2)
if lock.try_acquire # raises when nobody knows
  puts "making the report"
  lock.release
else
  puts "somebody else makes it"
end
