# frozen_string_literal: true

# Runs the tests of the named files, or of all, and prints the count as its last line.

require_relative "helper"

# Prints the count. A skipped test has not passed. Keeps the name of the running test in a file: bindings/ruby/test
# tells that name when the process has died.
class Closing < Minitest::StatisticsReporter
  RUNNING = ENV.fetch("RUNNING_TEST", File::NULL)

  def prerecord(tests, name)
    super
    File.write(RUNNING, "#{tests}##{name}")
  end

  def report
    super
    io.puts "#{count - failures - errors - skips} passed, #{failures + errors + skips} failed"
  end

  def passed?
    results.empty?
  end
end

# Adds the count to Minitest's own reports.
module Minitest
  def self.plugin_closing_init(options)
    reporter << Closing.new(options[:io], options)
  end
  extensions << "closing"
end

files, arguments = ARGV.partition { |argument| argument.end_with?(".rb") }
files = Dir[File.join(__dir__, "*_test.rb")] if files.empty?
files.each { |file| require File.expand_path(file) }
exit Minitest.run(arguments)
