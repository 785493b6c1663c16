//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"
)

// A Lock is a lock on one key, or on several at once ([NewAll]). It is exclusive unless [WithShare] makes it share its
// key. It is single use: acquire it once, release it. Any number of goroutines may use it at any time.
type Lock struct {
	name     string // the key as the caller wrote it, or all keys
	generate func() ([]byte, error)
	handle   handle[*C.consul_lock]
	loss     atomic.Pointer[loss] // nil until the caller asks for a notice
	pending  atomic.Bool          // an acquire is in progress

	// The answers of the getters after the free of the C object.
	last struct {
		key, session string
		keys         []string
		token        uint64
		slot         int32
	}
}

// New makes a lock on a key. The key is UTF-8 and names the work, not the worker, such as "nightly-report". The full
// key has at most 60,000 bytes when percent-encoded. New reads the options, the defaults and, for the default client,
// the environment. It sends nothing.
//
// ErrInvalidArgument: the key is one that Consul would change or refuse. ErrInvalidOption: an option is
// wrong, or belongs to a client. ErrInvalidEnvironment: a variable is wrong.
func New(key string, opts ...Option) (*Lock, error) {
	return newLock(key, opts, func(options *C.consul_lock_options, raw **C.consul_lock_error) (*C.consul_lock, *Error) {
		name, refused := cText("the key", key)
		if refused != nil {
			return nil, refused
		}
		return C.consul_lock_new(name, options, raw), nil
	})
}

// NewAll makes one lock on several keys: 1 to 30, each as that of [New], in any order; a key that comes twice counts
// once. An acquire takes all keys or none, so no process ever holds a part of them, and locks on overlapping keys
// never wait for each other in a circle. The lock stores its value under every key, has one session and one fencing
// token, and is released as a whole. It is exclusive.
//
// The lock waits in line on every key until it is the first on all of them. Meanwhile a key that is free stays free
// for it, so the caller should keep the sets of keys small.
//
// ErrInvalidArgument: as of New; or there are too many keys or none, or the value is too long for so many keys.
// ErrInvalidOption: as of New; or there are several keys and [WithShare].
func NewAll(keys []string, opts ...Option) (*Lock, error) {
	keys = slices.Clone(keys)
	return newLock(strings.Join(keys, ", "), opts,
		func(options *C.consul_lock_options, raw **C.consul_lock_error) (*C.consul_lock, *Error) {
			// C gets an array of pointers into Go's memory, all of which stay where they are until it
			// returns.
			var pinned runtime.Pinner
			defer pinned.Unpin()
			names := make([]*C.char, len(keys), len(keys)+1)
			for i, key := range keys {
				name, refused := cText("a key", key)
				if refused != nil {
					return nil, refused
				}
				pinned.Pin(name)
				names[i] = name
			}
			return C.consul_lock_new_all(unsafe.SliceData(names), C.size_t(len(names)), options, raw), nil
		})
}

// newLock makes a lock with the options. Errors name the key.
func newLock(key string, opts []Option,
	create func(options *C.consul_lock_options, raw **C.consul_lock_error) (*C.consul_lock, *Error)) (*Lock, error) {
	if incompatible != nil {
		return nil, incompatible
	}
	const op = "new"
	var s settings
	for _, set := range opts {
		set(&s)
	}
	options, refused := s.toC()
	if refused != nil {
		return nil, refused.of(op, key)
	}
	defer C.consul_lock_options_free(options)
	var raw *C.consul_lock_error
	made, refused := create(options, &raw)
	if refused != nil {
		return nil, refused.of(op, key)
	}
	if made == nil {
		return nil, s.spoken(taken(raw)).of(op, key)
	}

	l := &Lock{name: key}
	if generate := generator.Load(); generate != nil && !s.hasValue {
		l.generate = *generate
	}
	l.handle.ptr = made
	runtime.SetFinalizer(l, (*Lock).collected)
	return l, nil
}

// A lockCall is a call on a lock that asks Consul.
type lockCall struct {
	op     string
	most   int32 // the largest number of calls of this kind that block a thread
	closed Code  // the code of this call on a closed lock
	block  func(ptr *C.consul_lock, raw **C.consul_lock_error)
	start  func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status
}

