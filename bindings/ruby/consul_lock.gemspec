# frozen_string_literal: true

require_relative "lib/consul_lock/version"

Gem::Specification.new do |spec|
  spec.name = "consul_lock"
  spec.version = ConsulLock::VERSION
  spec.authors = ["the libconsul_lock authors"]
  spec.summary = "Distributed ephemeral locks on Consul"
  spec.description = <<~TEXT
    For work that only one process in the whole datacenter may do at a time. A lock has a bounded life, so a holder
    that crashes never blocks the others for ever; who waits is served in order; you are told who has it, when you have
    lost it, and a fencing token that proves who came later. Runs libconsul_lock through the ffi gem.
  TEXT
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.add_runtime_dependency "ffi", "~> 1.15"

  # lib/consul_lock/native is where a copy of libconsul_lock goes that the gem is to bring along.
  spec.files = Dir.chdir(__dir__) do
    Dir["lib/**/*.rb", "lib/consul_lock/native/*", "sig/*.rbs", "LICENSE-*", "README.md", ".yardopts"]
  end
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
