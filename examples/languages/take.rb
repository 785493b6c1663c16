require "consul_lock"

begin
  ConsulLock.hold("nightly-report") { puts "making the report" }
rescue ConsulLock::Error => e
  abort "no report: #{e.message}"
end
