require "consul_lock"

def unless_busy(busy)
  yield
rescue ConsulLock::NotAcquiredError
  puts busy
end

unless_busy("all licences are in use") do
  ConsulLock.hold("licence", limit: 3) { |lock| puts "licence #{lock.slot} of 0 to 2" }
end
unless_busy("an account is in use") do
  ConsulLock.hold(["account/7", "account/3"]) { puts "moving the money" }
end