var acquireCall = lockCall{
	"acquire", mostBlockedAcquires, ErrAlreadyUsed,
	func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_acquire(ptr, raw) },
	func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
		return C.consullockgo_acquire_start(ptr, handle, raw)
	},
}

var releaseCall = lockCall{
	"release", mostBlocked, ErrNotHeld,
	func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_release(ptr, raw) },
	func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
		return C.consullockgo_release_start(ptr, handle, raw)
	},
}

// ask makes a call on the C object, and ends the use of the object.
func (l *Lock) ask(ptr *C.consul_lock, call lockCall) outcome {
	defer l.leave()
	return ask(call.most,
		func(raw **C.consul_lock_error) outcome {
			call.block(ptr, raw)
			return outcome{}
		},
		func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return call.start(ptr, handle, raw)
		})
}

func (l *Lock) closed(op string, code Code) error {
	return &Error{Op: op, Key: l.name, Code: code, Err: ErrClosed,
		Message: fmt.Sprintf("the lock %q cannot be used", l.name)}
}

func (l *Lock) leave() { l.handle.leave(l.free) }

// free frees the C object. It sends nothing: a release came before.
func (l *Lock) free(ptr *C.consul_lock) {
	l.last.key, l.last.session, l.last.token = keyOf(ptr), sessionOf(ptr), tokenOf(ptr)
	l.last.keys, l.last.slot = keysOf(ptr), slotOf(ptr)
	C.consul_lock_abandon(ptr)
}

// Acquire takes the lock, by default in exactly one attempt; see [WithAcquireTimeout] and [WithWait]. Waiters are
// served first come, first served, within a process and between processes.
//
// The end of ctx ends the acquire at once, so the earlier of ctx and the timeout ends a wait. The error then has ctx's
// error and its cause in the chain, and names the last holder that the library saw. The library leaves nothing behind
// in Consul. The first acquire uses the lock up, whatever the outcome, but not an acquire whose ctx ended before it.
//
// ErrNotAcquired: another session had the lock until the deadline, and the message names the holder. ErrConflict: the
// key is shared with another limit than that of [WithLimit], and the message names both. ErrUnavailable: Consul gave
// no usable answer in time. ErrDenied, ErrRejected: Consul refused. ErrAlreadyUsed: the lock was used before, or is
// closed. ErrValueFailed: the value generator failed. ErrCancelled: ctx has ended, or [Lock.Cancel] ended the acquire.
func (l *Lock) Acquire(ctx context.Context) error {
	op := acquireCall.op
	if ctx.Err() != nil {
		return interrupted(ctx, op, l.name, ErrCancelled)
	}
	// The end of a second call's context must not end the first call.
	if !l.pending.CompareAndSwap(false, true) {
		return &Error{Op: op, Key: l.name, Code: ErrAlreadyUsed,
			Message: fmt.Sprintf("the lock %q is being acquired by another call", l.name)}
	}
	defer l.pending.Store(false)
	if err := l.setValue(op); err != nil {
		return err
	}
	ptr, ok := l.handle.enter()
	if !ok {
		return l.closed(op, acquireCall.closed)
	}
	// A cancel ends a blocking call and a started call at once.
	stop := context.AfterFunc(ctx, l.Cancel)
	err := l.ask(ptr, acquireCall).err
	if stop() {
		return err.of(op, l.name)
	}
	switch {
	case err == nil:
		l.giveBack() // the acquire succeeded just as ctx ended
	case err.Code == ErrCancelled:
		err.Err = endOf(ctx)
		return err.of(op, l.name)
	case err.Code != ErrNotAcquired:
		return err.of(op, l.name)
	}
	return interrupted(ctx, op, l.name, ErrCancelled)
}

// giveBack starts a release and does not wait for it, as a cancel does. The release has begun when giveBack returns,
// so a later Shutdown waits for it.
func (l *Lock) giveBack() {
	ptr, ok := l.handle.enter()
	if !ok {
		return // Close releases the lock, and Abandon leaves it to its TTL
	}
	defer l.leave()
	startCall(func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
		return releaseCall.start(ptr, handle, raw)
	})
}

