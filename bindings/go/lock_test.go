package consullock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func TestTheLifeOfALock(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key, consullock.WithTTL(time.Minute), consullock.WithValue([]byte("a value\x00 of bytes")))
	if lock.IsHeld() || lock.Remaining() != 0 || lock.FencingToken() != 0 || lock.SessionID() != "" ||
		lock.Key() != full(key) {
		t.Fatal("a new lock looks otherwise")
	}
	must(t, lock.Acquire(ctx))
	if left := lock.Remaining(); !lock.IsHeld() || left < 40*time.Second || left > time.Minute {
		t.Fatalf("it is held, for %v", left)
	}
	stored := entry(t, full(key))
	if stored == nil || stored.Session != lock.SessionID() || stored.Value != "a value\x00 of bytes" {
		t.Fatalf("Consul has %+v", stored)
	}
	must(t, lock.Renew(ctx))
	must(t, lock.Check(ctx))
	must(t, lock.PutIfHeld(ctx, key+"-data", []byte("some text")))
	if data := entry(t, key+"-data"); data == nil || data.Value != "some text" {
		t.Fatalf("Consul has %+v", data)
	}
	must(t, lock.DeleteIfHeld(ctx, key+"-data"))
	if data := entry(t, key+"-data"); data != nil {
		t.Fatalf("Consul has %+v", data)
	}
	wants(t, lock.PutIfHeld(ctx, "a\x00b", nil), consullock.ErrInvalidArgument)
	wants(t, lock.DeleteIfHeld(ctx, "a\x00b"), consullock.ErrInvalidArgument)
	token, session := lock.FencingToken(), lock.SessionID()
	must(t, lock.Release())
	if entry(t, full(key)) != nil {
		t.Fatal("the key is still there")
	}
	wants(t, lock.Release(), consullock.ErrNotHeld)
	wants(t, lock.Renew(ctx), consullock.ErrNotHeld)
	wants(t, lock.Acquire(ctx), consullock.ErrAlreadyUsed)
	must(t, lock.Close())
	must(t, lock.Close())
	if lock.FencingToken() != token || token == 0 || lock.SessionID() != session || lock.Key() != full(key) ||
		lock.IsHeld() {
		t.Fatal("a closed lock has lost its key, token or session")
	}
}

