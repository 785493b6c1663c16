# frozen_string_literal: true

# Loads the package and the extension in the order of the arguments, and takes locks by both.

require "ffi"

NOT_ACQUIRED = 20
KEY = "loaders/ruby/#{Process.pid}".freeze

def sure(truth)
  raise "not so: #{caller(1..1)}" unless truth
end

extension = nil
ARGV.each do |word|
  next require("consul_lock") if word == "package"

  extension = Module.new do
    extend FFI::Library
    ffi_lib word
    attach_function :extension_take, [:string], :int
    attach_function :extension_give, [], :int
  end
end
if extension && defined?(ConsulLock)
  ConsulLock.hold(KEY) { sure extension.extension_take(KEY) == NOT_ACQUIRED }
  sure extension.extension_take(KEY).zero?
  sure !ConsulLock::Lock.new(KEY).try_acquire
  sure extension.extension_give.zero?
  # What one gives back, the other does not lose.
  ConsulLock.hold(KEY) do |lock|
    sure extension.extension_take("#{KEY}/other").zero?
    sure extension.extension_give.zero?
    lock.check
  end
end
puts File.readlines("/proc/self/maps").grep(/libconsul_lock/).map { |line| line.split.last }.uniq.sort
