"use strict";

/*
 * The C functions that this package calls, as they stand in consul_lock.h; a test compares them with
 * abi/api.json. Objects of the library are pointers here, BigInts that koffi does not check: they never
 * leave this package.
 *
 * Nothing here calls back into JavaScript, and nothing blocks: what asks Consul has a name in _start and
 * is told to the queue of lib/events.cjs. So no thread of the library ever waits for this one, and
 * none of the four threads of Node's pool is ever taken.
 */

const { ConsulLockError } = require("./errors.cjs");
const { load, unusable } = require("./loader.cjs");

const DECLARATIONS = `
  consul_lock *consul_lock_new(const char *key, const consul_lock_options *options, consul_lock_error **error);
  consul_lock_status consul_lock_set_value(consul_lock *lock, const void *value, size_t len, consul_lock_error **error);
  consul_lock_status consul_lock_acquire_start(consul_lock *lock, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_release_start(consul_lock *lock, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_renew_start(consul_lock *lock, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_check_start(const consul_lock *lock, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_put_if_held_start(consul_lock *lock, const char *key, const void *value, size_t len, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_delete_if_held_start(consul_lock *lock, const char *key, consul_lock_done done, void *user_data, consul_lock_error **error);
  consul_lock_status consul_lock_set_lost_callback(consul_lock *lock, consul_lock_lost_callback callback, void *user_data, consul_lock_user_data_free user_data_free, consul_lock_error **error);
  void consul_lock_free(consul_lock *lock);
  void consul_lock_abandon(consul_lock *lock);
  void consul_lock_cancel(consul_lock *lock);
  bool consul_lock_is_held(const consul_lock *lock);
  int64_t consul_lock_remaining_ms(const consul_lock *lock);
  uint64_t consul_lock_fencing_token(const consul_lock *lock);
  size_t consul_lock_key(const consul_lock *lock, char *buf, size_t cap);
  size_t consul_lock_session_id(const consul_lock *lock, char *buf, size_t cap);

  consul_lock_options *consul_lock_options_new(void);
  consul_lock_status consul_lock_options_set(consul_lock_options *options, const char *name, const char *value, consul_lock_error **error);
  consul_lock_status consul_lock_options_set_bytes(consul_lock_options *options, const char *name, const void *value, size_t len, consul_lock_error **error);
  consul_lock_status consul_lock_options_set_client(consul_lock_options *options, const consul_lock_client *client, consul_lock_error **error);
  void consul_lock_options_free(consul_lock_options *options);

  consul_lock_client *consul_lock_client_new(const consul_lock_options *options, consul_lock_error **error);
  void consul_lock_client_free(consul_lock_client *client);
  size_t consul_lock_client_stats(const consul_lock_client *client, char *buf, size_t cap);
  consul_lock_status consul_lock_defaults_set(const char *name, const char *value, consul_lock_error **error);
  consul_lock_status consul_lock_set_default_client(const consul_lock_client *client);

  const char *consul_lock_error_message(const consul_lock_error *error);
  consul_lock_status consul_lock_error_code(const consul_lock_error *error);
  int32_t consul_lock_error_http_status(const consul_lock_error *error);
  bool consul_lock_error_is_retryable(const consul_lock_error *error);
  void consul_lock_error_free(consul_lock_error *error);

  consul_lock_status consul_lock_holder_start(const consul_lock_client *client, const char *key, consul_lock_holder_done done, void *user_data, consul_lock_error **error);
  size_t consul_lock_holder_session(const consul_lock_holder_info *holder, char *buf, size_t cap);
  size_t consul_lock_holder_name(const consul_lock_holder_info *holder, char *buf, size_t cap);
  size_t consul_lock_holder_node(const consul_lock_holder_info *holder, char *buf, size_t cap);
  size_t consul_lock_holder_value(const consul_lock_holder_info *holder, void *buf, size_t cap);
  uint64_t consul_lock_holder_created_index(const consul_lock_holder_info *holder);
  void consul_lock_holder_free(consul_lock_holder_info *holder);

  consul_lock_status consul_lock_set_log_callback(consul_lock_log_callback callback, void *user_data, consul_lock_user_data_free user_data_free, int32_t level);
  consul_lock_status consul_lock_shutdown_start(int64_t timeout_ms, consul_lock_done done, void *user_data, consul_lock_error **error);
  const char *consul_lock_version(void);
  uint32_t consul_lock_abi_version(void);

  consul_lock_queue *consul_lock_queue_new(int32_t *fd, consul_lock_error **error);
  consul_lock_event *consul_lock_queue_next(consul_lock_queue *queue);
  void consul_lock_queue_free(consul_lock_queue *queue);
  consul_lock_ticket *consul_lock_queue_ticket(const consul_lock_queue *queue, uint64_t tag);
  void consul_lock_ticket_free(void *ticket);
  uint64_t consul_lock_event_tag(const consul_lock_event *event);
  int32_t consul_lock_event_code(const consul_lock_event *event);
  consul_lock_error *consul_lock_event_take_error(consul_lock_event *event);
  consul_lock_holder_info *consul_lock_event_take_holder(consul_lock_event *event);
  size_t consul_lock_event_line(const consul_lock_event *event, char *buf, size_t cap);
  void consul_lock_event_free(consul_lock_event *event);
`;

