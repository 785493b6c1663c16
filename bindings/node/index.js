// The door for `import`. It leads to the same objects as `require`: a program that uses both has one
// ConsulLockError, one value generator, one queue of events.
import implementation from "./index.cjs";

export const {
  Client,
  ConsulLock,
  ConsulLockError,
  hold,
  holder,
  setDefault,
  setDefaultClient,
  setLogger,
  setValueGenerator,
  shutdown,
  stats,
  version,
} = implementation;
