# frozen_string_literal: true

require "logger"
require "open3"
require_relative "tasks"

# Methods that several verbs share.
module Helpers
  PATIENCE = 30

  private

  # Sets any option by its name, as text.
  def options(words)
    words.to_h do |word|
      name, value = word.split("=", 2)
      name == "client" ? [:client, @clients.fetch(value)] : [name.to_sym, value]
    end
  end

  # The arguments of a lock: its key or keys, and its options.
  def of_lock(key, words)
    more, words = words.partition { |word| word.start_with?("and=") }
    options = options(words)
    [more.empty? ? key : [key, *more.map { |word| word.delete_prefix("and=") }], options]
  end

  def client_of(words)
    options(words)[:client]
  end

  # A field of a holder or a waiter.
  def field(found, name)
    found.to_h.fetch(name.to_sym)
  end

  def lock(name)
    @locks.fetch(name)
  end

  def pop(queue)
    queue.pop(true)
  rescue ThreadError
    nil
  end

  # Repeats the block until it has a value.
  def wait
    deadline = now + (PATIENCE * 1000)
    loop do
      found = yield
      return found if found
      raise ArgumentError, "nothing came in #{PATIENCE} s" if now > deadline

      sleep 0.005
    end
  end
end

# The verbs for locks.
module LockVerbs
  include Helpers

  # The fields of the step "holders".
  FIELDS = %w[session name node value fencing_token mode limit slot keys].freeze

  private

  def do_client(name, *words)
    @clients[name] = ConsulLock::Client.new(**options(words))
    "ok"
  end

  def do_lock(name, key, *words)
    key, options = of_lock(key, words)
    @locks[name] = ConsulLock::Lock.new(key, **options)
    "ok"
  end

  def do_try(name)
    lock(name).try_acquire
  end

  def do_release(name)
    lock(name).release
  end

  %w[acquire cancel renew check downgrade close abandon].each do |verb|
    define_method(:"do_#{verb}") do |name|
      lock(name).public_send(verb)
      "ok"
    end
  end

  def do_upgrade(name, milliseconds)
    lock(name).upgrade(timeout: milliseconds == "-1" ? Float::INFINITY : Integer(milliseconds) / 1000.0)
    "ok"
  end

  def do_put(name, key, value)
    lock(name).put_if_held(key, value)
    "ok"
  end

  def do_delete(name, key)
    lock(name).delete_if_held(key)
    "ok"
  end

  def do_held(name)
    lock(name).held?
  end

  def do_remaining(name)
    (lock(name).remaining * 1000).round
  end

  def do_token(name)
    lock(name).fencing_token || 0
  end

  def do_session(name)
    lock(name).session_id
  end

  def do_key(name)
    lock(name).key
  end

  def do_keys(name)
    lock(name).keys.join(" ")
  end

  def do_slot(name)
    lock(name).slot || "none"
  end

  def do_watch(name)
    losses = @losses[lock(name)]
    lock(name).on_lost { |reason| losses << reason }
    "ok"
  end

  def do_lost(name)
    wait { pop(@losses[lock(name)]) }.to_s.upcase
  end

  def do_hold(step, name, key, *words)
    key, options = of_lock(key, words)
    ConsulLock.hold(key, **options) do |lock|
      @locks[name] = lock
      do_watch(name)
      run(step.block)
    end
    "ok"
  end

  def do_raise
    raise Steps::Own, "a block's own error"
  end

  def do_holder(key, field, *words)
    holder = ConsulLock.holder(key, client: client_of(words))
    holder ? field(holder, field).to_s : "free"
  end

  def do_holders(key, role, field, *words)
    holders = ConsulLock.holders(key, client: client_of(words))
    found = [*{ "exclusive" => holders.exclusive, "sharers" => holders.sharers, "line" => holders.line }.fetch(role)]
    return found.size if field == "count"

    raise KeyError, "no field #{field}" unless FIELDS.include?(field)

    found.map { |it| [*field(it, field)] }.map { |said| said.empty? ? "none" : said.join(" ") }.join(" ")
  end

  def do_observe(name, key, *words)
    news = @news[name] = Thread::Queue.new
    on_error = ->(error) { news << error }
    @observers[name] = ConsulLock.observe(key, client: client_of(words), on_error: on_error) { |holder| news << holder }
    "ok"
  end

  def do_observed(name, field)
    news = @news.fetch(name)
    wait { !news.empty? }
    seen = news.pop
    raise seen if seen.is_a?(ConsulLock::Error)

    seen ? field(seen, field) : "free"
  end

  def do_unobserve(name)
    @observers.fetch(name).close
    "ok"
  end
end

# The verbs for tasks, other programs and the whole process.
module OtherVerbs
  include Helpers

  OPERATOR = File.expand_path("../../conformance/operator", __dir__)

  private

  def do_begin(task, verb, *words)
    @tasks[task] = Call.new { send("do_#{verb}", *words) }
    "ok"
  end

  def do_interrupt(task)
    @tasks.fetch(task).interrupt
    "ok"
  end

  def do_join(task)
    joined = @tasks.fetch(task).join(PATIENCE)
    raise joined if joined.is_a?(Failed)
    return joined unless joined.is_a?(Hash)

    joined.each { |name, value| store(name, value) }
    "ok"
  end

  def do_child(step, task, *words)
    @tasks[task] = Child.start(@file, step.line, @variables, words.to_h { |word| word.split("=", 2) })
    "ok"
  end

  def do_fork(step, task)
    @tasks[task] = Child.fork do
      @tasks = {}
      run(step.block)
      {}
    end
    "ok"
  end

  def do_operator(*words)
    said, problem, status = Open3.capture3(OPERATOR, *words)
    raise ArgumentError, problem.strip unless status.success?

    said.chomp
  end

  def do_sleep(milliseconds)
    sleep Integer(milliseconds) / 1000.0
    "ok"
  end

  def do_expect(left, operator, right)
    holds = case operator
            when "=" then left == right
            when "!=" then left != right
            when "<", ">" then Integer(left).public_send(operator, Integer(right))
            else raise ArgumentError, "unknown operator #{operator}"
            end
    holds ? "ok" : raise(ArgumentError, "#{left} #{operator} #{right} does not hold")
  end

  def do_default(name, value)
    ConsulLock.defaults[name] = value
    "ok"
  end

  def do_default_client(name)
    ConsulLock.default_client = (@clients.fetch(name) unless name == "none")
    "ok"
  end

  def do_generator(kind, text = nil)
    ConsulLock.value_generator = {
      "value" => -> { text }, "raises" => -> { do_raise }, "nothing" => -> {}, "none" => nil
    }.fetch(kind)
    "ok"
  end

  def do_log(level)
    logger = Logger.new($stderr, level: level)
    logger.formatter = lambda do |severity, _time, _program, line|
      @lines << [severity, line]
      nil
    end
    ConsulLock.logger = logger
    "ok"
  end

  def do_logged(text)
    severity, line = wait { pop(@lines)&.then { |it| it if it.last.include?(text) } }
    Answer.new(severity, says: line)
  end

  def do_stats(field, *words)
    client = client_of(words)
    (client ? client.stats : ConsulLock.stats).fetch(field.to_sym)
  end

  def do_shutdown(milliseconds)
    ConsulLock.shutdown(timeout: Integer(milliseconds) / 1000.0)
    "ok"
  end

  def do_version
    ConsulLock.version
  end
end
