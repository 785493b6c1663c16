# frozen_string_literal: true

require_relative "helper"

# The declarations and tables of this binding are those of abi/api.json.
class AbiTest < Test
  API = JSON.parse(File.read(File.join(REPOSITORY, "abi/api.json")))

  # The functions that this binding does not use, and why.
  UNUSED = {
    "consul_lock_acquire" => "waits", "consul_lock_release" => "waits", "consul_lock_renew" => "waits",
    "consul_lock_check" => "waits", "consul_lock_put_if_held" => "waits", "consul_lock_delete_if_held" => "waits",
    "consul_lock_holder" => "waits", "consul_lock_holders" => "waits", "consul_lock_shutdown" => "waits",
    "consul_lock_downgrade" => "waits", "consul_lock_upgrade" => "waits",
    "consul_lock_free" => "waits, if the lock is held",
    "consul_lock_options_set_int" => "the gem passes each option as a text",
    "consul_lock_set_value_generator" => "the gem calls the generator", "consul_lock_value_set" => "the same",
    "consul_lock_bind_to_queue" => "Ruby ends no thread without its ensure blocks",
    "consul_lock_why_lost" => "the notice of a loss has the reason",
    "consul_lock_lost_reason_name" => "the gem has symbols", "consul_lock_event_kind" => "a tag has one kind of event",
    "consul_lock_holders_count" => "the gem reads the JSON form", "consul_lock_holders_role" => "the same",
    "consul_lock_holders_get" => "the same", "consul_lock_holders_limit" => "the same",
    "consul_lock_holders_slot" => "the same", "consul_lock_holders_key_count" => "the same",
    "consul_lock_holders_key" => "the same",
    "consul_lock_abi_version" => "the loader calls it",
    "consul_lock_queue_done" => "only its address is used", "consul_lock_queue_holder_done" => "the same",
    "consul_lock_queue_holders_done" => "the same", "consul_lock_queue_observed" => "the same",
    "consul_lock_queue_lost" => "the same", "consul_lock_queue_log" => "the same"
  }.freeze

  def test_each_function_is_declared_as_it_is
    described = API["functions"].to_h { |function| [function["name"], function] }
    ConsulLock::Native::FUNCTIONS.each do |name, (parameters, returns)|
      function = described.fetch("consul_lock_#{name}")
      types = function["params"].map { |parameter| declared(parameter["type"], parameter["name"]) }
      assert_equal types, parameters, name
      assert_equal declared(function["returns"]), returns, name
    end
  end

  def test_each_function_is_used
    used = ConsulLock::Native::FUNCTIONS.keys.map { |name| "consul_lock_#{name}" }
    assert_empty API["functions"].map { |function| function["name"] } - used - UNUSED.keys
    assert_empty UNUSED.keys & used
  end

  def test_each_status_has_a_class_of_its_own
    statuses = API["statuses"].to_h { |status| [status["number"], status["name"]] }
    statuses.delete(0)
    classes = ConsulLock::Error.const_get(:CODES)
    assert_equal statuses.keys, classes.keys
    assert_equal classes.size, classes.values.uniq.size
    statuses.each do |number, name|
      assert_equal "#{name.split("_").map(&:capitalize).join}Error", classes[number].name.delete_prefix("ConsulLock::")
      assert_equal ConsulLock::Error, classes[number].superclass
      made = classes[number].new("why")
      assert_equal [number, name.downcase.to_sym], [made.code, made.status]
    end
  end

  def test_a_status_of_a_later_library_is_an_error
    made = ConsulLock::Error.new("why", code: 77)
    assert_equal [77, :unknown], [made.code, made.status]
  end

  def test_each_reason_and_level_is_known
    reasons = API["lost_reasons"].to_h { |reason| [reason["number"], reason["name"].downcase.to_sym] }
    assert_equal reasons, ConsulLock::Dispatcher::LOST_REASONS
    API["log_levels"].each do |level|
      assert_equal Logger.const_get(level["name"]), ConsulLock::Dispatcher.const_get(:LOUDEST, false) - level["number"]
    end
  end

  def test_each_time_option_has_a_name_without_its_unit
    times = API["options"].map { |option| option["name"] }.grep(/_(ms|seconds)\z/)
    assert_equal times.sort, ConsulLock::Options::TIMES.values.map(&:first).sort
    ConsulLock::Options::TIMES.each do |name, (option, per_second)|
      assert_equal option, "#{name}_#{per_second == 1 ? "seconds" : "ms"}"
    end
  end

  def test_the_version_is_that_of_the_library
    assert_equal API["version"], ConsulLock::VERSION
    assert_equal API["version"], ConsulLock.version
    assert_equal API["abi_version"], ConsulLock::Loader::ABI_VERSION
  end

  private

  TYPES = { "bool" => :bool, "void" => :void, "size_t" => :size_t, "consul_lock_status" => :int, "int" => :int }.freeze

  # The ffi gem's type for a type of C.
  def declared(type, name = nil)
    case type
    when *TYPES.keys then TYPES[type]
    when /\Au?int\d+_t\z/ then type.delete_suffix("_t").to_sym
    when "const char *" then name == "line" ? :pointer : :string
    when /\*\z/, "consul_lock_done", /_(callback|free|holders?_done)\z/ then :pointer
    else flunk "no type for #{type}"
    end
  end
end
