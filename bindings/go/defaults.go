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

// SetDefaultClient sets the client of the locks that are given none, from now on. It may be closed at once.
// nil: it is again the one from the environment, which is read once, by the first lock of the process that
// needs it.
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

// SetValueGenerator sets what makes the value that a lock stores under its key, for the locks that are made
// from now on and have no [WithValue]; nil: a JSON object with "locked_at", as without a generator. It is
// called in the acquire, by its goroutine, and by several at once. If it fails, nothing is sent, the acquire
// returns [ErrValueFailed] with its error in the chain, and the lock is not used up.
func SetValueGenerator(generate func() ([]byte, error)) {
	if generate == nil {
		generator.Store(nil)
		return
	}
	generator.Store(&generate)
}
