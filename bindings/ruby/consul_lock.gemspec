# frozen_string_literal: true

require_relative "lib/consul_lock/version"

Gem::Specification.new do |spec|
  spec.name = "consul_lock"
  spec.version = ConsulLock::VERSION
  spec.authors = ["the libconsul_lock authors"]
  spec.summary = "Distributed ephemeral locks on Consul"
  spec.description = <<~TEXT
    For work that one process at a time may do in the whole datacenter. A lock has a bounded life, so a holder that
    crashes does not block the others for ever. Waiters are served first come, first served. An error names the holder,
    a callback reports a loss, and each holder gets a larger fencing token than the one before. The gem calls
    libconsul_lock through the ffi gem.
  TEXT
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.add_runtime_dependency "ffi", "~> 1.15"

  # For a gem that is built for one platform, packaging/ruby/build puts the libraries and the notices of what they link
  # beside these files. The gem of the sources alone has none of them.
  spec.platform = ENV.fetch("CONSUL_LOCK_PLATFORM", Gem::Platform::RUBY)
  spec.files = Dir.chdir(__dir__) do
    Dir["lib/**/*.rb", "lib/consul_lock/native/*/libconsul_lock.*", "sig/*.rbs", "LICENSE-*", "README.md", ".yardopts",
        "THIRD-PARTY-NOTICES", "RUST-STANDARD-LIBRARY.html"]
  end
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
