# frozen_string_literal: true

# A step of a scenario, as written in the file.
Step = Struct.new(:line, :verb, :arguments, :variable, :expectation, :block, keyword_init: true) do
  def opens_block?
    %w[hold child fork].include?(verb)
  end
end

# A word of the file: its text, and whether it was in quotes.
Word = Struct.new(:text, :quoted) do
  def self.all(line)
    line.scan(/"(?:[^"\\]|\\.)*"|\S+/).map do |word|
      next new(word, false) unless word.start_with?('"')

      escapes = { '\n' => "\n", '\t' => "\t", '\0' => "\0" }
      new(word[1..-2].gsub(/\\./) { |escape| escapes.fetch(escape, escape[1]) }, true)
    end
  end

  def bare?(*texts)
    !quoted && texts.include?(text)
  end
end

# A scenario of the file.
Scenario = Struct.new(:name, :without, :steps, keyword_init: true) do
  # @return [Array<Scenario>]
  def self.read(file)
    scenarios = []
    open = [] # the lists of steps, from the scenario's own to the innermost block's
    File.foreach(file, encoding: Encoding::UTF_8).with_index(1) do |line, number|
      case line.strip
      when "", /\A#/, "must-fail" then next
      when /\Ascenario (\S+?):/
        scenarios << new(name: Regexp.last_match(1), without: [], steps: [])
        open = [scenarios.last.steps]
      when /\Awithout ([^:]+?) *:/ then scenarios.last.without.concat(Regexp.last_match(1).split)
      else add(open, parse(line, number))
      end
    end
    scenarios
  end

  def self.add(open, step)
    if step.verb == "end"
      open.pop
      opener = open.last.last
      opener.expectation = step.expectation
      opener.block << step
    else
      open.last << step
      open << step.block if step.opens_block?
    end
  end

  def self.parse(line, number)
    words = Word.all(line)
    arrow = words.index { |word| word.bare?("->") } || words.size
    call = words[0...arrow]
    variable = call.pop(2).last.text if call.size > 2 && call[-2].bare?("as")
    Step.new(line: number, verb: call.first.text, arguments: call.drop(1), variable: variable,
             expectation: words.drop(arrow + 1), block: [])
  end

  private_class_method :add, :parse

  # The block that begins on a line, at any depth.
  def self.block_at(scenarios, line)
    steps = scenarios.flat_map(&:steps)
    until steps.empty?
      step = steps.shift
      return step.block if step.line == line

      steps.concat(step.block)
    end
  end
end
