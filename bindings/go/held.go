//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"context"
	"time"
)

// IsHeld says whether the lock is held, as far as this process can know by its own clock: true from a
// successful acquire until the release, the end of its life, or a loss that was noticed. It asks nobody.
func (l *Lock) IsHeld() bool {
	ptr, ok := l.handle.look()
	if !ok {
		return false
	}
	defer l.leave()
	return bool(C.consul_lock_is_held(ptr))
}

// Remaining is how much is left of the lock's life, by this process's own clock, which counts while the
// machine sleeps; 0 when it is not held. It asks nobody.
func (l *Lock) Remaining() time.Duration {
	ptr, ok := l.handle.look()
	if !ok {
		return 0
	}
	defer l.leave()
	return time.Duration(C.consul_lock_remaining_ms(ptr)) * time.Millisecond
}

// FencingToken is a number that grows with every acquisition of this key. Send it along with what you write,
// and let the receiver refuse a smaller one than it has seen: that stops a holder that was paused past the
// end of its lock. It is 0 before the lock was acquired, and stays the same afterwards, also when the lock is
// over.
func (l *Lock) FencingToken() uint64 {
	ptr, ok := l.handle.look()
	if !ok {
		return l.last.token
	}
	defer l.leave()
	return tokenOf(ptr)
}

// Key is the full key: where the lock lives in Consul's KV store, such as "locks/ephemeral/nightly-report".
func (l *Lock) Key() string {
	ptr, ok := l.handle.look()
	if !ok {
		return l.last.key
	}
	defer l.leave()
	return keyOf(ptr)
}

// SessionID is the id of the Consul session that holds, or held, the lock; empty before it was acquired.
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

func sessionOf(ptr *C.consul_lock) string {
	return text(func(buf *C.char, n C.size_t) C.size_t { return C.consul_lock_session_id(ptr, buf, n) })
}

// Renew extends the life of a held lock: its whole TTL from now. For work that takes longer than was thought;
// see also [WithAutoRenew]. It makes one request. If ctx ends before it is answered, the lock may have been
// renewed or not.
//
// ErrLost: it is not ours any more, stop the work. ErrNotHeld. ErrUnavailable: Consul gave no usable answer,
// and the lock is held until Remaining is 0. ErrDenied, ErrRejected: Consul refused. ErrCancelled: ctx has
// ended.
func (l *Lock) Renew(ctx context.Context) error {
	return l.within(ctx, lockCall{
		"renew", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_renew(ptr, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_renew_start(ptr, handle, raw)
		},
	}, ErrCancelled)
}

// Check asks Consul whether the lock is still held: it also finds a lock that an operator took away. It does
// not extend its life. It returns what Renew returns; nil: it is.
func (l *Lock) Check(ctx context.Context) error {
	return l.within(ctx, lockCall{
		"check", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_check(ptr, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_check_start(ptr, handle, raw)
		},
	}, ErrCancelled)
}

// PutIfHeld writes a key of Consul's KV store in one transaction with a check that this lock is held: who
// lost it, known or not, cannot write. The key is a plain key of the KV store, not put into
// "lock_key_pattern"; the value may have at most 390,000 bytes.
//
// ErrUnconfirmed: Consul's answer was lost, or ctx ended before it came: it may have been written, or may be
// later, as long as the lock is in Consul; while the lock is held, the same call may be made again. Any other
// error: nothing was written, and will not be. ErrLost: the lock is not ours any more.
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

// DeleteIfHeld deletes a key of Consul's KV store in the same way. A key that does not exist is fine.
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

// within makes a call and waits for its outcome or the end of ctx; the error then has the code ifEnded.
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
	return l.explained(result.err, call.op)
}