/** Functions of the library whose address is given to it as a callback. */
const ADDRESSES = [
  "consul_lock_queue_done",
  "consul_lock_queue_holder_done",
  "consul_lock_queue_lost",
  "consul_lock_queue_log",
  "consul_lock_ticket_free",
];

/** `type name(type name, …)` of each declaration, taken apart. */
function declarations() {
  const split = (text) => /^(.*?[ *])(\w+)$/.exec(text.trim()).slice(1).map((part) => part.trim());
  return DECLARATIONS.trim()
    .split(/;\s*/)
    .filter(Boolean)
    .map((declaration) => {
      const [, head, inside] = /^(.*)\((.*)\)$/.exec(declaration);
      const [returns, name] = split(head);
      const params = inside === "void" ? [] : inside.split(",").map((param) => split(param)[0]);
      return { name, returns, params };
    });
}

/** The name of a type of C for koffi. */
function koffiType(type) {
  if (type === "const char *") {
    return "str";
  }
  if (type.endsWith("*") || /^consul_lock_\w+(done|callback|free)$|^consul_lock_done$/.test(type)) {
    return "void *";
  }
  return type === "consul_lock_status" ? "int32_t" : type;
}

const library = load();
const c = Object.create(null);
const address = Object.create(null);
try {
  for (const { name, returns, params } of declarations()) {
    c[name] = library.func(name, koffiType(returns), params.map(koffiType));
  }
  for (const name of ADDRESSES) {
    address[name] = library.symbol(name);
  }
} catch (cause) {
  // The same ABI, but from before a function was added.
  const message = `libconsul_lock is older than this package: ${cause.message}`;
  throw unusable(message, cause);
}

/** Receives the error of a call. One for all: it is emptied before JavaScript can run again. */
const slot = new BigUint64Array(1);

/** The error behind a pointer, which is freed by that. */
function takeError(pointer) {
  const error = new ConsulLockError(
    c.consul_lock_error_code(pointer),
    c.consul_lock_error_message(pointer),
    {
      httpStatus: c.consul_lock_error_http_status(pointer),
      retryable: c.consul_lock_error_is_retryable(pointer),
    },
  );
  c.consul_lock_error_free(pointer);
  return error;
}

/** Throws what the last call left in the slot, if it failed. */
function check(failed) {
  if (failed) {
    throw takeError(slot[0]);
  }
}

const scratch = Buffer.allocUnsafeSlow(4096);

/** A text, or the bytes of a value, that a function copies out. */
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

module.exports = { ADDRESSES, address, bytes, c, check, declarations, slot, takeError, text };
