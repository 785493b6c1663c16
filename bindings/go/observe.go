//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"sync"
)

// An Observation is what an observer knows of the holder of a key.
type Observation struct {
	// Holder is the session that holds the key exclusively. Its Name, Node and TTL are not known: [WhoHolds] reads
	// them. nil: no session holds the key exclusively, or Err says why the holder is not known.
	Holder *Holder
	// Err says why the library does not know the holder now, such as [ErrUnavailable] or [ErrDenied]. The library
	// asks on, and the channel receives the holder again as soon as Consul shows it.
	Err error
}

// Observe observes, with the default client, which session holds a key exclusively, as given to [New]: for elections
// and for dashboards. The channel receives the holder soon, and again whenever another session holds the key, the key
// became free, or its fencing token changed. It has room for one observation, and a new one takes the place of one
// that the program has not received yet: so a slow program skips states in between, and what it receives last is the
// present state in the end. Sessions that share the key are no holders here: [Holders] shows them.
//
// The end of ctx ends the observation and closes the channel, so a program must end ctx at some time. Observe does not
// wait for Consul, and starts no goroutine. All observers and waiters of a key in a client share one blocking query.
//
// ErrInvalidArgument: the key is refused. ErrInvalidEnvironment, ErrUnavailable: the library cannot make the default
// client. ErrNoResources: the same, or the system gives no thread. ErrCancelled: ctx has ended.
func Observe(ctx context.Context, key string) (<-chan Observation, error) {
	if incompatible != nil {
		return nil, incompatible
	}
	return observe(ctx, nil, key)
}

// Observe does what the function [Observe] does, with this client.
func (c *Client) Observe(ctx context.Context, key string) (<-chan Observation, error) {
	ptr, ok := c.handle.enter()
	if !ok {
		return nil, closedClient("observe", key)
	}
	defer c.leave() // the observer keeps the client alive
	return observe(ctx, ptr, key)
}

func observe(ctx context.Context, client *C.consul_lock_client, key string) (<-chan Observation, error) {
	const op = "observe"
	if ctx.Err() != nil {
		return nil, interrupted(ctx, op, key, ErrCancelled)
	}
	name, refused := cText("the key", key)
	if refused != nil {
		return nil, refused.of(op, key)
	}
	o := &observer{key: key, news: make(chan Observation, 1)}
	var raw *C.consul_lock_error
	// The library frees the handle, also when it refuses.
	made := C.consullockgo_observe(client, name, C.consullockgo_handle(cgo.NewHandle(o)), &raw)
	if made == nil {
		return nil, taken(raw).of(op, key)
	}
	context.AfterFunc(ctx, func() {
		C.consul_lock_observer_free(made) // waits for a tell, and no other comes
		close(o.news)
	})
	return o.news, nil
}

// An observer receives the library's news.
type observer struct {
	key  string
	mu   sync.Mutex // only the program may receive between the two steps of tell
	news chan Observation
}

// tell never blocks.
func (o *observer) tell(seen Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.news:
	default:
	}
	o.news <- seen
}
