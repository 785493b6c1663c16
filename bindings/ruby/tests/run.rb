# frozen_string_literal: true

# Runs the tests of the files that are named, or of all, and says as its last line how many passed and failed.

require_relative "helper"

# The plain line. A skipped test has not passed.
class Closing < Minitest::StatisticsReporter
  def report
    super
    io.puts "#{count - failures - errors - skips} passed, #{failures + errors + skips} failed"
  end

  def passed?
    results.empty?
  end
end

# Adds it to what Minitest itself reports.
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
