//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import "sync/atomic"

// SetDefault sets a default of the process: "acquire_timeout_ms", "lock_timeout_seconds" or
// "lock_key_pattern" (where lock keys live in Consul's KV store: "locks/ephemeral/%s" unless set). Locks read
// it when they are made: a later change never touches a lock that exists.
func SetDefault(name, value string) error {
	if incompatible != nil {
		return incompatible
	}
	const op = "set default"
	cName, cValue, refused := setting{name: name, value: value}.toC()
	if refused != nil {
		return refused.of(op, "")
	}
	var raw *C.consul_lock_error
	C.consul_lock_defaults_set(cName, cValue, &raw)
	return taken(raw).of(op, "")
}

// SetDefaultClient sets the client of later locks that have no [WithClient]. The caller may close the client at once.
// nil restores the client from the environment, which the library reads once, for the first lock that needs it.
func SetDefaultClient(client *Client) error {
	if incompatible != nil {
		return incompatible
	}
	if client == nil {
		C.consul_lock_set_default_client(nil)
		return nil
	}
	ptr, ok := client.handle.enter()
	if !ok {
		return closedClient("set default client", "")
	}
	defer client.leave()
	C.consul_lock_set_default_client(ptr)
	return nil
}

var generator atomic.Pointer[func() ([]byte, error)]

// SetValueGenerator sets the function that makes the value of later locks that have no [WithValue]. nil restores the
// value without a generator: a JSON object with "locked_at". An acquire calls the function on its own goroutine, so
// several acquires may call it at once. If the function fails, the acquire sends nothing and returns
// [ErrValueFailed] with the function's error in its chain, and the lock is not used up.
func SetValueGenerator(generate func() ([]byte, error)) {
	if generate == nil {
		generator.Store(nil)
		return
	}
	generator.Store(&generate)
}
