# frozen_string_literal: true

# Only one process in the whole datacenter makes the report at a time.
require "consul_lock"

begin
  ConsulLock.hold("nightly-report") do
    puts "making the report"
  end
rescue ConsulLock::NotAcquiredError => e
  puts "no report: #{e.message}"
end
