# frozen_string_literal: true

require "ffi"

module ConsulLock
  # The gem could not load libconsul_lock. The message lists each file that the gem tried, with its problem.
  class LibraryError < LoadError; end

  # Finds libconsul_lock.
  #
  # If CONSUL_LOCK_LIBRARY is set, the gem tries nothing else: a program that names a library must not run with another.
  # A gem with a library for the C library of this Ruby is for that library alone, too: where it does not load, the
  # system's library would hide that on some machines. Else the gem tries the system's library of this version, then the
  # system's library of any version.
  #
  # @api private
  # @private
  module Loader
    # The binary interface that {Native} was written for: CONSUL_LOCK_ABI_VERSION of the header.
    ABI_VERSION = 2
    # A gem for one processor has a library for each C library: RubyGems before 3.3.22 also takes a gem that is for musl
    # on a machine with glibc.
    LIBC = RbConfig::CONFIG["host_os"].include?("musl") ? "musl" : "gnu"
    BUNDLED = File.join(__dir__, "native", LIBC)
    VERSIONED = FFI::Platform.mac? ? "libconsul_lock.0.1.dylib" : "libconsul_lock.so.0.1"
    REMEDY = "The gems for x86_64-linux and aarch64-linux bring it along. Elsewhere install it (in its sources: make " \
             "&& sudo make install), or set CONSUL_LOCK_LIBRARY to the path of libconsul_lock.so."
    PLAIN = FFI.map_library_name("consul_lock")

    class << self
      # @return [FFI::DynamicLibrary]
      def load
        tried = candidates.map do |name|
          library, problem = attempt(name)
          return library if library

          "  #{name}: #{problem}"
        end
        # No cause: the error of RubyGems' own search before explains nothing.
        raise LibraryError, "cannot load libconsul_lock. #{REMEDY} Tried#{hint}:\n#{tried.join("\n")}", cause: nil
      end

      private

      def candidates
        return [named] if named

        own = File.join(BUNDLED, PLAIN)
        File.exist?(own) ? [own] : [own, VERSIONED, PLAIN]
      end

      def named
        name = ENV.fetch("CONSUL_LOCK_LIBRARY", "")
        name unless name.empty?
      end

      def hint
        named ? " what CONSUL_LOCK_LIBRARY names" : ""
      end

      # @return [Array(FFI::DynamicLibrary, nil), Array(nil, String)] the library, or its problem
      def attempt(name)
        library = FFI::DynamicLibrary.open(name, FFI::DynamicLibrary::RTLD_LAZY | FFI::DynamicLibrary::RTLD_LOCAL)
        version = library.find_function("consul_lock_abi_version")
        return nil, "is not libconsul_lock: it has no consul_lock_abi_version" unless version

        spoken = FFI::Function.new(:uint32, [], version).call
        return library if spoken == ABI_VERSION

        [nil, "has ABI version #{spoken}, and this gem needs #{ABI_VERSION}"]
      rescue LoadError => e
        [nil, e.message.lines.first.chomp]
      end
    end
  end
end
