"use strict";

/** The statuses of the library, by number. A test compares them with abi/api.json. */
const STATUSES = new Map([
  [1, "INVALID_ARGUMENT"],
  [2, "INVALID_OPTION"],
  [3, "INVALID_ENVIRONMENT"],
  [4, "ALREADY_USED"],
  [5, "VALUE_FAILED"],
  [20, "NOT_ACQUIRED"],
  [21, "CANCELLED"],
  [22, "LOST"],
  [23, "NOT_HELD"],
  [24, "UNCONFIRMED"],
  [25, "CONFLICT"],
  [40, "UNAVAILABLE"],
  [60, "DENIED"],
  [61, "REJECTED"],
  [90, "INTERNAL"],
  [91, "FORKED"],
  [92, "NO_RESOURCES"],
]);

/** The numbers by name: `Status.NOT_ACQUIRED` is 20. */
const Status = Object.fromEntries([
  ["OK", 0],
  ...[...STATUSES].map(([number, name]) => [name, number]),
]);

/** The reasons of a loss, by number, with the words of the library's messages. */
const LOST_REASONS = new Map([
  [1, ["EXPIRED", "its time ran out before it was released or renewed"]],
  [
    2,
    [
      "SESSION_GONE",
      "Consul ended its session (it expired, an operator ended it, or its node left or was removed)",
    ],
  ],
  [3, ["KEY_GONE", "its key is gone (deleted, or removed with its session)"]],
  [4, ["TAKEN_OVER", "another session holds its key"]],
]);

class ConsulLockError extends Error {
  /** @param {Record<string, any>} details */
  constructor(status, message, details = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.code = `ERR_CONSUL_LOCK_${STATUSES.get(status) ?? "UNKNOWN"}`;
    this.status = status;
    this.retryable = details.retryable ?? false;
    if (details.httpStatus) {
      this.httpStatus = details.httpStatus;
    }
    if (details.lostReason) {
      this.lostReason = details.lostReason;
    }
  }
}
Object.defineProperty(ConsulLockError.prototype, "name", {
  value: "ConsulLockError",
  configurable: true,
  writable: true,
});

/** The error for the loss of the lock on a key. */
function lossError(key, reason) {
  const [lostReason, why] = LOST_REASONS.get(reason) ?? ["UNKNOWN", `reason ${reason}`];
  return new ConsulLockError(Status.LOST, `lost the lock "${key}": ${why}`, { lostReason });
}

/** Throws an error of the event loop with the stack of the caller that awaits it. */
function raise(error) {
  Error.captureStackTrace(error, raise);
  throw error;
}

module.exports = { ConsulLockError, LOST_REASONS, STATUSES, Status, lossError, raise };
