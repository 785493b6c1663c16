# frozen_string_literal: true

# Takes and releases a lock, and prints the platform of the gem and the file of the library that does this.
require "consul_lock"

ConsulLock.hold("packages", acquire_timeout: 30) do |lock|
  abort "the lock is not held" unless lock.held? && lock.fencing_token.positive?
  abort "two locks have one key" if ConsulLock::Lock.new("packages").try_acquire
end
abort "the lock is not released" if ConsulLock.holder("packages")
places = File.readlines("/proc/self/maps").grep(/libconsul_lock/).map { |line| line.split.last }
puts [Gem.loaded_specs.fetch("consul_lock").platform, *places.uniq].join(" ")
