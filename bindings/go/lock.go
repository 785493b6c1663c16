//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
)

// A Lock is a lock on one key. It is single use: acquire it once, release it. Any number of goroutines may
// use it at any time.
type Lock struct {
	name     string // the key as it was given
	generate func() ([]byte, error)
	handle   handle[*C.consul_lock]
	loss     atomic.Pointer[loss] // nil until somebody wants to be told
	pending  atomic.Bool          // an acquire is under way

	// What stays to be seen when the C object is freed.
	last struct {
		key, session string
		token        uint64
	}
}

// New makes a lock on a key: UTF-8 that names the work, not the worker, such as "nightly-report", of at most
// 60,000 bytes as it stands in a URL, with what stands before it in Consul. It reads the options, the defaults and, for the default client, the environment, and
// sends nothing.
//
// ErrInvalidArgument: the key is one that Consul would change or refuse. ErrInvalidOption: an option is
// wrong, or belongs to a client. ErrInvalidEnvironment: a variable is wrong.
func New(key string, opts ...Option) (*Lock, error) {
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
	name, refused := cText("the key", key)
	if refused != nil {
		return nil, refused.of(op, key)
	}
	var raw *C.consul_lock_error
	made := C.consul_lock_new(name, options, &raw)
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
	most   int32 // so many block a thread
	closed Code  // what it is on a closed lock
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

// ask makes a call on the C object, of which it gives up the use.
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

// free ends the C object. It sends nothing: what was to be given back was given back before.
func (l *Lock) free(ptr *C.consul_lock) {
	l.last.key, l.last.session, l.last.token = keyOf(ptr), sessionOf(ptr), tokenOf(ptr)
	C.consul_lock_abandon(ptr)
}

// Acquire takes the lock. Unless [WithAcquireTimeout] or [WithWait] say otherwise it makes exactly one
// attempt. Who waits is served in the order of coming, between processes as within one.
//
// The end of ctx ends it at once: the error then has ctx's error and its cause in the chain, and nothing is
// left behind in Consul. So whichever is earlier ends a wait, ctx or the timeout. A ctx that has ended before
// changes nothing; else a lock is used up by its first acquire, whatever the outcome.
//
// ErrNotAcquired: somebody else had it until the deadline, and the message says who. ErrUnavailable: Consul
// gave no usable answer in time. ErrDenied, ErrRejected: Consul refused. ErrAlreadyUsed: the lock was used
// before, or is closed. ErrValueFailed: the value generator failed. ErrCancelled: ctx has ended, or the lock
// was cancelled.
func (l *Lock) Acquire(ctx context.Context) error {
	op := acquireCall.op
	if ctx.Err() != nil {
		return interrupted(ctx, op, l.name, ErrCancelled)
	}
	// The end of the context of a second one must not be that of the first.
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
	// A cancel ends the call at once, in both its ways.
	stop := context.AfterFunc(ctx, l.Cancel)
	err := l.ask(ptr, acquireCall).err
	if stop() {
		return err.of(op, l.name)
	}
	switch {
	case err == nil:
		l.giveBack() // it was won at the very moment when ctx ended
	case err.Code == ErrCancelled:
		err.Err = endOf(ctx)
		return err.of(op, l.name)
	case err.Code != ErrNotAcquired:
		return err.of(op, l.name)
	}
	return interrupted(ctx, op, l.name, ErrCancelled)
}

// giveBack undoes what was won, as a cancel does: nobody waits for it. It has begun when this returns, so that
// a Shutdown that follows waits for it.
func (l *Lock) giveBack() {
	ptr, ok := l.handle.enter()
	if !ok {
		return // Close does it, and Abandon does not want it
	}
	defer l.leave()
	startCall(func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
		return releaseCall.start(ptr, handle, raw)
	})
}

// TryAcquire is Acquire for whom it is no error that somebody else has the lock: it then returns false and
// nil. It waits as Acquire does.
func (l *Lock) TryAcquire(ctx context.Context) (bool, error) {
	err := l.Acquire(ctx)
	// Not errors.Is: the error of a value generator, say, may have one of these in its chain.
	if why, ok := err.(*Error); ok && why.Code == ErrNotAcquired {
		return false, nil
	}
	return err == nil, err
}

// setValue calls the value generator that there was when the lock was made.
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

// Release gives the lock back and removes its key, at once. It can only ever touch this very lock. It waits
// for Consul at most as long as the client's [WithReleaseTimeout] says. A pending acquire is cancelled and
// undone.
//
// nil: it was held until now. ErrNotHeld: there was nothing to give back, and nothing was done; harmless.
// ErrLost: it had been lost before, so others may have worked meanwhile. ErrUnconfirmed: Consul did not
// confirm in time, and the library goes on in the background while the process lives; [Shutdown] waits for
// that.
func (l *Lock) Release() error {
	ptr, ok := l.handle.enter()
	if !ok {
		return l.closed(releaseCall.op, releaseCall.closed)
	}
	return l.explained(l.ask(ptr, releaseCall).err, releaseCall.op)
}

// Close ends the lock: one that is held is released, a pending acquire is cancelled and undone, and its
// memory is freed. Key, FencingToken and SessionID can still be asked. A second Close does nothing.
//
// nil: it was held until now, or there was nothing to give back. ErrLost, ErrUnconfirmed: as of Release.
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
	return l.explained(err, "close")
}

// Cancel ends a pending acquire at once, as the end of its context does: it returns [ErrCancelled] and is
// undone. It is sticky: an acquire that comes later ends so, too. It does nothing to a lock that is held.
func (l *Lock) Cancel() {
	if ptr, ok := l.handle.look(); ok {
		C.consul_lock_cancel(ptr)
		l.leave()
	}
}

// Abandon closes the lock without giving it back: one that is held stays in Consul until its TTL ends it. For
// work that may be done only once per TTL, by whomever. It sends nothing and never waits. A pending acquire
// is cancelled.
func (l *Lock) Abandon() {
	ptr, first := l.handle.close()
	if !first {
		return
	}
	runtime.SetFinalizer(l, nil)
	C.consul_lock_cancel(ptr)
	l.leave()
}

// collected is the finalizer: nobody can release the lock any more. Who works on by its Lost alone must stop,
// as from here on nobody watches or renews it.
func (l *Lock) collected() {
	held := l.IsHeld()
	l.Abandon() // first: a logger of the program's may panic, or never return
	if !held {
		return
	}
	if told := l.loss.Load(); told != nil {
		told.happened(0)
	}
	go warn(fmt.Sprintf("consullock: the lock %q was held when it was garbage collected, and stays until its TTL "+
		"ends it: release it, or use Hold", l.Key()))
}
