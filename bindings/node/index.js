// The entry for `import`. It exports the same objects as `require` gives, so that a program with both has one
// ConsulLockError, one value generator and one queue of events.
import implementation from "./index.cjs";

export const {
  Client,
  ConsulLock,
  ConsulLockError,
  hold,
  holder,
  holders,
  observe,
  setDefault,
  setDefaultClient,
  setLogger,
  setValueGenerator,
  shutdown,
  stats,
  version,
} = implementation;
