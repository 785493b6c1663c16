//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import "runtime"

// A Client says how to reach Consul, and keeps what its locks share: connections, sessions, threads. A simple
// program needs none: its locks use the default client, which the library makes at the first use from the
// variables that the consul command reads, from CONSUL_HTTP_ADDR to CONSUL_PARTITION. Any number of goroutines may
// use a client.
type Client struct {
	handle handle[*C.consul_lock_client]
}

// NewClient makes a client. It sends nothing: an unreachable Consul fails the first use, not this call.
//
// ErrInvalidOption: an option is wrong, or belongs to a lock. ErrInvalidEnvironment: a variable is wrong.
func NewClient(opts ...ClientOption) (*Client, error) {
	if incompatible != nil {
		return nil, incompatible
	}
	const op = "new client"
	var s settings
	for _, set := range opts {
		set(&s)
	}
	options, refused := s.toC()
	if refused != nil {
		return nil, refused.of(op, "")
	}
	defer C.consul_lock_options_free(options)
	var raw *C.consul_lock_error
	made := C.consul_lock_client_new(options, &raw)
	if made == nil {
		return nil, s.spoken(taken(raw)).of(op, "")
	}
	client := &Client{}
	client.handle.ptr = made
	runtime.SetFinalizer(client, (*Client).Close)
	return client, nil
}

// Close gives up the caller's reference to the client. Locks that use the client, and the default client, keep
// references of their own. Close sends nothing and always returns nil. A second Close does nothing.
func (c *Client) Close() error {
	if _, first := c.handle.close(); first {
		runtime.SetFinalizer(c, nil)
		c.leave()
	}
	return nil
}

func (c *Client) leave() {
	c.handle.leave(func(ptr *C.consul_lock_client) { C.consul_lock_client_free(ptr) })
}

func closedClient(op, key string) *Error {
	return &Error{Op: op, Key: key, Code: ErrInvalidArgument, Err: ErrClosed, Message: "the client cannot be used"}
}
