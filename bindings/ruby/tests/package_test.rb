# frozen_string_literal: true

require_relative "helper"
require "rubygems/package"

# The gem is built from its gemspec, installed into an empty folder without a network, and used there.
class PackageTest < Test
  FILES = %w[
    .yardopts LICENSE-APACHE LICENSE-MIT README.md
    lib/consul_lock.rb lib/consul_lock/calls.rb lib/consul_lock/client.rb lib/consul_lock/defaults.rb
    lib/consul_lock/dispatcher.rb lib/consul_lock/errors.rb lib/consul_lock/handle.rb lib/consul_lock/holder.rb
    lib/consul_lock/holders.rb lib/consul_lock/loader.rb lib/consul_lock/lock.rb lib/consul_lock/mailbox.rb
    lib/consul_lock/native.rb lib/consul_lock/observer.rb lib/consul_lock/options.rb lib/consul_lock/releaser.rb
    lib/consul_lock/runtime.rb lib/consul_lock/testing.rb lib/consul_lock/testing/consul.rb lib/consul_lock/trap.rb
    lib/consul_lock/version.rb
    sig/consul_lock.rbs sig/testing.rbs
  ].freeze

  README = File.read(File.join(ROOT, "README.md"))

  def setup
    @folder = Dir.mktmpdir
  end

  def teardown
    FileUtils.remove_entry(@folder)
  end

  # The gem gets a folder of its own, and ffi comes from the system's.
  INSTALL = %w[install --local --ignore-dependencies --no-document --install-dir gems].freeze

  def run!(*command, folder: @folder, **environment)
    environment = { "RUBYOPT" => nil, "RUBYLIB" => nil }.merge(environment.transform_keys(&:to_s))
    out, status = Open3.capture2e(environment, *command, chdir: folder)
    assert_predicate status, :success?, "#{command.join(" ")}: #{out}"
    out
  end

  def gem(*arguments, **options)
    run!(RbConfig.ruby, "-S", "gem", *arguments, **options)
  end

  # Runs a program with the installed gem.
  def program(*arguments, **environment)
    run!(RbConfig.ruby, *arguments, GEM_PATH: [File.join(@folder, "gems"), *Gem.path].join(":"), **environment)
  end

  # The gem and the program are alone in a folder, so that they cannot use the source tree.
  def install
    built = File.join(@folder, "consul_lock-#{ConsulLock::VERSION}.gem")
    said = gem("build", "--output", built, "consul_lock.gemspec", folder: ROOT)
    assert_equal ["WARNING:  no homepage specified\n"], said.lines.grep(/WARN/).grep_v(/for help/)
    gem(*INSTALL, built)
    built
  end

  def test_the_gem
    spec = Gem::Package.new(install).spec
    assert_equal FILES, spec.files.sort
    assert_equal [["ffi", "~> 1.15"]], spec.dependencies.map { |it| [it.name, it.requirement.to_s] }
    assert_equal %w[MIT Apache-2.0], spec.licenses
    File.write(File.join(@folder, "first.rb"), README[/^```ruby\n(.*?)^```/m, 1])
    assert_equal "making the report\n", program("first.rb")
    ConsulLock.hold("nightly-report") do
      assert_match(/\Ano report: .*held by .*"consul_lock run\.rb@/, program("first.rb"))
    end
    where = program("-e", 'require "consul_lock"; puts $LOADED_FEATURES.grep(/consul_lock\.rb/)')
    assert_equal ["gems/gems/consul_lock-#{ConsulLock::VERSION}/lib/consul_lock.rb"],
                 where.lines(chomp: true).map { |path| path.delete_prefix("#{File.realpath(@folder)}/") }
  end

  def test_the_library_in_the_gem
    FileUtils.cp_r(Dir[File.join(ROOT, "{consul_lock.gemspec,lib,sig,README.md,LICENSE-*}")], @folder)
    native = File.join(@folder, "lib/consul_lock/native/gnu")
    FileUtils.mkdir_p(native)
    FileUtils.cp(ENV.fetch("CONSUL_LOCK_LIBRARY"), File.join(native, "libconsul_lock.so"))
    gem("build", "--output", "own.gem", "consul_lock.gemspec")
    gem(*INSTALL, "own.gem")
    out = program("-e", 'require "consul_lock"; puts ConsulLock::Native::LIBRARY.name', CONSUL_LOCK_LIBRARY: nil)
    assert_match(%r{gems/consul_lock-.*/lib/consul_lock/native/gnu/libconsul_lock\.so$}, out)
  end

  def test_examples_are_the_readmes
    names = README.scan(%r{^<!-- examples/(\w+)\.rb}).flatten
    assert_equal %w[first sharing leader], names
    names.each do |name|
      example = File.read(File.join(ROOT, "examples/#{name}.rb")).delete_prefix("# frozen_string_literal: true\n\n")
      assert_includes README, "```ruby\n#{example}```"
    end
  end

  def test_the_licences_are_those_of_the_library
    %w[LICENSE-MIT LICENSE-APACHE].each do |name|
      assert_equal File.read(File.join(REPOSITORY, name)), File.read(File.join(ROOT, name))
    end
  end

  def test_the_readme_names_each_option_error_and_method
    options = JSON.parse(File.read(File.join(REPOSITORY, "abi/api.json")))["options"].map { |option| option["name"] }
    errors = ConsulLock.constants.grep(/Error\z/) - [:Error]
    methods = ConsulLock::Lock.public_instance_methods(false) - %i[finish inspect]
    missing = (options + errors + methods).reject { |name| README.match?(/`[^`\n]*\b#{name.to_s.chomp("?")}\b/) }
    assert_empty missing
  end

  def example(name)
    [RbConfig.ruby, "-I", File.join(ROOT, "lib"), File.join(ROOT, "examples/#{name}.rb")]
  end

  def test_the_sharing_example
    licence, *others = run!(*example("sharing")).lines(chomp: true)
    assert_match(/\Alicence [012] of 0 to 2\z/, licence)
    assert_equal ["writing the prices", "reading the prices", "reading the prices", "moving the money"], others
  end

  # Each process knows the leader, and the next one leads when the first resigns.
  def test_the_leader_example
    IO.popen(example("leader")) do |one|
      lines = ->(io) { Timeout.timeout(30) { io.gets } }
      line = lines.call(one) until line == "the leader is process #{one.pid}\n"
      IO.popen(example("leader")) do |two|
        assert_equal "the leader is process #{one.pid}\n", lines.call(two)
        Process.kill(:INT, one.pid)
        line = lines.call(two) until line == "the leader is process #{two.pid}\n"
        assert_includes one.read, "resigned"
        Process.kill(:INT, two.pid)
        assert_includes two.read, "resigned"
      end
    end
    assert_nil Consul.session_on("locks/ephemeral/leader")
  end

  def test_the_worker_example
    out = IO.popen(example("worker")) do |io|
      first = io.gets
      Process.kill(:INT, io.pid)
      [first, io.read]
    end
    assert_match(/\Astep 1, token \d+, 15 s left/, out.first)
    assert_includes out.last, "released"
    assert_nil Consul.session_on("locks/ephemeral/worker")
  end
end
