# frozen_string_literal: true

require "ffi"

module ConsulLock
  # libconsul_lock could not be loaded. The message lists what was tried, and why each did not do.
  class LibraryError < LoadError; end

  # Finds libconsul_lock.
  #
  # CONSUL_LOCK_LIBRARY, if it is set, is the one and only: somebody who names a library does not want another.
  # Else it is the library in this gem, the one of this version that the system finds, or whatever it finds by the
  # plain name; the first that speaks this gem's interface.
  #
  # @api private
  # @private
  module Loader
    # The binary interface that {Native} was written for: CONSUL_LOCK_ABI_VERSION of the header.
    ABI_VERSION = 2
    BUNDLED = File.join(__dir__, "native")
    VERSIONED = FFI::Platform.mac? ? "libconsul_lock.0.1.dylib" : "libconsul_lock.so.0.1"
    REMEDY = "Install it (in its sources: make && sudo make install), or set CONSUL_LOCK_LIBRARY to the path of " \
             "libconsul_lock.so."
    PLAIN = FFI.map_library_name("consul_lock")

    class << self
      # @return [FFI::DynamicLibrary]
      def load
        tried = candidates.map do |name|
          library, problem = attempt(name)
          return library if library

          "  #{name}: #{problem}"
        end
        # Without a cause: RubyGems has just failed to find the gem's file in another way, which explains nothing.
        raise LibraryError, "cannot load libconsul_lock. #{REMEDY} Tried#{hint}:\n#{tried.join("\n")}", cause: nil
      end

      private

      def candidates
        named ? [named] : [File.join(BUNDLED, PLAIN), VERSIONED, PLAIN]
      end

      def named
        name = ENV.fetch("CONSUL_LOCK_LIBRARY", "")
        name unless name.empty?
      end

      def hint
        named ? " what CONSUL_LOCK_LIBRARY names" : ""
      end

      # The library, or nil and why not.
      def attempt(name)
        library = FFI::DynamicLibrary.open(name, FFI::DynamicLibrary::RTLD_LAZY | FFI::DynamicLibrary::RTLD_LOCAL)
        version = library.find_function("consul_lock_abi_version")
        return nil, "is not libconsul_lock: it has no consul_lock_abi_version" unless version

        spoken = FFI::Function.new(:uint32, [], version).call
        return library if spoken == ABI_VERSION

        [nil, "speaks interface #{spoken}, this gem #{ABI_VERSION}"]
      rescue LoadError => e
        [nil, e.message.lines.first.chomp]
      end
    end
  end
end
