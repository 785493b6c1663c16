"use strict";

/*
 * The C functions that this package calls, as declared in consul_lock.h and consul_lock_async.h. A test compares them
 * with abi/api.json. An object of the library is a pointer, which is a BigInt that koffi does not check, so a pointer
 * never leaves this package.
 *
 * No function here calls back into JavaScript, and none blocks: a call that asks Consul has a name in _start, and its
 * outcome comes through the queue of lib/queue.cjs. So no thread of the library waits for this thread, and no call
 * occupies one of the four threads of Node's pool.
 */

const { ConsulLockError, LOST_REASONS } = require("./errors.cjs");
const { load, unusable } = require("./loader.cjs");

// The result type of each function, then the types of its parameters.
// prettier-ignore
const DECLARATIONS = {
  consul_lock_new: ["consul_lock *", "const char *", "const consul_lock_options *", "consul_lock_error **"],
  consul_lock_new_all: ["consul_lock *", "const char *const *", "size_t", "const consul_lock_options *", "consul_lock_error **"],
  consul_lock_set_value: ["consul_lock_status", "consul_lock *", "const void *", "size_t", "consul_lock_error **"],
  consul_lock_acquire_start: ["consul_lock_status", "consul_lock *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_release_start: ["consul_lock_status", "consul_lock *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_renew_start: ["consul_lock_status", "consul_lock *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_check_start: ["consul_lock_status", "const consul_lock *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_downgrade_start: ["consul_lock_status", "consul_lock *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_upgrade_start: ["consul_lock_status", "consul_lock *", "int64_t", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_put_if_held_start: ["consul_lock_status", "consul_lock *", "const char *", "const void *", "size_t", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_delete_if_held_start: ["consul_lock_status", "consul_lock *", "const char *", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_set_lost_callback: ["consul_lock_status", "consul_lock *", "consul_lock_lost_callback", "void *", "consul_lock_user_data_free", "consul_lock_error **"],
  consul_lock_abandon: ["void", "consul_lock *"],
  consul_lock_cancel: ["void", "consul_lock *"],
  consul_lock_is_held: ["bool", "const consul_lock *"],
  consul_lock_remaining_ms: ["int64_t", "const consul_lock *"],
  consul_lock_fencing_token: ["uint64_t", "const consul_lock *"],
  consul_lock_keys_count: ["size_t", "const consul_lock *"],
  consul_lock_key_at: ["size_t", "const consul_lock *", "size_t", "char *", "size_t"],
  consul_lock_slot: ["int32_t", "const consul_lock *"],
  consul_lock_session_id: ["size_t", "const consul_lock *", "char *", "size_t"],

  consul_lock_options_new: ["consul_lock_options *"],
  consul_lock_options_set: ["consul_lock_status", "consul_lock_options *", "const char *", "const char *", "consul_lock_error **"],
  consul_lock_options_set_bytes: ["consul_lock_status", "consul_lock_options *", "const char *", "const void *", "size_t", "consul_lock_error **"],
  consul_lock_options_set_client: ["consul_lock_status", "consul_lock_options *", "const consul_lock_client *", "consul_lock_error **"],
  consul_lock_options_free: ["void", "consul_lock_options *"],

  consul_lock_client_new: ["consul_lock_client *", "const consul_lock_options *", "consul_lock_error **"],
  consul_lock_client_free: ["void", "consul_lock_client *"],
  consul_lock_client_stats: ["size_t", "const consul_lock_client *", "char *", "size_t"],
  consul_lock_defaults_set: ["consul_lock_status", "const char *", "const char *", "consul_lock_error **"],
  consul_lock_set_default_client: ["void", "const consul_lock_client *"],

  consul_lock_error_message: ["const char *", "const consul_lock_error *"],
  consul_lock_error_code: ["consul_lock_status", "const consul_lock_error *"],
  consul_lock_error_why_lost: ["int32_t", "const consul_lock_error *"],
  consul_lock_error_http_status: ["int32_t", "const consul_lock_error *"],
  consul_lock_error_is_retryable: ["bool", "const consul_lock_error *"],
  consul_lock_error_free: ["void", "consul_lock_error *"],

  consul_lock_holder_start: ["consul_lock_status", "const consul_lock_client *", "const char *", "consul_lock_holder_done", "void *", "consul_lock_error **"],
  consul_lock_holder_session: ["size_t", "const consul_lock_holder_info *", "char *", "size_t"],
  consul_lock_holder_name: ["size_t", "const consul_lock_holder_info *", "char *", "size_t"],
  consul_lock_holder_node: ["size_t", "const consul_lock_holder_info *", "char *", "size_t"],
  consul_lock_holder_value: ["size_t", "const consul_lock_holder_info *", "void *", "size_t"],
  consul_lock_holder_fencing_token: ["uint64_t", "const consul_lock_holder_info *"],
  consul_lock_holder_since_ms: ["int64_t", "const consul_lock_holder_info *"],
  consul_lock_holder_ttl_ms: ["int64_t", "const consul_lock_holder_info *"],
  consul_lock_holder_free: ["void", "consul_lock_holder_info *"],

  consul_lock_holders_start: ["consul_lock_status", "const consul_lock_client *", "const char *", "consul_lock_holders_done", "void *", "consul_lock_error **"],
  consul_lock_holders_json: ["size_t", "const consul_lock_holders_info *", "char *", "size_t"],
  consul_lock_holders_free: ["void", "consul_lock_holders_info *"],

  consul_lock_observe: ["consul_lock_observer *", "const consul_lock_client *", "const char *", "consul_lock_observe_callback", "void *", "consul_lock_user_data_free", "consul_lock_error **"],
  consul_lock_observer_free: ["void", "consul_lock_observer *"],

  consul_lock_set_log_callback: ["consul_lock_status", "consul_lock_log_callback", "void *", "consul_lock_user_data_free", "int32_t"],
  consul_lock_shutdown_start: ["consul_lock_status", "int64_t", "consul_lock_done", "void *", "consul_lock_error **"],
  consul_lock_version: ["const char *"],
  consul_lock_abi_version: ["uint32_t"],

  consul_lock_queue_new: ["consul_lock_queue *", "int32_t *", "consul_lock_error **"],
  consul_lock_queue_next: ["consul_lock_event *", "consul_lock_queue *"],
  consul_lock_queue_free: ["void", "consul_lock_queue *"],
  consul_lock_sender_new: ["consul_lock_sender *", "const consul_lock_queue *", "uint64_t"],
  consul_lock_sender_free: ["void", "void *"],
  consul_lock_bind_to_queue: ["consul_lock_status", "consul_lock *", "const consul_lock_queue *", "consul_lock_error **"],
  consul_lock_event_tag: ["uint64_t", "const consul_lock_event *"],
  consul_lock_event_code: ["int32_t", "const consul_lock_event *"],
  consul_lock_event_take_error: ["consul_lock_error *", "consul_lock_event *"],
  consul_lock_event_take_holder: ["consul_lock_holder_info *", "consul_lock_event *"],
  consul_lock_event_take_holders: ["consul_lock_holders_info *", "consul_lock_event *"],
  consul_lock_event_line: ["size_t", "const consul_lock_event *", "char *", "size_t"],
  consul_lock_event_free: ["void", "consul_lock_event *"],
};

/** The types of callbacks. */
const CALLBACKS = new Set([
  "consul_lock_done",
  "consul_lock_holder_done",
  "consul_lock_holders_done",
  "consul_lock_log_callback",
  "consul_lock_lost_callback",
  "consul_lock_observe_callback",
  "consul_lock_user_data_free",
]);

/** The functions of the library that serve as callbacks, by their address. */
const ADDRESSES = [
  "consul_lock_queue_done",
  "consul_lock_queue_holder_done",
  "consul_lock_queue_holders_done",
  "consul_lock_queue_lost",
  "consul_lock_queue_log",
  "consul_lock_queue_observed",
  "consul_lock_sender_free",
];

/** Koffi's name for a type of C. */
function koffiType(type) {
  if (type === "const char *") {
    return "str";
  }
  if (type === "const char *const *") {
    return "str *";
  }
  if (type.endsWith("*") || CALLBACKS.has(type)) {
    return "void *";
  }
  return type === "consul_lock_status" ? "int32_t" : type;
}

const library = load();
const c = Object.create(null);
const address = Object.create(null);
try {
  for (const [name, types] of Object.entries(DECLARATIONS)) {
    const [returns, ...params] = types.map(koffiType);
    c[name] = library.func(name, returns, params);
  }
  for (const name of ADDRESSES) {
    address[name] = library.symbol(name);
  }
} catch (cause) {
  // The library has this ABI version, but comes from before a new function.
  throw unusable(`libconsul_lock is older than this package: ${cause.message}`, { cause });
}

/** Receives the error of a call. All calls share it, because each call takes its error before other code runs. */
const slot = new BigUint64Array(1);

/** Copies an error of the library, and frees it. */
function takeError(pointer) {
  const error = new ConsulLockError(
    c.consul_lock_error_code(pointer),
    c.consul_lock_error_message(pointer),
    {
      httpStatus: c.consul_lock_error_http_status(pointer),
      retryable: c.consul_lock_error_is_retryable(pointer),
      lostReason: LOST_REASONS.get(c.consul_lock_error_why_lost(pointer))?.[0],
    },
  );
  c.consul_lock_error_free(pointer);
  return error;
}

/** Throws the error in the slot, unless the last call worked. */
function must(worked) {
  if (!worked) {
    const error = takeError(slot[0]);
    Error.captureStackTrace(error, must);
    throw error;
  }
}

const scratch = Buffer.allocUnsafeSlow(4096);

/** The text, or the bytes of a value, that a function of the library copies into a buffer. */
function bytes(copy, object) {
  let room = scratch;
  for (;;) {
    const length = Number(copy(object, room, room.length));
    if (length < room.length) {
      return room.subarray(0, length);
    }
    room = Buffer.allocUnsafe(length + 1);
  }
}

const text = (copy, object) => bytes(copy, object).toString();

module.exports = {
  ADDRESSES,
  DECLARATIONS,
  address,
  bytes,
  c,
  must,
  koffiType,
  slot,
  takeError,
  text,
};
