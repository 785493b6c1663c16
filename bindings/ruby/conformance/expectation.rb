# frozen_string_literal: true

# The failure of a step. It is no StandardError, so that no rescue of a step's errors catches it.
class Failed < Exception # rubocop:disable Lint/InheritException
  def initialize(line, message)
    super("line #{line}: #{message.tr("\n", " ")}")
  end

  # Reads a failure that a child has printed.
  def self.told(message)
    line, message = message.match(/\Aline (\d+): (.*)/)&.captures
    new(line, message) if line
  end
end

# The answer of a step: a text, and the error of a failed call.
class Answer
  attr_reader :text, :error

  # @param text [Object]
  # @param says [String, nil] the text for "says" and "hides", if that is another one
  def initialize(text, error: nil, says: nil)
    @text = text.to_s
    @error = error
    @says = says
  end

  def self.failure(error)
    new(error.status.to_s.upcase, error: error, says: error.message)
  end

  # The hold raised the block's own error.
  def self.raised
    new("raised").tap { |it| it.failed = true }
  end

  attr_writer :failed

  def failed?
    @failed || !error.nil?
  end

  def says
    @says || text
  end

  def to_s
    error ? "#{text}: #{says}" : text
  end
end

# The expected answer of a step.
class Expectation
  CLAUSES = {
    "says" => [1, ->(answer, _took, text) { answer.says.include?(text) }],
    "hides" => [1, ->(answer, _took, text) { !answer.says.include?(text) }],
    "between" => [2, ->(answer, _took, min, max) { Integer(answer.text, 10).between?(Integer(min), Integer(max)) }],
    "within" => [2, ->(_answer, took, min, max) { took.between?(Float(min), Float(max)) }],
    "http" => [1, ->(answer, _took, number) { answer.error&.http_status == Integer(number) }],
    "retryable" => [0, ->(answer, _took) { answer.error&.retryable? }],
    "final" => [0, ->(answer, _took) { answer.error && !answer.error.retryable? }]
  }.freeze

  # @param words [Array<Word>] with their variables replaced
  def initialize(words)
    @words = words
  end

  # @param took [Float] in milliseconds
  # @return [String, nil] what is wrong
  def problem(answer, took)
    words = @words.dup
    exact = words.shift.text unless words.empty? || words.first.bare?(*CLAUSES.keys)
    wrong_answer(exact, answer) || wrong_clause(words, answer, took)
  rescue ArgumentError
    "not a number: #{answer}"
  end

  private

  def wrong_answer(exact, answer)
    return ("failed with #{answer}" if answer.failed?) unless exact

    "wanted #{exact}, got #{answer}" unless answer.text == exact
  end

  def wrong_clause(words, answer, took)
    until words.empty?
      clause = words.shift.text
      count, holds = CLAUSES[clause]
      return "unknown clause #{clause}" if count.nil? || words.size < count

      arguments = words.shift(count).map(&:text)
      right = holds.call(answer, took, *arguments)
      return "#{[clause, *arguments].join(" ")}: got #{answer} in #{took.round} ms" unless right
    end
  end
end
