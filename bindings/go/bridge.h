/* Wrappers of the functions that take callbacks: cgo cannot pass a Go function to C. */
#ifndef CONSULLOCK_GO_BRIDGE_H
#define CONSULLOCK_GO_BRIDGE_H

#include <consul_lock_async.h>

#if CONSUL_LOCK_ABI_VERSION != 2 || CONSUL_LOCK_VERSION_NUMBER < 1000
#error                                                                                             \
    "this Go package needs consul_lock.h of libconsul_lock 0.1.0 or later with ABI version 2: see pkg-config --cflags consul_lock"
#endif

/*
 * A cgo.Handle is a small number, and must not stand in a Go variable of a pointer type, where the
 * garbage collector would look at it. So Go passes it as a number, and it is a `void *` only in C.
 */
typedef uintptr_t consullockgo_handle;

consul_lock_status consullockgo_acquire_start(consul_lock *lock, consullockgo_handle handle,
                                              consul_lock_error **error);
consul_lock_status consullockgo_release_start(consul_lock *lock, consullockgo_handle handle,
                                              consul_lock_error **error);
consul_lock_status consullockgo_renew_start(consul_lock *lock, consullockgo_handle handle,
                                            consul_lock_error **error);
consul_lock_status consullockgo_check_start(consul_lock *lock, consullockgo_handle handle,
                                            consul_lock_error **error);
consul_lock_status consullockgo_put_if_held_start(consul_lock *lock, const char *key,
                                                  const void *value, size_t len,
                                                  consullockgo_handle handle,
                                                  consul_lock_error **error);
consul_lock_status consullockgo_delete_if_held_start(consul_lock *lock, const char *key,
                                                     consullockgo_handle handle,
                                                     consul_lock_error **error);
consul_lock_status consullockgo_downgrade_start(consul_lock *lock, consullockgo_handle handle,
                                                consul_lock_error **error);
consul_lock_status consullockgo_upgrade_start(consul_lock *lock, int64_t timeout_ms,
                                              consullockgo_handle handle,
                                              consul_lock_error **error);
consul_lock_status consullockgo_holder_start(const consul_lock_client *client, const char *key,
                                             consullockgo_handle handle, consul_lock_error **error);
consul_lock_status consullockgo_holders_start(const consul_lock_client *client, const char *key,
                                              consullockgo_handle handle,
                                              consul_lock_error **error);
consul_lock_observer *consullockgo_observe(const consul_lock_client *client, const char *key,
                                           consullockgo_handle handle, consul_lock_error **error);
consul_lock_status consullockgo_shutdown_start(int64_t timeout_ms, consullockgo_handle handle,
                                               consul_lock_error **error);
consul_lock_status consullockgo_watch_loss(consul_lock *lock, consullockgo_handle handle,
                                           consul_lock_error **error);

/* Sends lines of the log at this level and above to Go. 0 turns the log off. */
void consullockgo_set_log(int32_t level);

#endif