func TestAClosedLock(t *testing.T) {
	ctx := context.Background()
	lock := newLock(t, newKey(t))
	must(t, lock.Close())
	for what, err := range map[string]error{
		"acquire": lock.Acquire(ctx), "release": lock.Release(), "renew": lock.Renew(ctx), "check": lock.Check(ctx),
		"put": lock.PutIfHeld(ctx, "x", nil), "delete": lock.DeleteIfHeld(ctx, "x"),
	} {
		if !errors.Is(err, consullock.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	lock.Cancel()
	lock.Abandon()
	select {
	case <-lock.Lost():
		t.Error("it is not lost")
	default:
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	ctx := context.Background()
	var lock consullock.Lock
	wants(t, lock.Acquire(ctx), consullock.ErrClosed)
	wants(t, lock.Release(), consullock.ErrClosed)
	must(t, lock.Close())
	// A zero client is not the default client.
	var client consullock.Client
	_, _, err := client.WhoHolds(ctx, newKey(t))
	wants(t, err, consullock.ErrClosed)
	_, err = client.Stats()
	wants(t, err, consullock.ErrClosed)
	wants(t, consullock.SetDefaultClient(&client), consullock.ErrClosed)
	_, err = consullock.New("a", consullock.WithClient(&client))
	wants(t, err, consullock.ErrClosed)
	must(t, client.Close())
}

func TestAnotherSessionHoldsTheLock(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	must(t, newLock(t, key).Acquire(ctx))

	err := newLock(t, key).Acquire(ctx)
	wants(t, err, consullock.ErrNotAcquired)
	var why *consullock.Error
	if !errors.As(err, &why) || why.Op != "acquire" || why.Key != key || !why.Retryable ||
		why.Code != consullock.ErrNotAcquired || !strings.Contains(why.Message, "this very process") {
		t.Fatalf("%+v", why)
	}
	if errors.Is(err, consullock.ErrLost) {
		t.Fatal("it is no other error")
	}

	got, err := newLock(t, key).TryAcquire(ctx)
	if got || err != nil {
		t.Fatal(got, err)
	}
	dead := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_DEAD_ADDR")),
		consullock.WithRequestTimeout(300*time.Millisecond))
	got, err = newLock(t, key, consullock.WithClient(dead)).TryAcquire(ctx)
	wants(t, err, consullock.ErrUnavailable)
	if got {
		t.Fatal(got)
	}
	stranger := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_ACL_ADDR")),
		consullock.WithToken("secret-of-a-test"))
	err = newLock(t, key, consullock.WithClient(stranger)).Acquire(ctx)
	wants(t, err, consullock.ErrDenied)
	if !errors.As(err, &why) || why.HTTPStatus != 403 || why.Retryable ||
		strings.Contains(fmt.Sprintf("%v %+v", err, why), "secret-of-a-test") {
		t.Fatalf("%+v", why)
	}
}

// There are more waiters than may block a thread, so that some block and the others are started.
const manyWaiters = 24

func TestTheEndOfTheContextEndsAWait(t *testing.T) {
	mine := errors.New("my own cause")
	ends := map[string]func() (context.Context, func()){
		"cancel": func() (context.Context, func()) { return context.WithCancel(context.Background()) },
		"cause": func() (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			return ctx, func() { cancel(mine) }
		},
		"deadline": func() (context.Context, func()) {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			t.Cleanup(cancel)
			return ctx, func() { <-ctx.Done() }
		},
	}
	for name, begin := range ends {
		t.Run(name, func(t *testing.T) {
			key := newKey(t)
			holder := newLock(t, key)
			must(t, holder.Acquire(context.Background()))
			ctx, end := begin()
			errs := make(chan error, manyWaiters)
			client := newClient(t)
			for i := 0; i < manyWaiters; i++ {
				lock := newLock(t, key, consullock.WithWait(), consullock.WithClient(client))
				go func() { errs <- lock.Acquire(ctx) }()
			}
			eventually(t, "all wait", func() bool {
				stats, err := client.Stats()
				must(t, err)
				return stats.Waiting == manyWaiters || ctx.Err() != nil
			})
			end()
			quickly(t, "the wait", func() {
				for i := 0; i < manyWaiters; i++ {
					err := <-errs
					if !errors.Is(err, ctx.Err()) || !errors.Is(err, context.Cause(ctx)) ||
						!errors.Is(err, consullock.ErrCancelled) || errors.Is(err, consullock.ErrNotAcquired) {
						t.Errorf("ended with %v", err)
					}
					if said := err.Error(); !strings.Contains(said, full(key)) ||
						!strings.Contains(said, os.Getenv("CONSUL_HTTP_ADDR")) {
						t.Errorf("where? %s", said)
					}
				}
			})
			must(t, holder.Release())
			nothingIsLeft(t, key)
		})
	}
}

func TestTheEarlierOfContextAndTimeoutWins(t *testing.T) {
	key := newKey(t)
	must(t, newLock(t, key).Acquire(context.Background()))
	long, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := newLock(t, key, consullock.WithAcquireTimeout(600*time.Millisecond)).Acquire(long)
	wants(t, err, consullock.ErrNotAcquired)
	short, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
	defer cancel()
	err = newLock(t, key, consullock.WithAcquireTimeout(time.Minute)).Acquire(short)
	wants(t, err, context.DeadlineExceeded)
	if errors.Is(err, consullock.ErrNotAcquired) {
		t.Fatal(err)
	}
}

func TestAContextThatHasEndedChangesNothing(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	key := newKey(t)
	lock := newLock(t, key)
	wants(t, lock.Acquire(ended), context.Canceled)
	if entry(t, full(key)) != nil {
		t.Fatal("something was sent")
	}
	must(t, lock.Acquire(context.Background()))
	for what, err := range map[string]error{
		"renew": lock.Renew(ended), "check": lock.Check(ended), "put": lock.PutIfHeld(ended, "x", nil),
		"delete": lock.DeleteIfHeld(ended, "x"),
	} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, consullock.ErrUnconfirmed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, _, err := consullock.WhoHolds(ended, key)
	wants(t, err, context.Canceled)
	if !lock.IsHeld() {
		t.Error("it is held no more")
	}
}

// The context ends during an acquire: the lock is held, or the acquire is undone.
func TestAnAcquireThatWonTheRaceIsUndone(t *testing.T) {
	key := newKey(t)
	won, ended, turn := 0, 0, time.Millisecond // how long an acquire takes: looked for until both come
	for i := 0; i < 300; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		lock := newLock(t, key, consullock.WithAcquireTimeout(10*time.Second))
		began, after := time.Now(), time.Duration(rand.Int63n(2*int64(turn)))
		go func() {
			for time.Since(began) < after { // a sleep is not exact enough
				runtime.Gosched()
			}
			cancel()
		}()
		switch err := lock.Acquire(ctx); {
		case err == nil:
			won++
			turn = time.Since(began)
			must(t, lock.Release())
		case errors.Is(err, context.Canceled):
			ended++
			turn += turn / 8
		default:
			t.Fatal(err)
		}
		<-ctx.Done()
	}
	if won == 0 || ended == 0 {
		t.Fatalf("%d won and %d ended: the race was not run", won, ended)
	}
	nothingIsLeft(t, key)
	must(t, newLock(t, key).Acquire(context.Background()))
}

