# frozen_string_literal: true

module ConsulLock
  # The version of this gem. The version of the loaded library is {ConsulLock.version}.
  VERSION = "0.1.0"
end
