//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"time"
)

// A Holder is who held a lock at the moment when Consul was asked.
type Holder struct {
	// Session is the id of the Consul session that holds the lock.
	Session string
	// Name is the session's name; for a lock of this library such as "consul_lock PROGRAM@HOST:PID NONCE".
	// Empty: Consul would not say.
	Name string
	// Node is the Consul node through which the session was made. Empty: Consul would not say.
	Node string
	// Value is what is stored under the key: data of somebody else, in which nothing is to be trusted.
	Value []byte
	// FencingToken is that of the holder's lock: it grows from holder to holder.
	FencingToken uint64
	// Since is when the lock was taken, by the holder's clock. Zero: the stored value does not say it.
	Since time.Time
	// TTL is that of the session: the lock's timeout, for a lock of this library. Zero: Consul would not say.
	TTL time.Duration
}

// WhoHolds asks Consul, with the default client, who holds the lock on a key, as it is given to [New]. false:
// nobody does. It makes one or two requests, and ends with ctx.
func WhoHolds(ctx context.Context, key string) (Holder, bool, error) {
	if incompatible != nil {
		return Holder{}, false, incompatible
	}
	return whoHolds(ctx, nil, key, func() {})
}

// WhoHolds asks as the function of this name, with this client.
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

// takenHolder copies what the library found, which it frees; nil: nobody.
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
