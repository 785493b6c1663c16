# frozen_string_literal: true

require "rbconfig"

# A call in a thread.
class Call
  # The exception that interrupts the call.
  class Interrupted < StandardError; end

  def initialize(&block)
    @thread = Thread.new(&block)
    @thread.report_on_exception = false
    sleep 0.05
  end

  def interrupt
    @thread.raise(Interrupted)
  end

  # @return [Object] the call's answer
  def join(patience)
    raise ArgumentError, "it never ended" unless @thread.join(patience)

    @thread.value
  rescue Interrupted
    "interrupted"
  end

  def kill
    @thread.kill
  end
end

# A child process that executes a block.
class Child
  # A new process.
  def self.start(file, line, variables, environment)
    pairs = variables.map { |name, value| "#{name}=#{value}" }
    output, child_output = IO.pipe
    program = File.join(__dir__, "run.rb")
    pid = Process.spawn(environment, RbConfig.ruby, program, file, "child", line.to_s, *pairs, out: child_output)
    child_output.close
    new(pid, output)
  end

  # A fork.
  def self.fork(&block)
    output, child_output = IO.pipe
    pid = Process.fork do
      output.close
      tell(child_output, &block)
      exit! # without at_exit blocks, which belong to the parent
    end
    child_output.close
    new(pid, output)
  end

  # In a child: prints the outcome of a block, and the variables that it stored.
  def self.tell(output)
    yield.each { |name, value| output.puts "as #{name} #{value}" }
    output.puts "ok"
  rescue Failed => e
    output.puts "FAILED #{e.message}"
  rescue StandardError => e
    output.puts "FAILED line 0: #{e.full_message(highlight: false).tr("\n", " ")}"
  ensure
    output.flush
  end

  def initialize(pid, output)
    @pid = pid
    @output = output
    @said = Thread.new { output.readlines(chomp: true) }
    @said.report_on_exception = false
  end

  # @return [Hash{String => String}, Failed] the variables that the child stored
  def join(patience)
    raise ArgumentError, "the child never ended" unless @said.join(patience)

    Process.wait(@pid)
    @pid = nil
    *stored, last = @said.value
    failure = last&.delete_prefix!("FAILED ")
    return Failed.told(failure) if failure
    raise ArgumentError, "the child said #{last.inspect}" unless last == "ok"

    stored.to_h { |line| line.delete_prefix("as ").split(" ", 2) }
  end

  def kill
    return unless @pid

    Process.kill(:KILL, @pid)
    Process.wait(@pid)
  end
end
