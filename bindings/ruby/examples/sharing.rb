# frozen_string_literal: true

# At most three at once, readers beside each other, and two keys together.
require "consul_lock"

ConsulLock.hold("licence", limit: 3, acquire_timeout: 30) do |lock|
  puts "licence #{lock.slot} of 0 to 2"
end

ConsulLock.hold("prices", acquire_timeout: 30) do |lock|
  puts "writing the prices"
  lock.downgrade # from here on others may read the prices, but not write them
  puts "reading the prices"
end
ConsulLock.hold("prices", share: true, acquire_timeout: 30) do
  puts "reading the prices"
end

ConsulLock.hold(["account/7", "account/3"], acquire_timeout: 30) do
  puts "moving the money"
end
