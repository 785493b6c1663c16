//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"time"
)

// A Holder describes the session that held a lock when Consul answered.
type Holder struct {
	// Session is the id of the Consul session that holds the lock.
	Session string
	// Name is the session's name, such as "consul_lock PROGRAM@HOST:PID NONCE" for a lock of this library. Empty:
	// the token has no session:read, or the session has no name.
	Name string
	// Node is the Consul node of the session. Empty: the token has no session:read.
	Node string
	// Value is the value under the key. Another program wrote it, so the caller must not trust it.
	Value []byte
	// FencingToken is the fencing token of the holder's lock: it grows from holder to holder.
	FencingToken uint64
	// Since is the time of the acquire, by the holder's clock. Zero: the stored value does not contain it.
	Since time.Time
	// TTL is the TTL of the session: for a lock of this library, the value of [WithTTL]. Zero: the session has none,
	// or the token has no session:read.
	TTL time.Duration
}

// WhoHolds asks Consul, with the default client, for the holder of the lock on a key, as given to [New]. false: the
// lock is free. It makes one or two requests, and ends with ctx.
func WhoHolds(ctx context.Context, key string) (Holder, bool, error) {
	if incompatible != nil {
		return Holder{}, false, incompatible
	}
	return whoHolds(ctx, nil, key, func() {})
}

// WhoHolds does what the function [WhoHolds] does, with this client.
func (c *Client) WhoHolds(ctx context.Context, key string) (Holder, bool, error) {
	ptr, ok := c.handle.enter()
	if !ok {
		return Holder{}, false, closedClient("who holds", key)
	}
	return whoHolds(ctx, ptr, key, c.leave)
}

func whoHolds(ctx context.Context, client *C.consul_lock_client, key string, leave func()) (Holder, bool, error) {
	const op = "who holds"
	if ctx.Err() != nil {
		leave()
		return Holder{}, false, interrupted(ctx, op, key, ErrCancelled)
	}
	name, refused := cText("the key", key)
	if refused != nil {
		leave()
		return Holder{}, false, refused.of(op, key)
	}
	result, ended := orEnd(ctx, func() outcome {
		defer leave()
		return ask(mostBlocked,
			func(raw **C.consul_lock_error) outcome {
				var info *C.consul_lock_holder_info
				C.consul_lock_holder(client, name, &info, raw)
				return outcome{holder: takenHolder(info)}
			},
			func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
				return C.consullockgo_holder_start(client, name, handle, raw)
			})
	})
	switch {
	case ended:
		return Holder{}, false, interrupted(ctx, op, key, ErrCancelled)
	case result.err != nil:
		return Holder{}, false, result.err.of(op, key)
	case result.holder == nil:
		return Holder{}, false, nil
	}
	return *result.holder, true, nil
}

// takenHolder copies a holder of the library, and frees it. It is nil where the lock is free.
func takenHolder(info *C.consul_lock_holder_info) *Holder {
	if info == nil {
		return nil
	}
	defer C.consul_lock_holder_free(info)
	value := make([]byte, C.consul_lock_holder_value(info, nil, 0))
	buf, n := cBytes(value)
	C.consul_lock_holder_value(info, buf, n)
	var since time.Time
	if ms := int64(C.consul_lock_holder_since_ms(info)); ms != 0 {
		since = time.UnixMilli(ms)
	}
	return &Holder{
		Session: text(func(buf *C.char, n C.size_t) C.size_t {
			return C.consul_lock_holder_session(info, buf, n)
		}),
		Name: text(func(buf *C.char, n C.size_t) C.size_t {
			return C.consul_lock_holder_name(info, buf, n)
		}),
		Node: text(func(buf *C.char, n C.size_t) C.size_t {
			return C.consul_lock_holder_node(info, buf, n)
		}),
		Value:        value,
		FencingToken: uint64(C.consul_lock_holder_fencing_token(info)),
		Since:        since,
		TTL:          time.Duration(C.consul_lock_holder_ttl_ms(info)) * time.Millisecond,
	}
}
