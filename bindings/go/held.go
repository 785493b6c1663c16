//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// IsHeld says whether the lock is held, by this process's own clock: true from a successful acquire until the release,
// the end of the lock's life, or the notice of a loss. Meanwhile no other process holds the lock; of a lock that
// shares its key: no other process holds the key alone. It sends nothing.
func (l *Lock) IsHeld() bool {
	ptr, ok := l.handle.look()
	if !ok {
		return false
	}
	defer l.leave()
	return bool(C.consul_lock_is_held(ptr))
}

// Remaining is the rest of the lock's life, by a clock that counts while the machine sleeps. It is 0 when the lock is
// not held. It sends nothing.
func (l *Lock) Remaining() time.Duration {
	ptr, ok := l.handle.look()
	if !ok {
		return 0
	}
	defer l.leave()
	return time.Duration(C.consul_lock_remaining_ms(ptr)) * time.Millisecond
}

// FencingToken is a number that grows with every acquisition of this key, and with every downgrade and upgrade. The
// holder sends it along with each write, and the receiver refuses a token smaller than one that it has seen. That
// stops a holder that was paused past the end of its lock. A holder that shares its key sends its token with each
// read, too, and the receiver refuses a read below the largest token of an exclusive lock. With a limit the receiver
// keeps the largest token of each slot. All keys of a lock have one token. The token is 0 before the acquire, and
// afterwards only Downgrade and Upgrade change it.
func (l *Lock) FencingToken() uint64 {
	ptr, ok := l.handle.look()
	if !ok {
		return l.last.token
	}
	defer l.leave()
	return tokenOf(ptr)
}

// Key is the full key of the lock in Consul's KV store, such as "locks/ephemeral/nightly-report". Of several keys it
// is the first of [Lock.Keys].
func (l *Lock) Key() string {
	ptr, ok := l.handle.look()
	if !ok {
		return l.last.key
	}
	defer l.leave()
	return keyOf(ptr)
}

// Keys are the full keys of the lock, in the order of their bytes and each once: one key, unless [NewAll] made the
// lock of several.
func (l *Lock) Keys() []string {
	ptr, ok := l.handle.look()
	if !ok {
		return slices.Clone(l.last.keys)
	}
	defer l.leave()
	return keysOf(ptr)
}

// SessionID is the id of the Consul session that holds, or held, the lock. It is empty before the acquire.
func (l *Lock) SessionID() string {
	ptr, ok := l.handle.look()
	if !ok {
		return l.last.session
	}
	defer l.leave()
	return sessionOf(ptr)
}

func tokenOf(ptr *C.consul_lock) uint64 { return uint64(C.consul_lock_fencing_token(ptr)) }

func keyOf(ptr *C.consul_lock) string {
	return text(func(buf *C.char, n C.size_t) C.size_t { return C.consul_lock_key(ptr, buf, n) })
}

func keysOf(ptr *C.consul_lock) []string {
	keys := make([]string, C.consul_lock_keys_count(ptr))
	for i := range keys {
		keys[i] = text(func(buf *C.char, n C.size_t) C.size_t {
			return C.consul_lock_key_at(ptr, C.size_t(i), buf, n)
		})
	}
	return keys
}

func sessionOf(ptr *C.consul_lock) string {
	return text(func(buf *C.char, n C.size_t) C.size_t { return C.consul_lock_session_id(ptr, buf, n) })
}

// Renew starts the life of a held lock anew, with its whole TTL, for work that takes longer than expected. See also
// [WithAutoRenew]. It makes one request. If ctx ends before the answer, the lock may be renewed or not.
//
// ErrLost: the lock is lost, and the caller stops the work. ErrNotHeld: the lock is not held. ErrUnavailable: Consul
// gave no usable answer, and the lock is held until Remaining is 0. ErrDenied, ErrRejected: Consul refused.
// ErrCancelled: ctx has ended.
func (l *Lock) Renew(ctx context.Context) error {
	return l.within(ctx, lockCall{
		"renew", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_renew(ptr, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_renew_start(ptr, handle, raw)
		},
	}, ErrCancelled)
}

// Check asks Consul whether the lock is still held, so it also finds a loss that no notice has reported yet. It does
// not extend the lock's life. nil: the lock is held. Its errors are those of Renew.
func (l *Lock) Check(ctx context.Context) error {
	return l.within(ctx, lockCall{
		"check", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_check(ptr, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_check_start(ptr, handle, raw)
		},
	}, ErrCancelled)
}

// PutIfHeld writes a key of Consul's KV store in one transaction with a check that this lock is held, so a caller that
// lost the lock cannot write, whether or not the caller knows of the loss. The key is a plain key of the KV store, and
// "lock_key_pattern" does not apply. The value has at most 390,000 bytes.
//
// ErrUnconfirmed: Consul's answer was lost, or ctx ended before the answer. Consul may have written the value, or may
// write it later, as long as the lock is in Consul. While the lock is held, the caller may repeat the call. After
// any other error Consul has written nothing, and will not. ErrLost: the lock is lost.
func (l *Lock) PutIfHeld(ctx context.Context, key string, value []byte) error {
	name, refused := cText("the key", key)
	if refused != nil {
		return refused.of("put", l.name)
	}
	data, n := cBytes(bytes.Clone(value)) // the caller may go on, and change it, before the library has copied it
	return l.within(ctx, lockCall{
		"put", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) {
			C.consul_lock_put_if_held(ptr, name, data, n, raw)
		},
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_put_if_held_start(ptr, name, data, n, handle, raw)
		},
	}, ErrUnconfirmed)
}

// DeleteIfHeld deletes a key of Consul's KV store in the same way. A key that does not exist is no error.
func (l *Lock) DeleteIfHeld(ctx context.Context, key string) error {
	name, refused := cText("the key", key)
	if refused != nil {
		return refused.of("delete", l.name)
	}
	return l.within(ctx, lockCall{
		"delete", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_delete_if_held(ptr, name, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_delete_if_held_start(ptr, name, handle, raw)
		},
	}, ErrUnconfirmed)
}

// within makes a call and waits for its outcome. If ctx ends first, the error has the code ifEnded.
func (l *Lock) within(ctx context.Context, call lockCall, ifEnded Code) error {
	if ctx.Err() != nil {
		return interrupted(ctx, call.op, l.name, ErrCancelled)
	}
	ptr, ok := l.handle.enter()
	if !ok {
		return l.closed(call.op, call.closed)
	}
	result, ended := orEnd(ctx, func() outcome { return l.ask(ptr, call) })
	if ended {
		return interrupted(ctx, call.op, l.name, ifEnded)
	}
	return result.err.of(call.op, l.name)
}
