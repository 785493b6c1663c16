# frozen_string_literal: true

require_relative "helper"

# The gem finds the library, in a copy of the gem's files with stubs of libraries.
class LoaderTest < Test
  REAL = ENV.fetch("CONSUL_LOCK_LIBRARY")

  def setup
    @folder = Dir.mktmpdir
    FileUtils.cp_r(File.join(ROOT, "lib"), @folder)
    @system = File.join(@folder, "system")
    @bundled = File.join(@folder, "lib/consul_lock/native/gnu")
    FileUtils.mkdir_p([@system, @bundled])
  end

  def teardown
    FileUtils.remove_entry(@folder)
  end

  # A library with another ABI version, and no other function.
  def stub_library(path, interface)
    source = "unsigned consul_lock_abi_version(void) { return #{interface}; }"
    out, status = Open3.capture2e("cc", "-shared", "-x", "c", "-o", path, "-", stdin_data: source)
    assert_predicate status, :success?, out
  end

  # Loads the gem in a program, which prints the version or the message.
  def load_gem(library: nil, before: "")
    program = <<~RUBY
      #{before}
      begin
        require "consul_lock"
        puts ConsulLock.version
      rescue LoadError => e
        puts e.class, e.message
      end
    RUBY
    environment = { "CONSUL_LOCK_LIBRARY" => library, "LD_LIBRARY_PATH" => @system }
    out, status = Open3.capture2e(environment, RbConfig.ruby, "-I", File.join(@folder, "lib"), "-e", program)
    assert_predicate status, :success?, out
    out.lines(chomp: true)
  end

  def test_the_named_one_is_the_only_one
    FileUtils.cp(REAL, File.join(@bundled, "libconsul_lock.so"))
    assert_equal [ConsulLock::VERSION], load_gem(library: REAL)
    name, first, *tried = load_gem(library: "/nowhere/lib.so")
    assert_equal "ConsulLock::LibraryError", name
    assert_includes first, "CONSUL_LOCK_LIBRARY"
    assert_equal 1, tried.size
    assert_includes tried.first, "/nowhere/lib.so: "
  end

  def test_an_empty_name_is_none
    FileUtils.cp(REAL, File.join(@bundled, "libconsul_lock.so"))
    assert_equal [ConsulLock::VERSION], load_gem(library: "")
  end

  def test_the_order_and_the_list_of_what_was_tried
    stub_library(File.join(@system, "libconsul_lock.so.0.1"), 998)
    stub_library(File.join(@system, "libconsul_lock.so"), 999)
    name, _, *tried = load_gem
    assert_equal "ConsulLock::LibraryError", name
    assert_equal ["#{@bundled}/libconsul_lock.so", "libconsul_lock.so.0.1", "libconsul_lock.so"],
                 tried.map { |line| line[/\A  (\S+): /, 1] }
    assert_equal [998, 999], tried.drop(1).map { |line| line[/has ABI version (\d+), and this gem needs 2/, 1].to_i }
  end

  def test_a_broken_library_in_the_gem_is_no_reason_to_take_the_systems
    stub_library(File.join(@bundled, "libconsul_lock.so"), 997)
    FileUtils.cp(REAL, File.join(@system, "libconsul_lock.so.0.1"))
    _, _, *tried = load_gem
    assert_equal 1, tried.size
    assert_includes tried.first, "#{@bundled}/libconsul_lock.so: has ABI version 997"
  end

  # The gem takes the library that is there.
  def test_each_place
    %W[#{@bundled}/libconsul_lock.so #{@system}/libconsul_lock.so.0.1 #{@system}/libconsul_lock.so].each do |place|
      FileUtils.cp(REAL, place)
      assert_equal [ConsulLock::VERSION], load_gem, place
      FileUtils.rm(place)
    end
  end

  # A gem has a library for each C library, and Ruby knows which one it runs with.
  def test_musl_has_a_library_of_its_own
    of_musl = File.join(@folder, "lib/consul_lock/native/musl")
    FileUtils.mkdir(of_musl)
    stub_library(File.join(@bundled, "libconsul_lock.so"), 996)
    stub_library(File.join(of_musl, "libconsul_lock.so"), 997)
    assert_includes load_gem[2], "native/gnu/libconsul_lock.so: has ABI version 996"
    _, _, *tried = load_gem(before: 'RbConfig::CONFIG["host_os"] = "linux-musl"')
    assert_includes tried.first, "native/musl/libconsul_lock.so: has ABI version 997"
    refute(tried.any? { |line| line.include?("native/gnu") })
  end

  def test_what_is_not_this_library
    name, _, tried = load_gem(library: "libc.so.6")
    assert_equal "ConsulLock::LibraryError", name
    assert_includes tried, "is not libconsul_lock"
    File.write(junk = File.join(@folder, "junk.so"), "junk")
    assert_includes load_gem(library: junk).last, "junk.so: "
  end

  def test_an_older_one
    stub_library(older = File.join(@folder, "older.so"), 2)
    name, message = load_gem(library: older)
    assert_equal "ConsulLock::LibraryError", name
    assert_includes message, "older.so is older than this gem (#{ConsulLock::VERSION}): it has no function consul_lock_"
  end
end
