//go:build cgo

package consullock

import (
	"context"
	"errors"
	"fmt"
)

// Hold takes the lock on a key, runs f, and gives the lock back, also when f fails or panics. It acquires as
// [Lock.Acquire] does: by default in one attempt, and no longer than ctx lasts.
//
// The context that f is given ends with ctx, and when the lock is lost: its cause is then an error that is
// [ErrLost]. f should stop its work as soon as it ends. [FromContext] gives f the lock, with its fencing
// token.
//
// What kept f from running is returned as [New] and Acquire say it; else f's own error, if it failed; else
// what went wrong with the release: ErrLost when the lock was lost while f ran, though f ended well. An error
// of f that only hands on that its context was ended by the loss is in the chain of an ErrLost.
func Hold(ctx context.Context, key string, f func(ctx context.Context) error, opts ...Option) error {
	if f == nil {
		return noFunction(key)
	}
	l, err := New(key, opts...)
	if err != nil {
		return err
	}
	defer l.Abandon() // of its memory: it is released by then
	return l.Hold(ctx, f)
}

// Hold is the function of this name for a lock that was made before. Like Acquire, it uses the lock up.
func (l *Lock) Hold(ctx context.Context, f func(ctx context.Context) error) (err error) {
	if f == nil {
		return noFunction(l.name)
	}
	if err := l.Acquire(ctx); err != nil {
		return err
	}
	defer func() {
		released := l.Release()
		if err == nil && !errors.Is(released, ErrNotHeld) { // f may have given it back itself
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

// noFunction refuses before anything is taken.
func noFunction(key string) error {
	return &Error{Op: "hold", Key: key, Code: ErrInvalidArgument,
		Message: fmt.Sprintf("cannot hold the lock %q: the function is nil", key)}
}

type heldLock struct{}

// FromContext gives the lock that [Hold] holds for this context; nil if there is none.
func FromContext(ctx context.Context) *Lock {
	l, _ := ctx.Value(heldLock{}).(*Lock)
	return l
}
