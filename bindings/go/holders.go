//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"encoding/json"
	"time"
)

// A KeyState says which sessions held a key, and which waited for it, when Consul answered.
type KeyState struct {
	// Key is the full key.
	Key string
	// Exclusive is the session that holds the key alone. While others still share the key, that session waits
	// until they have ended, and no other session enters. nil: there is none.
	Exclusive *Holder
	// Sharers are the sessions that share the key.
	Sharers []Sharer
	// Line are the sessions that wait for the key, in their order.
	Line []Waiter
}

// A Sharer is a session that shares a key.
type Sharer struct {
	Holder
	// Limit is the limit of [WithLimit]. 0: the session shares the key without a limit.
	Limit int
	// Slot is the session's [Lock.Slot]. -1: it has none, because it has no limit.
	Slot int
}

// A Waiter is a session in the line of a key. It stands for all waiters of one client in one process that want the
// same.
type Waiter struct {
	// Session, Name, Node and TTL are those of the session, as of a [Holder].
	Session, Name, Node string
	TTL                 time.Duration
	// Shares says that the session waits to share the key.
	Shares bool
	// Limit is the limit of a session that waits to share the key. 0: it has no limit, or waits for an exclusive
	// lock.
	Limit int
	// Keys are the full keys for which the session waits, if it waits for several at once.
	Keys []string
}

// Holders asks Consul, with the default client, which sessions hold a key, as given to [New], and which wait for it.
// It makes two requests, and one for each of the first 64 sessions, whose names it reads, and it ends with ctx. The
// two requests are not of one instant: a lock that changes hands in between may show twice, or not at all.
//
// [WhoHolds] costs less where only an exclusive holder is of interest.
func Holders(ctx context.Context, key string) (KeyState, error) {
	if incompatible != nil {
		return KeyState{}, incompatible
	}
	return holders(ctx, nil, key, func() {})
}

// Holders does what the function [Holders] does, with this client.
func (c *Client) Holders(ctx context.Context, key string) (KeyState, error) {
	ptr, ok := c.handle.enter()
	if !ok {
		return KeyState{}, closedClient("holders", key)
	}
	return holders(ctx, ptr, key, c.leave)
}

func holders(ctx context.Context, client *C.consul_lock_client, key string, leave func()) (KeyState, error) {
	const op = "holders"
	if ctx.Err() != nil {
		leave()
		return KeyState{}, interrupted(ctx, op, key, ErrCancelled)
	}
	name, refused := cText("the key", key)
	if refused != nil {
		leave()
		return KeyState{}, refused.of(op, key)
	}
	result, ended := orEnd(ctx, func() outcome {
		defer leave()
		return ask(mostBlocked,
			func(raw **C.consul_lock_error) outcome {
				return outcome{holders: takenHolders(C.consul_lock_holders(client, name, raw))}
			},
			func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
				return C.consullockgo_holders_start(client, name, handle, raw)
			})
	})
	switch {
	case ended:
		return KeyState{}, interrupted(ctx, op, key, ErrCancelled)
	case result.err != nil:
		return KeyState{}, result.err.of(op, key)
	}
	state, err := parseHolders(result.holders)
	if err != nil {
		return KeyState{}, &Error{Op: op, Key: key, Code: ErrInternal, Message: "the holders are not JSON", Err: err}
	}
	return state, nil
}

// takenHolders copies holders of the library as JSON, and frees them.
func takenHolders(info *C.consul_lock_holders_info) string {
	if info == nil {
		return ""
	}
	defer C.consul_lock_holders_free(info)
	return text(func(buf *C.char, n C.size_t) C.size_t { return C.consul_lock_holders_json(info, buf, n) })
}

// A party is a session in the library's JSON.
type party struct {
	Session     string   `json:"session"`
	Name        string   `json:"name"`
	Node        string   `json:"node"`
	TTL         int64    `json:"ttl_ms"`
	Token       uint64   `json:"fencing_token"`
	Since       int64    `json:"since_ms"`
	Value       []byte   `json:"value_base64"`
	Limit       int      `json:"limit"`
	Slot        *int     `json:"slot"`
	Mode        string   `json:"mode"`
	KeysInOrder []string `json:"keys"`
}

func parseHolders(said string) (KeyState, error) {
	var all struct {
		Key       string
		Exclusive *party
		Sharers   []party
		Line      []party
	}
	if err := json.Unmarshal([]byte(said), &all); err != nil {
		return KeyState{}, err
	}
	state := KeyState{Key: all.Key}
	if all.Exclusive != nil {
		holder := all.Exclusive.holder()
		state.Exclusive = &holder
	}
	for _, one := range all.Sharers {
		slot := -1
		if one.Slot != nil {
			slot = *one.Slot
		}
		state.Sharers = append(state.Sharers, Sharer{one.holder(), one.Limit, slot})
	}
	for _, one := range all.Line {
		state.Line = append(state.Line, Waiter{one.Session, one.Name, one.Node, one.ttl(), one.Mode == "share", one.Limit,
			one.KeysInOrder})
	}
	return state, nil
}

func (p party) ttl() time.Duration { return time.Duration(p.TTL) * time.Millisecond }

func (p party) holder() Holder {
	var since time.Time
	if p.Since != 0 {
		since = time.UnixMilli(p.Since)
	}
	return Holder{p.Session, p.Name, p.Node, p.Value, p.Token, since, p.ttl()}
}
