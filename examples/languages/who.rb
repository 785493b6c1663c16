require "consul_lock"

holder = ConsulLock.holder("nightly-report")
puts holder ? "#{holder.name} on #{holder.node}" : "free"