// TryAcquire does what Acquire does, but returns false and nil instead of ErrNotAcquired.
func (l *Lock) TryAcquire(ctx context.Context) (bool, error) {
	err := l.Acquire(ctx)
	// Not errors.Is: the error of a value generator may have an ErrNotAcquired in its chain.
	if why, ok := err.(*Error); ok && why.Code == ErrNotAcquired {
		return false, nil
	}
	return err == nil, err
}

// setValue calls the value generator that was set when the lock was made.
func (l *Lock) setValue(op string) error {
	if l.generate == nil {
		return nil
	}
	value, err := l.generate()
	if err == nil {
		ptr, ok := l.handle.enter()
		if !ok {
			return l.closed(op, ErrAlreadyUsed)
		}
		defer l.leave()
		data, n := cBytes(bytes.Clone(value))
		var raw *C.consul_lock_error
		C.consul_lock_set_value(ptr, data, n, &raw)
		refused := taken(raw)
		err = refused.of(op, l.name)
		if refused == nil || refused.Code != ErrInvalidArgument {
			return err
		}
	}
	return &Error{Op: op, Key: l.name, Code: ErrValueFailed, Err: err,
		Message: fmt.Sprintf("could not acquire the lock %q: the value generator failed", l.name)}
}

// Release releases the lock and removes its key, at once. It never touches the lock of another holder. It waits for
// Consul no longer than the client's [WithReleaseTimeout]. It cancels and undoes a pending acquire.
//
// nil: the lock was held until now. ErrNotHeld: the lock was not held, and the call did nothing. ErrLost: the lock had
// been lost before, so others may have worked meanwhile. ErrUnconfirmed: Consul did not confirm in time, and the
// library goes on in the background while the process lives. [Shutdown] waits for that.
func (l *Lock) Release() error {
	ptr, ok := l.handle.enter()
	if !ok {
		return l.closed(releaseCall.op, releaseCall.closed)
	}
	return l.ask(ptr, releaseCall).err.of(releaseCall.op, l.name)
}

// Close releases a held lock, cancels and undoes a pending acquire, and frees the lock's memory. Key, FencingToken and
// SessionID still answer. A second Close does nothing.
//
// nil: the lock was held until now, or was not held. ErrLost, ErrUnconfirmed: as of Release.
func (l *Lock) Close() error {
	ptr, first := l.handle.close()
	if !first {
		return nil
	}
	runtime.SetFinalizer(l, nil)
	C.consul_lock_cancel(ptr)
	err := l.ask(ptr, releaseCall).err
	if err != nil && err.Code == ErrNotHeld {
		return nil
	}
	return err.of("close", l.name)
}

// Cancel ends a pending acquire at once, as the end of its context does: the acquire returns [ErrCancelled] and is
// undone. Cancel is sticky: a later acquire ends in the same way. It does nothing to a held lock.
func (l *Lock) Cancel() {
	if ptr, ok := l.handle.look(); ok {
		C.consul_lock_cancel(ptr)
		l.leave()
	}
}

// Abandon closes the lock without a release: a held lock stays in Consul until its TTL ends. It is for work that all
// processes together may do only once per TTL. It sends nothing, never waits, and cancels a pending acquire.
func (l *Lock) Abandon() {
	ptr, first := l.handle.close()
	if !first {
		return
	}
	runtime.SetFinalizer(l, nil)
	C.consul_lock_cancel(ptr)
	l.leave()
}

// collected is the finalizer, after which no code can release the lock. It closes Lost, because the library neither
// watches nor renews the lock from here on, and a worker may still rely on Lost alone.
func (l *Lock) collected() {
	held := l.IsHeld()
	l.Abandon() // first: the program's logger may panic, or never return
	if !held {
		return
	}
	if notice := l.loss.Load(); notice != nil {
		notice.happened(0)
	}
	go warn(fmt.Sprintf("consullock: the lock %q was held when it was garbage collected, and stays until its TTL "+
		"ends: release it, or use Hold", l.Key()))
}
