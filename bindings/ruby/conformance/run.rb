# frozen_string_literal: true

# Executes the scenarios of bindings/conformance through this binding, as README.md there demands of a runner:
#
#   run.rb FILE [NAME...]
#   run.rb FILE child LINE NAME=VALUE...

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "consul_lock"
require "securerandom"
require_relative "scenario"
require_relative "steps"

AT_ONCE = 8
$stdout.sync = true

def variables(scenario)
  {
    "key" => "conformance/#{scenario.name}-#{SecureRandom.hex(4)}",
    "agent" => ENV.fetch("CONSUL_HTTP_ADDR"),
    "acl" => ENV.fetch("TEST_CONSUL_ACL_ADDR"),
    "dead" => ENV.fetch("TEST_CONSUL_DEAD_ADDR")
  }
end

def verdict(file, scenario)
  return "without #{scenario.name}" if scenario.without.include?("ruby")

  steps = Steps.new(file, variables(scenario))
  steps.run(scenario.steps)
  "ok #{scenario.name}"
rescue Failed, StandardError => e
  "FAILED #{scenario.name} #{e.message.tr("\n", " ")}"
ensure
  steps&.clear
end

file, *arguments = ARGV
abort "usage: #{$PROGRAM_NAME} FILE [NAME...]" unless file
scenarios = Scenario.read(file)

if arguments.first == "child"
  _, line, *pairs = arguments
  Child.tell($stdout) do
    steps = Steps.new(file, pairs.to_h { |pair| pair.split("=", 2) })
    steps.run(Scenario.block_at(scenarios, Integer(line)))
    steps.stored
  end
else
  scenarios.select! { |scenario| arguments.include?(scenario.name) } unless arguments.empty?
  waiting = Thread::Queue.new(scenarios).close
  threads = Array.new(AT_ONCE) do
    Thread.new do
      while (scenario = waiting.pop)
        $stdout.write("#{verdict(file, scenario)}\n")
      end
    end
  end
  threads.each(&:join)
end
