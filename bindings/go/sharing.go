//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"time"
)

// Slot is the slot of a lock that shares its key with a limit ([WithShare], [WithLimit]): a number from 0 and below
// the limit, such as the number of a worker. No two locks that share the key at the same time have the same slot.
// false: the lock has no slot, because it was not acquired yet, is exclusive, or has no limit. It sends nothing.
func (l *Lock) Slot() (int, bool) {
	slot := l.slot()
	return int(max(slot, 0)), slot >= 0
}

func (l *Lock) slot() int32 {
	ptr, ok := l.handle.look()
	if ok {
		defer l.leave()
		return slotOf(ptr)
	}
	if len(l.last.keys) == 0 {
		return -1 // neither New nor NewAll made the lock
	}
	return l.last.slot
}

func slotOf(ptr *C.consul_lock) int32 { return int32(C.consul_lock_slot(ptr)) }

// Downgrade turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between. Others
// may share the key from then on, at most as many as [WithLimit] of this lock says. The lock's life goes on, and its
// fencing token grows. With the share the library stores a value of more than 512 bytes not, but what a lock without a
// value stores. It makes one request, which the library repeats while Consul's answer is lost. If ctx ends before the
// answer, the library goes on, and the lock may become a share or not.
//
// ErrInvalidArgument: the lock shares its key already, has several keys, or another change of it is under way.
// ErrLost: the lock is lost, and the caller stops the work. ErrNotHeld: the lock is not held. ErrUnavailable,
// ErrDenied, ErrRejected: the lock is exclusive, as before. ErrCancelled: ctx has ended.
func (l *Lock) Downgrade(ctx context.Context) error {
	return l.within(ctx, lockCall{
		"downgrade", mostBlocked, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_downgrade(ptr, raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_downgrade_start(ptr, handle, raw)
		},
	}, ErrCancelled)
}

// NoTimeout makes [Lock.Upgrade] wait until its context ends.
const NoTimeout time.Duration = -1

// Upgrade turns a share into an exclusive lock, without a gap: what the holder has read stays true. From the first
// moment no other lock can take the key, and Upgrade waits until those that share it have released it: for the
// timeout, which is rounded up to milliseconds, has at most 24 h, and where 0 is not at all. Meanwhile the lock stays
// held. An upgrade overtakes the line of waiters once.
//
// The end of ctx, and [Lock.Cancel], end the wait: Upgrade returns as soon as Consul has confirmed that the lock is a
// share again, or nil where no other lock shared the key any more.
//
// Of two locks that share a key only one can be upgraded at a time, because each would wait for the other one. So
// Consul refuses the second at once. Its caller releases the share, takes a new, exclusive lock, and reads again.
//
// nil: the lock is exclusive, and its fencing token has grown. ErrNotAcquired: others still share the key, or another
// session has the key or is being upgraded; the lock is a share, as before. ErrCancelled: ctx or Cancel ended the
// wait; the lock is a share, as before. ErrInvalidArgument: the lock is exclusive already, another change of it is
// under way, or the timeout is out of range. ErrLost: the lock is lost, and the caller stops the work. ErrNotHeld: the
// lock is not held. ErrUnavailable, ErrDenied, ErrRejected: the lock is a share, as before.
func (l *Lock) Upgrade(ctx context.Context, timeout time.Duration) error {
	const op = "upgrade"
	if ctx.Err() != nil {
		return interrupted(ctx, op, l.name, ErrCancelled)
	}
	wait := int64(-1)
	switch {
	case timeout == NoTimeout:
	case timeout < 0:
		return &Error{Op: op, Key: l.name, Code: ErrInvalidArgument,
			Message: fmt.Sprintf("could not upgrade the lock %q: the timeout %v is negative", l.name, timeout)}
	default:
		wait = int64((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	ptr, ok := l.handle.enter()
	if !ok {
		return l.closed(op, ErrNotHeld)
	}
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		l.Cancel()
	})
	err := l.ask(ptr, lockCall{
		op, mostBlockedAcquires, ErrNotHeld,
		func(ptr *C.consul_lock, raw **C.consul_lock_error) { C.consul_lock_upgrade(ptr, C.int64_t(wait), raw) },
		func(ptr *C.consul_lock, handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
			return C.consullockgo_upgrade_start(ptr, C.int64_t(wait), handle, raw)
		},
	}).err
	if !stop() {
		<-cancelled // else it could end a later upgrade
		if err != nil && err.Code == ErrCancelled {
			err.Err = endOf(ctx)
		}
	}
	return err.of(op, l.name)
}
