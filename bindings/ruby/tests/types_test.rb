# frozen_string_literal: true

require "rbs"
require_relative "helper"
require "consul_lock/testing"

# The signatures in sig/ are right: each public name has one, and a running program keeps to them.
class TypesTest < Test
  SIGNATURES = File.join(ROOT, "sig")

  def setup
    loader = RBS::EnvironmentLoader.new
    loader.add(path: Pathname(SIGNATURES))
    environment = RBS::Environment.from_loader(loader).resolve_type_names
    @declarations = environment.class_decls.select { |name, _| name.to_s.match?(/\A::ConsulLock\b/) }
  end

  def declared(name, kind)
    *outer, inner = "::ConsulLock::#{name}".split("::")
    type = RBS::TypeName.new(name: inner.to_sym, namespace: RBS::Namespace.parse("#{outer.join("::")}::"))
    members = @declarations.fetch(type).decls.flat_map { |declaration| declaration.decl.members }
    members = members.select { |member| member.respond_to?(:name) && kind_of(member) == kind }
    members.map(&:name).grep(Symbol)
  end

  def kind_of(member)
    member.respond_to?(:kind) ? member.kind : :instance
  end

  # The names that are for the gem itself.
  INTERNAL = %i[Calls Dispatcher Handle Loader Mailbox Native Options Releaser Runtime Trap].freeze
  PRIVATE = { Client: %i[pointer], Lock: %i[finish], Observer: %i[hear] }.freeze

  def test_each_public_method_has_a_signature
    %i[Client Lock Holder Holders Waiter Observer Error Testing Testing::Consul].each do |name|
      methods = Object.const_get("ConsulLock::#{name}").public_instance_methods(false) - PRIVATE.fetch(name, [])
      assert_equal methods.sort, (declared(name, :instance) - [:initialize]).sort, name
    end
    assert_equal ConsulLock::Defaults.singleton_methods(false).sort, declared(:Defaults, :singleton).sort
  end

  def test_each_public_class_is_declared
    names = @declarations.keys.map { |name| name.to_s.delete_prefix("::") }.sort
    there = ConsulLock.constants.select { |name| ConsulLock.const_get(name).is_a?(Module) } - INTERNAL
    there += ConsulLock::Testing.constants.map { |name| "Testing::#{name}" }
    assert_equal ["ConsulLock", *there.map { |name| "ConsulLock::#{name}" }].sort, names
  end

  CHECKED = {
    requires: %w[rbs/test/setup consul_lock], RBS_TEST_OPT: "-I #{SIGNATURES}", RBS_TEST_RAISE: "true",
    RBS_TEST_TARGET: "ConsulLock,ConsulLock::*", RBS_TEST_LOGLEVEL: "error"
  }.freeze

  # A program runs while rbs checks each call against its signature, and rbs finds a wrong call.
  def test_calls_keep_to_their_signatures
    assert_equal "done\n", ruby!(File.read(File.join(__dir__, "typed.rb")), key, **CHECKED)
    _, complaints, status = ruby("ConsulLock::Lock.new(7)", **CHECKED)
    refute_predicate status, :success?
    assert_includes complaints, "RBS::Test::Tester::TypeError"
  end
end
