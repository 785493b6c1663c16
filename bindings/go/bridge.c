#include "bridge.h"
#include "_cgo_export.h"

static void done(consul_lock_status status, consul_lock_error *error, void *handle)
{
    (void)status; /* the error contains it */
    consullockgo_done(error, (uintptr_t)handle);
}

static void holder_done(consul_lock_status status, consul_lock_holder_info *holder,
                        consul_lock_error *error, void *handle)
{
    (void)status;
    consullockgo_holder_done(holder, error, (uintptr_t)handle);
}

static void holders_done(consul_lock_status status, consul_lock_holders_info *holders,
                         consul_lock_error *error, void *handle)
{
    (void)status;
    consullockgo_holders_done(holders, error, (uintptr_t)handle);
}

static void observed(consul_lock_status status, consul_lock_holder_info *holder,
                     consul_lock_error *error, void *handle)
{
    (void)status;
    consullockgo_observed(holder, error, (uintptr_t)handle);
}

static void lost(consul_lock_lost_reason reason, void *handle)
{
    consullockgo_lost((int32_t)reason, (uintptr_t)handle);
}

static void free_handle(void *handle)
{
    consullockgo_free_handle((uintptr_t)handle);
}

static void log_line(consul_lock_log_level level, const char *line, void *unused)
{
    (void)unused;
    consullockgo_log((int32_t)level, (char *)line);
}

consul_lock_status consullockgo_acquire_start(consul_lock *lock, consullockgo_handle handle,
                                              consul_lock_error **error)
{
    return consul_lock_acquire_start(lock, done, (void *)handle, error);
}

consul_lock_status consullockgo_release_start(consul_lock *lock, consullockgo_handle handle,
                                              consul_lock_error **error)
{
    return consul_lock_release_start(lock, done, (void *)handle, error);
}

consul_lock_status consullockgo_renew_start(consul_lock *lock, consullockgo_handle handle,
                                            consul_lock_error **error)
{
    return consul_lock_renew_start(lock, done, (void *)handle, error);
}

consul_lock_status consullockgo_check_start(consul_lock *lock, consullockgo_handle handle,
                                            consul_lock_error **error)
{
    return consul_lock_check_start(lock, done, (void *)handle, error);
}

consul_lock_status consullockgo_put_if_held_start(consul_lock *lock, const char *key,
                                                  const void *value, size_t len,
                                                  consullockgo_handle handle,
                                                  consul_lock_error **error)
{
    return consul_lock_put_if_held_start(lock, key, value, len, done, (void *)handle, error);
}

consul_lock_status consullockgo_delete_if_held_start(consul_lock *lock, const char *key,
                                                     consullockgo_handle handle,
                                                     consul_lock_error **error)
{
    return consul_lock_delete_if_held_start(lock, key, done, (void *)handle, error);
}

consul_lock_status consullockgo_downgrade_start(consul_lock *lock, consullockgo_handle handle,
                                                consul_lock_error **error)
{
    return consul_lock_downgrade_start(lock, done, (void *)handle, error);
}

consul_lock_status consullockgo_upgrade_start(consul_lock *lock, int64_t timeout_ms,
                                              consullockgo_handle handle, consul_lock_error **error)
{
    return consul_lock_upgrade_start(lock, timeout_ms, done, (void *)handle, error);
}

consul_lock_status consullockgo_holder_start(const consul_lock_client *client, const char *key,
                                             consullockgo_handle handle, consul_lock_error **error)
{
    return consul_lock_holder_start(client, key, holder_done, (void *)handle, error);
}

consul_lock_status consullockgo_holders_start(const consul_lock_client *client, const char *key,
                                              consullockgo_handle handle, consul_lock_error **error)
{
    return consul_lock_holders_start(client, key, holders_done, (void *)handle, error);
}

consul_lock_observer *consullockgo_observe(const consul_lock_client *client, const char *key,
                                           consullockgo_handle handle, consul_lock_error **error)
{
    return consul_lock_observe(client, key, observed, (void *)handle, free_handle, error);
}

consul_lock_status consullockgo_shutdown_start(int64_t timeout_ms, consullockgo_handle handle,
                                               consul_lock_error **error)
{
    return consul_lock_shutdown_start(timeout_ms, done, (void *)handle, error);
}

consul_lock_status consullockgo_watch_loss(consul_lock *lock, consullockgo_handle handle,
                                           consul_lock_error **error)
{
    return consul_lock_set_lost_callback(lock, lost, (void *)handle, free_handle, error);
}

void consullockgo_set_log(int32_t level)
{
    if (level == 0) {
        consul_lock_set_log_callback(NULL, NULL, NULL, CONSUL_LOCK_LOG_LEVEL_ERROR);
    } else {
        consul_lock_set_log_callback(log_line, NULL, NULL, level);
    }
}
