# frozen_string_literal: true

require_relative "expectation"
require_relative "verbs"

# Executes the steps of one scenario.
class Steps
  include LockVerbs
  include OtherVerbs

  # The exception of the step "raise" and of the generator.
  class Own < StandardError; end

  # The variables that the steps have stored.
  attr_reader :stored

  # @param variables [Hash{String => String}]
  def initialize(file, variables)
    @file = file
    @variables = variables
    @locks = {}
    @clients = {}
    @losses = Hash.new { |losses, lock| losses[lock] = Thread::Queue.new }
    @observers = {}
    @news = {}
    @tasks = {}
    @lines = Thread::Queue.new
    @stored = {}
  end

  def run(steps)
    steps.each { |step| run_one(step) unless step.verb == "end" }
  end

  # Ends the calls and children that a scenario has left.
  def clear
    @tasks.each_value(&:kill)
    @observers.each_value(&:close)
    @locks.each_value(&:abandon)
  end

  private

  def run_one(step)
    arguments = step.arguments.map { |word| fill(word.text, step) }
    begun = now
    answer = answer_of(step, arguments)
    problem = problem_of(step, answer, now - begun)
    # A block's expectation stands at its end.
    line = step.verb == "hold" ? step.block.last.line : step.line
    raise Failed.new(line, "#{[step.verb, *arguments].join(" ")}: #{problem}") if problem

    store(step.variable, answer.text) if step.variable
  end

  def problem_of(step, answer, took)
    words = step.expectation.map { |word| Word.new(fill(word.text, step), word.quoted) }
    Expectation.new(words).problem(answer, took)
  end

  def fill(text, step)
    text.gsub(/\{(\w+)\}/) do
      name = Regexp.last_match(1)
      next Process.pid.to_s if name == "pid"

      @variables.fetch(name) { raise Failed.new(step.line, "unknown variable #{text}") }
    end
  end

  def store(name, value)
    @variables[name] = @stored[name] = value
  end

  def answer_of(step, arguments)
    verb = step.verb.tr("-", "_")
    action = "do_#{verb}"
    raise Failed.new(step.line, "unknown verb #{step.verb}") unless respond_to?(action, true)

    arguments.unshift(step) if step.opens_block?
    answer = send(action, *arguments)
    answer.is_a?(Answer) ? answer : Answer.new(answer)
  rescue ConsulLock::Error => e
    Answer.failure(e)
  rescue Own
    raise if step.verb == "raise"

    Answer.raised
  rescue ArgumentError, KeyError, ThreadError => e
    raise Failed.new(step.line, "#{step.verb}: #{e.message}")
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
  end
end
