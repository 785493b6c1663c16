package consullock_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func observing(t testing.TB, client *consullock.Client, key string) <-chan consullock.Observation {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	news, err := client.Observe(ctx, key)
	must(t, err)
	return news
}

// next receives one observation.
func next(t testing.TB, news <-chan consullock.Observation) consullock.Observation {
	t.Helper()
	select {
	case seen, ok := <-news:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return seen
	case <-time.After(20 * time.Second):
		t.Fatal("no news")
	}
	panic("unreachable")
}

// isFree receives one observation, that no session holds the key.
func isFree(t testing.TB, news <-chan consullock.Observation) {
	t.Helper()
	if seen := next(t, news); seen.Holder != nil || seen.Err != nil {
		t.Fatalf("%+v", seen)
	}
}

func TestObserve(t *testing.T) {
	ctx, key, client := context.Background(), newKey(t), newClient(t)
	seen := observing(t, client, key)
	isFree(t, seen)
	if stats, err := client.Stats(); err != nil || stats.Observers != 1 {
		t.Error(stats, err)
	}
	for _, value := range []string{"one", "two"} {
		lock := newLock(t, key, consullock.WithValue([]byte(value)))
		must(t, lock.Acquire(ctx))
		now := next(t, seen)
		if now.Err != nil || now.Holder == nil || now.Holder.Session != lock.SessionID() ||
			string(now.Holder.Value) != value || now.Holder.FencingToken != lock.FencingToken() || now.Holder.Name != "" {
			t.Fatalf("%+v", now)
		}
		must(t, lock.Release())
		isFree(t, seen)
	}
	reader := newLock(t, key, consullock.WithShare())
	must(t, reader.Acquire(ctx))
	must(t, reader.Upgrade(ctx, 0))
	if now := next(t, seen); now.Holder == nil || now.Holder.Session != reader.SessionID() {
		t.Fatalf("%+v", now) // nothing was told of the share
	}
}

func TestTheEndOfTheContextClosesTheChannel(t *testing.T) {
	client, key := newClient(t), newKey(t)
	ctx, end := context.WithCancel(context.Background())
	news, err := client.Observe(ctx, key)
	must(t, err)
	must(t, client.Close()) // the observer keeps it alive
	isFree(t, news)
	end()
	quickly(t, "the end", func() {
		for range news {
		}
	})
	// A change after the end is no news, and disturbs nothing.
	must(t, newLock(t, key).Acquire(context.Background()))
	if seen, ok := <-news; ok {
		t.Errorf("%+v", seen)
	}
	_, err = client.Observe(context.Background(), key)
	wants(t, err, consullock.ErrClosed)
	_, err = consullock.Observe(ctx, key)
	wants(t, err, consullock.ErrCancelled)
	wants(t, err, context.Canceled)
	for _, wrong := range []string{"", "a//b", "a\x00b"} {
		_, err = consullock.Observe(context.Background(), wrong)
		wants(t, err, consullock.ErrInvalidArgument)
	}
}

// A program that does not receive skips states, and the last one is the present one.
func TestASlowReceiver(t *testing.T) {
	ctx, key, client := context.Background(), newKey(t), newClient(t)
	slow, quick := observing(t, client, key), observing(t, client, key)
	var last *consullock.Lock
	isFree(t, quick)
	for i := 0; i < 5; i++ {
		if last != nil {
			must(t, last.Release())
			isFree(t, quick)
		}
		last = newLock(t, key)
		must(t, last.Acquire(ctx))
		if now := next(t, quick); now.Holder == nil || now.Holder.Session != last.SessionID() {
			t.Fatalf("%+v", now)
		}
	}
	eventually(t, "the present state", func() bool {
		now := next(t, slow)
		return now.Holder != nil && now.Holder.Session == last.SessionID()
	})
}

func TestObservationsOfTrouble(t *testing.T) {
	stranger := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_ACL_ADDR")), consullock.WithToken("secret-of-a-test"))
	denied := next(t, observing(t, stranger, newKey(t)))
	wants(t, denied.Err, consullock.ErrDenied)
	if denied.Holder != nil || strings.Contains(denied.Err.Error(), "secret-of-a-test") {
		t.Errorf("%+v", denied)
	}
	// The end of an outage.
	gate, key := newGate(t), newKey(t)
	gate.shut.Store(true)
	news := observing(t, newClient(t, consullock.WithAddress(gate.address),
		consullock.WithRequestTimeout(500*time.Millisecond)), key)
	wants(t, next(t, news).Err, consullock.ErrUnavailable)
	gate.shut.Store(false)
	isFree(t, news)
}

// Observers that come and go leave no goroutine, thread or handle behind, also when news comes in at their end.
func TestManyObserversLeaveNothing(t *testing.T) {
	client, key := newClient(t), newKey(t)
	var over atomic.Bool
	changes := make(chan struct{})
	go func() {
		defer close(changes)
		for !over.Load() {
			err := consullock.Hold(context.Background(), key, func(ctx context.Context) error { return ctx.Err() })
			if err != nil {
				t.Error(err)
			}
		}
	}()
	round := func(n int) {
		for i := 0; i < n; i++ {
			ctx, end := context.WithCancel(context.Background())
			news, err := client.Observe(ctx, key)
			must(t, err)
			next(t, news)
			end()
			quickly(t, "the end", func() {
				for range news {
				}
			})
		}
	}
	round(50)
	before, goroutines := used(t), runtime.NumGoroutine()
	round(300)
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	if after := used(t); after.threads > before.threads+8 || after.descriptors > before.descriptors+8 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	over.Store(true)
	<-changes
}