// The acquire succeeds, and its context ends before it returns.
func TestALockAcquiredTooLateIsReleased(t *testing.T) {
	key, late := newKey(t), 0
	for i := 0; i < 3000 && late < 3; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		lock := newLock(t, key, consullock.WithAcquireTimeout(20*time.Second))
		go func() {
			for !lock.IsHeld() && lock.FencingToken() == 0 {
				runtime.Gosched()
			}
			cancel()
		}()
		err := lock.Acquire(ctx)
		if err == nil {
			must(t, lock.Release())
			continue
		}
		wants(t, err, context.Canceled)
		if lock.FencingToken() == 0 {
			t.Fatal("it was never held")
		}
		// The release has begun, so that a Shutdown waits for it.
		if lock.IsHeld() {
			t.Fatal("it is held still")
		}
		must(t, consullock.Shutdown(context.Background()))
		if entry(t, full(key)) != nil {
			t.Fatal("the shutdown did not wait for it")
		}
		late++
	}
	if late == 0 {
		t.Fatal("it never happened")
	}
	nothingIsLeft(t, key)
}

func TestCancel(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	holder := newLock(t, key)
	must(t, holder.Acquire(ctx))
	holder.Cancel()
	must(t, holder.Check(ctx))

	waiter := newLock(t, key, consullock.WithWait())
	got := make(chan error)
	go func() { got <- waiter.Acquire(ctx) }()
	time.Sleep(100 * time.Millisecond)
	waiter.Cancel()
	quickly(t, "the wait", func() {
		err := <-got
		wants(t, err, consullock.ErrCancelled)
		if errors.Is(err, context.Canceled) {
			t.Error("no context has ended")
		}
	})
	early := newLock(t, key)
	early.Cancel()
	wants(t, early.Acquire(ctx), consullock.ErrCancelled)
}

func TestAReleaseEndsAPendingAcquire(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	must(t, newLock(t, key).Acquire(ctx))
	for name, end := range map[string]func(*consullock.Lock) error{
		"release": (*consullock.Lock).Release, "close": (*consullock.Lock).Close,
		"abandon": func(lock *consullock.Lock) error {
			lock.Abandon()
			return nil
		},
	} {
		client := newClient(t)
		waiter := newLock(t, key, consullock.WithWait(), consullock.WithClient(client))
		got := make(chan error)
		go func() { got <- waiter.Acquire(ctx) }()
		eventually(t, "it waits", func() bool {
			stats, err := client.Stats()
			must(t, err)
			return stats.Waiting == 1
		})
		quickly(t, name, func() {
			if err := end(waiter); err != nil && !errors.Is(err, consullock.ErrNotHeld) {
				t.Error(err)
			}
			wants(t, <-got, consullock.ErrCancelled)
		})
	}
}

// The end of a second call's context does not end the first call.
func TestASecondAcquireNeverEndsTheFirst(t *testing.T) {
	key, client := newKey(t), newClient(t)
	holder := newLock(t, key)
	must(t, holder.Acquire(context.Background()))
	lock := newLock(t, key, consullock.WithWait(), consullock.WithClient(client))
	got := make(chan error)
	go func() { got <- lock.Acquire(context.Background()) }()
	eventually(t, "it waits", func() bool {
		stats, err := client.Stats()
		must(t, err)
		return stats.Waiting == 1
	})
	for i := 0; i < 300; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if err := lock.Acquire(ctx); !errors.Is(err, consullock.ErrAlreadyUsed) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	must(t, holder.Release())
	must(t, <-got)
	wants(t, lock.Acquire(context.Background()), consullock.ErrAlreadyUsed)
}

func TestAbandon(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key)
	must(t, lock.Acquire(ctx))
	lock.Abandon()
	lock.Abandon()
	must(t, lock.Close())
	stored := entry(t, full(key))
	if stored == nil || stored.Session != lock.SessionID() {
		t.Fatalf("Consul has %+v", stored)
	}
	consul(t, "PUT", "session/destroy/"+stored.Session, "")
}

