# frozen_string_literal: true

module ConsulLock
  # The version of this gem; that of the library which it runs is {ConsulLock.version}.
  VERSION = "0.1.0"
end
