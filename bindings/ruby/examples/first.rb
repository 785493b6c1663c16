# frozen_string_literal: true

# The first program: only one at a time makes the report, in the whole datacenter.
require "consul_lock"

begin
  ConsulLock.hold("nightly-report") do
    puts "making the report"
  end
rescue ConsulLock::NotAcquiredError => e
  puts "no report: #{e.message}"
end