// Many goroutines call all methods of one lock, and one of them is Close.
func TestCloseRacesWithEverything(t *testing.T) {
	for i := 0; i < 60; i++ {
		key := newKey(t)
		lock, err := consullock.New(key, consullock.WithAcquireTimeout(2*time.Second))
		must(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		if i%2 == 0 {
			must(t, lock.Acquire(ctx))
		}
		calls := []func(){
			func() { lock.Acquire(ctx) }, func() { lock.Renew(ctx) }, func() { lock.Check(ctx) }, func() { lock.Release() },
			func() { lock.PutIfHeld(ctx, key+"-data", []byte("x")) }, func() { lock.DeleteIfHeld(ctx, key+"-data") },
			func() { lock.Cancel() }, func() { lock.IsHeld() }, func() { lock.Remaining() }, func() { lock.FencingToken() },
			func() { lock.Key() }, func() { lock.SessionID() }, func() { lock.Lost() }, func() { lock.LostReason() },
			func() { lock.Close() }, func() { lock.Close() },
		}
		var all sync.WaitGroup
		for _, call := range calls {
			all.Add(1)
			go func(call func()) {
				defer all.Done()
				time.Sleep(time.Duration(rand.Intn(800)) * time.Microsecond)
				call()
			}(call)
		}
		quickly(t, "a race", all.Wait)
		cancel()
		if lock.Key() != full(key) {
			t.Fatal("the key is gone")
		}
		eventually(t, "it is released", func() bool { return entry(t, full(key)) == nil })
		consul(t, "DELETE", "kv/"+key+"-data", "")
	}
}

func TestConsulFallsSilent(t *testing.T) {
	g := newGate(t)
	client := newClient(t, consullock.WithAddress(g.address), consullock.WithReleaseTimeout(400*time.Millisecond))
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key, consullock.WithClient(client))
	must(t, lock.Acquire(ctx))
	g.shut.Store(true)

	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	quickly(t, "calls with a context", func() {
		wants(t, lock.Renew(short), context.DeadlineExceeded)
		again, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		err := lock.PutIfHeld(again, key+"-data", []byte("x"))
		wants(t, err, context.DeadlineExceeded)
		wants(t, err, consullock.ErrUnconfirmed)
		last, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, _, err = client.WhoHolds(last, key)
		wants(t, err, context.DeadlineExceeded)
	})
	if !lock.IsHeld() {
		t.Fatal("it is held")
	}
	wants(t, lock.Release(), consullock.ErrUnconfirmed)
	g.shut.Store(false)
	eventually(t, "the library releases it", func() bool { return entry(t, full(key)) == nil })
	eventually(t, "the guarded write is over", func() bool {
		consul(t, "DELETE", "kv/"+key+"-data", "")
		return true
	})

	other := newLock(t, key, consullock.WithClient(client))
	must(t, other.Acquire(ctx))
	g.shut.Store(true)
	wants(t, other.Close(), consullock.ErrUnconfirmed)
	g.shut.Store(false)
	eventually(t, "the library releases it", func() bool { return entry(t, full(key)) == nil })
}

func TestLost(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	client := newClient(t)
	lock := newLock(t, key, consullock.WithClient(client))
	lost := lock.Lost()
	must(t, lock.Acquire(ctx))
	time.Sleep(1300 * time.Millisecond) // the library watches a lock from one second on
	select {
	case <-lost:
		t.Fatal("it is not lost")
	default:
	}
	if lock.LostReason() != 0 {
		t.Fatal(lock.LostReason())
	}
	consul(t, "DELETE", "kv/"+full(key), "")
	quickly(t, "the notice", func() { <-lost })
	if lock.LostReason() != consullock.KeyGone || lock.IsHeld() {
		t.Fatal(lock.LostReason(), lock.IsHeld())
	}
	err := lock.Release()
	wants(t, err, consullock.ErrLost)
	var why *consullock.Error
	if !errors.As(err, &why) || why.Reason != consullock.KeyGone {
		t.Fatalf("%+v", why)
	}
	wants(t, lock.Release(), consullock.ErrNotHeld)
}

func TestLostIsClosedForALockThatIsLostAlready(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key, consullock.WithMonitor(false))
	must(t, lock.Acquire(ctx))
	consul(t, "PUT", "session/destroy/"+lock.SessionID(), "")
	wants(t, lock.Renew(ctx), consullock.ErrLost)
	quickly(t, "the notice", func() { <-lock.Lost() })
	if lock.LostReason() != consullock.SessionGone {
		t.Fatal(lock.LostReason())
	}
	wants(t, lock.Close(), consullock.ErrLost)
}
