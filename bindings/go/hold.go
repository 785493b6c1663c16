//go:build cgo

package consullock

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Hold acquires the lock on a key, runs f, and releases the lock, also when f fails or panics. It acquires as
// [Lock.Acquire] does: by default in one attempt, and no longer than ctx lasts.
//
// The context of f ends with ctx, or when the lock is lost. Its cause is then an error that is [ErrLost]. f stops its
// work as soon as its context ends. [FromContext] gives f the lock, with its fencing token.
//
// Hold returns the error of [New] or Acquire if f did not run. Else it returns the error of f. Else it returns the
// error of the release, such as ErrLost when f ended well but the lock was lost meanwhile. Where f only hands on that
// the loss ended its context, f's error is in the chain of an ErrLost.
func Hold(ctx context.Context, key string, f func(ctx context.Context) error, opts ...Option) error {
	return holdNew(ctx, key, f, func() (*Lock, error) { return New(key, opts...) })
}

// HoldAll does what [Hold] does with several keys, as [NewAll] takes them: it holds all of them or none.
func HoldAll(ctx context.Context, keys []string, f func(ctx context.Context) error, opts ...Option) error {
	return holdNew(ctx, strings.Join(keys, ", "), f, func() (*Lock, error) { return NewAll(keys, opts...) })
}

func holdNew(ctx context.Context, key string, f func(ctx context.Context) error, create func() (*Lock, error)) error {
	if f == nil {
		return noFunction(key)
	}
	l, err := create()
	if err != nil {
		return err
	}
	defer l.Abandon() // frees the memory: the lock is released by then
	return l.Hold(ctx, f)
}

// Hold does what the function [Hold] does, with a lock that the caller has made. Like Acquire, it uses the lock up.
func (l *Lock) Hold(ctx context.Context, f func(ctx context.Context) error) (err error) {
	if f == nil {
		return noFunction(l.name)
	}
	if err := l.Acquire(ctx); err != nil {
		return err
	}
	defer func() {
		released := l.Release()
		if err == nil && !errors.Is(released, ErrNotHeld) { // f may have released the lock itself
			err = released
		}
	}()

	loss := l.watch().ctx
	held, end := context.WithCancelCause(context.WithValue(ctx, heldLock{}, l))
	defer end(nil)
	defer context.AfterFunc(loss, func() { end(context.Cause(loss)) })()
	if err = f(held); err != nil && ctx.Err() == nil && loss.Err() != nil && errors.Is(err, context.Canceled) {
		return l.lostWhile(err)
	}
	return err
}

func (l *Lock) lostWhile(err error) error {
	lost := l.LostReason().of(l.name)
	lost.Err = err
	return lost
}

// noFunction is the refusal of a nil function, before the acquire.
func noFunction(key string) error {
	return &Error{Op: "hold", Key: key, Code: ErrInvalidArgument,
		Message: fmt.Sprintf("cannot hold the lock %q: the function is nil", key)}
}

type heldLock struct{}

// FromContext gives the lock that [Hold] holds for this context. It is nil outside of a Hold.
func FromContext(ctx context.Context) *Lock {
	l, _ := ctx.Value(heldLock{}).(*Lock)
	return l
}
