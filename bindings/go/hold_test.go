package consullock_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func free(t *testing.T, key string) {
	t.Helper()
	if entry(t, full(key)) != nil {
		t.Fatal("the lock was not released")
	}
}

func TestHold(t *testing.T) {
	key, ran := newKey(t), false
	type name struct{}
	ctx := context.WithValue(context.Background(), name{}, "of the caller")
	must(t, consullock.Hold(ctx, key, func(ctx context.Context) error {
		ran = true
		lock := consullock.FromContext(ctx)
		if !lock.IsHeld() || lock.FencingToken() == 0 || entry(t, full(key)) == nil {
			t.Error("it is not held")
		}
		if ctx.Value(name{}) != "of the caller" {
			t.Error("it is not the caller's context")
		}
		return ctx.Err()
	}))
	free(t, key)
	if !ran || consullock.FromContext(ctx) != nil {
		t.Fatal("it did not run")
	}
}

func TestHoldOfALockThatExists(t *testing.T) {
	key := newKey(t)
	lock := newLock(t, key)
	must(t, lock.Hold(context.Background(), func(context.Context) error { return nil }))
	free(t, key)
	if lock.FencingToken() == 0 {
		t.Fatal("no token")
	}
	err := lock.Hold(context.Background(), func(context.Context) error { panic("it ran") })
	wants(t, err, consullock.ErrAlreadyUsed)
}

func TestHoldThatDoesNotRun(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	must(t, newLock(t, key).Acquire(ctx))
	never := func(context.Context) error { panic("it ran") }
	wants(t, consullock.Hold(ctx, key, never), consullock.ErrNotAcquired)
	wants(t, consullock.Hold(ctx, key, never, consullock.WithTTL(time.Second)), consullock.ErrInvalidOption)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	wants(t, consullock.Hold(short, key, never, consullock.WithWait()), context.DeadlineExceeded)
}

func TestTheErrorOfTheFunctionWins(t *testing.T) {
	mine, key := errors.New("mine"), newKey(t)
	err := consullock.Hold(context.Background(), key, func(context.Context) error { return mine })
	if err != mine {
		t.Fatal(err)
	}
	free(t, key)
	err = consullock.Hold(context.Background(), key, func(context.Context) error {
		consul(t, "DELETE", "kv/"+full(key), "")
		return mine
	})
	if err != mine {
		t.Fatal(err)
	}
}

func TestAPanicGoesOnAfterTheRelease(t *testing.T) {
	key := newKey(t)
	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Fatal(got)
			}
		}()
		consullock.Hold(context.Background(), key, func(context.Context) error { panic("mine") })
	}()
	free(t, key)
	done := make(chan struct{})
	go func() {
		defer close(done)
		consullock.Hold(context.Background(), key, func(context.Context) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	free(t, key)
}

func TestHoldReportsALoss(t *testing.T) {
	client := newClient(t)
	lose := func(ctx context.Context, key string) {
		time.Sleep(1300 * time.Millisecond)
		consul(t, "DELETE", "kv/"+full(key), "")
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Error("the context goes on")
		}
		var why *consullock.Error
		if !errors.As(context.Cause(ctx), &why) || why.Code != consullock.ErrLost || why.Key != key ||
			why.Reason != consullock.KeyGone {
			t.Errorf("the cause is %v", context.Cause(ctx))
		}
	}
	for name, f := range map[string]func(ctx context.Context, key string) error{
		"ended well":         func(ctx context.Context, key string) error { lose(ctx, key); return nil },
		"gave the cause":     func(ctx context.Context, key string) error { lose(ctx, key); return context.Cause(ctx) },
		"handed on ctx.Err ": func(ctx context.Context, key string) error { lose(ctx, key); return ctx.Err() },
	} {
		f := f
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			err := consullock.Hold(context.Background(), key, func(ctx context.Context) error {
				return f(ctx, key)
			}, consullock.WithClient(client))
			wants(t, err, consullock.ErrLost)
			var why *consullock.Error
			if !errors.As(err, &why) || why.Reason != consullock.KeyGone {
				t.Errorf("%+v", why)
			}
		})
	}
}

func TestTheReleaseFindsALossWithoutANotice(t *testing.T) {
	key := newKey(t)
	wants(t, consullock.Hold(context.Background(), key, func(context.Context) error {
		consul(t, "DELETE", "kv/"+full(key), "")
		return nil
	}, consullock.WithMonitor(false)), consullock.ErrLost)
}

func TestTheEndOfTheCallersContextIsSeenInside(t *testing.T) {
	key, mine := newKey(t), errors.New("mine")
	ctx, cancel := context.WithCancelCause(context.Background())
	err := consullock.Hold(ctx, key, func(ctx context.Context) error {
		cancel(mine)
		<-ctx.Done()
		if context.Cause(ctx) != mine || !consullock.FromContext(ctx).IsHeld() {
			t.Error(context.Cause(ctx))
		}
		return ctx.Err()
	})
	if err != context.Canceled {
		t.Fatal(err)
	}
	free(t, key)
}

func TestAFunctionMayReleaseTheLock(t *testing.T) {
	key := newKey(t)
	must(t, consullock.Hold(context.Background(), key, func(ctx context.Context) error {
		return consullock.FromContext(ctx).Release()
	}))
}

func TestHoldRefusesNilBeforeTheAcquire(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key)
	for name, hold := range map[string]func() error{
		"by its key": func() error { return consullock.Hold(ctx, key, nil) },
		"of a lock":  func() error { return lock.Hold(ctx, nil) },
	} {
		err := hold()
		wants(t, err, consullock.ErrInvalidArgument)
		if !strings.Contains(err.Error(), "function is nil") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, held, err := consullock.WhoHolds(ctx, key); held || err != nil {
		t.Fatal(held, err)
	}
	must(t, lock.Acquire(ctx)) // the refusal did not use it up
	must(t, lock.Release())
}

// The cause of the context says the same as the library's error.
func TestALossHasTheWordsOfTheLibrary(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	err := consullock.Hold(ctx, key, func(ctx context.Context) error {
		lock := consullock.FromContext(ctx)
		takeAway(lock)
		var told *consullock.Error
		if !errors.As(lock.Check(context.Background()), &told) || told.Reason != consullock.KeyGone {
			t.Error(told)
		}
		_, words, _ := strings.Cut(told.Message, ": ") // after the address
		<-lock.Lost()
		<-ctx.Done()
		if cause := context.Cause(ctx).Error(); !strings.HasSuffix(cause, `": `+words) {
			t.Errorf("%s, and the library: %s", cause, words)
		}
		return nil
	})
	wants(t, err, consullock.ErrLost)
}
