package consullock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func ExampleHold() {
	err := consullock.Hold(context.Background(), "examples/report", func(ctx context.Context) error {
		fmt.Println("making the report")
		return nil
	})
	if errors.Is(err, consullock.ErrNotAcquired) {
		fmt.Println("another process makes it:", err)
	}
	// Output: making the report
}

// The function stops when the lock is lost.
func ExampleHold_lost() {
	err := consullock.Hold(context.Background(), "examples/lost", func(ctx context.Context) error {
		takeAway(consullock.FromContext(ctx)) // stands for an operator
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Minute):
			return nil
		}
	})
	var why *consullock.Error
	if errors.Is(err, consullock.ErrLost) && errors.As(err, &why) {
		fmt.Println("lost:", why.Reason)
	}
	// Output: lost: KEY_GONE
}

func ExampleNew() {
	ctx := context.Background()
	lock, err := consullock.New("examples/new", consullock.WithTTL(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Close() // releases the lock
	if err := lock.Acquire(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(lock.Key(), lock.IsHeld())
	// Output: locks/ephemeral/examples/new true
}

// The acquire waits for two seconds at most.
func ExampleLock_TryAcquire() {
	ctx := context.Background()
	first, _ := consullock.New("examples/try")
	defer first.Close()
	fmt.Println(first.TryAcquire(ctx))

	second, _ := consullock.New("examples/try", consullock.WithAcquireTimeout(2*time.Second))
	defer second.Close()
	fmt.Println(second.TryAcquire(ctx))
	// Output:
	// true <nil>
	// false <nil>
}

// The end of the context ends the wait.
func ExampleLock_Acquire() {
	first, _ := consullock.New("examples/acquire")
	defer first.Close()
	fmt.Println(first.Acquire(context.Background()))

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	second, _ := consullock.New("examples/acquire", consullock.WithWait())
	defer second.Close()
	err := second.Acquire(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, consullock.ErrNotAcquired))
	// Output:
	// <nil>
	// true false
}

// The holder sends its token with each write, and the database refuses a token smaller than the last one.
func ExampleLock_FencingToken() {
	var seen uint64 // UPDATE job SET result = ?, token = ? WHERE id = ? AND token <= ?
	for i := 0; i < 2; i++ {
		err := consullock.Hold(context.Background(), "examples/token", func(ctx context.Context) error {
			token := consullock.FromContext(ctx).FencingToken()
			fmt.Println(token > seen)
			seen = token
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// true
	// true
}

// A former holder cannot overwrite the result in Consul's KV store.
func ExampleLock_PutIfHeld() {
	err := consullock.Hold(context.Background(), "examples/put", func(ctx context.Context) error {
		lock := consullock.FromContext(ctx)
		if err := lock.PutIfHeld(ctx, "results/examples", []byte("42")); err != nil {
			return err
		}
		return lock.DeleteIfHeld(ctx, "results/examples")
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleWhoHolds() {
	ctx := context.Background()
	_, found, err := consullock.WhoHolds(ctx, "examples/who")
	fmt.Println(found, err)

	lock, _ := consullock.New("examples/who", consullock.WithValue([]byte("the nightly job")))
	defer lock.Close()
	if err := lock.Acquire(ctx); err != nil {
		log.Fatal(err)
	}
	holder, found, err := consullock.WhoHolds(ctx, "examples/who")
	fmt.Println(found, err, holder.Session == lock.SessionID(), string(holder.Value))
	// Output:
	// false <nil>
	// true <nil> true the nightly job
}

func ExampleError() {
	_, err := consullock.New("examples//error")
	var why *consullock.Error
	if errors.As(err, &why) {
		fmt.Println(why.Code.String(), why.Op, why.Key, why.Retryable)
	}
	// Output: INVALID_ARGUMENT new examples//error false
}

func ExampleNewClient() {
	client, err := consullock.NewClient(consullock.WithRequestTimeout(3 * time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	err = consullock.Hold(context.Background(), "examples/client", func(ctx context.Context) error {
		stats, err := client.Stats()
		fmt.Println("held:", stats.Held)
		return err
	}, consullock.WithClient(client))
	fmt.Println(err)
	// Output:
	// held: 1
	// <nil>
}

func ExampleSetValueGenerator() {
	consullock.SetValueGenerator(func() ([]byte, error) { return []byte("made at " + time.Now().String()), nil })
	defer consullock.SetValueGenerator(nil)
	err := consullock.Hold(context.Background(), "examples/value", func(ctx context.Context) error {
		holder, _, err := consullock.WhoHolds(ctx, "examples/value")
		fmt.Println(strings.HasPrefix(string(holder.Value), "made at "))
		return err
	})
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// At most three processes work at the same time, each under a number of its own.
func ExampleHold_limit() {
	err := consullock.Hold(context.Background(), "examples/limit", func(ctx context.Context) error {
		slot, ok := consullock.FromContext(ctx).Slot()
		fmt.Println(ok, 0 <= slot && slot <= 2)
		return nil
	}, consullock.WithLimit(3), consullock.WithWait())
	fmt.Println(err)
	// Output:
	// true true
	// <nil>
}

// Both accounts or none, in whatever order other processes name them.
func ExampleHoldAll() {
	accounts := []string{"examples/account/7", "examples/account/3"}
	err := consullock.HoldAll(context.Background(), accounts, func(ctx context.Context) error {
		fmt.Println(consullock.FromContext(ctx).Keys())
		return nil
	}, consullock.WithWait())
	fmt.Println(err)
	// Output:
	// [locks/ephemeral/examples/account/3 locks/ephemeral/examples/account/7]
	// <nil>
}

// A writer lets readers in as soon as it has written, and goes on as one of them.
func ExampleLock_Downgrade() {
	ctx := context.Background()
	err := consullock.Hold(ctx, "examples/downgrade", func(ctx context.Context) error {
		fmt.Println("writing")
		if err := consullock.FromContext(ctx).Downgrade(ctx); err != nil {
			return err
		}
		reader, err := consullock.New("examples/downgrade", consullock.WithShare())
		if err != nil {
			return err
		}
		defer reader.Close()
		fmt.Println(reader.TryAcquire(ctx))
		return nil
	})
	fmt.Println(err)
	// Output:
	// writing
	// true <nil>
	// <nil>
}

// What the holder has read stays true, because no other lock comes between.
func ExampleLock_Upgrade() {
	ctx := context.Background()
	err := consullock.Hold(ctx, "examples/upgrade", func(ctx context.Context) error {
		fmt.Println("reading")
		err := consullock.FromContext(ctx).Upgrade(ctx, 5*time.Second)
		if errors.Is(err, consullock.ErrNotAcquired) {
			return nil // release the share, take an exclusive lock, and read again
		}
		fmt.Println("writing")
		return err
	}, consullock.WithShare())
	fmt.Println(err)
	// Output:
	// reading
	// writing
	// <nil>
}

func ExampleObserve() {
	ctx, end := context.WithTimeout(context.Background(), time.Minute)
	defer end()
	seen, err := consullock.Observe(ctx, "examples/leader")
	if err != nil {
		log.Fatal(err)
	}
	leader, _ := consullock.New("examples/leader", consullock.WithValue([]byte("web-3")))
	defer leader.Close()
	for now := range seen {
		switch {
		case now.Err != nil:
			log.Fatal(now.Err)
		case now.Holder == nil:
			fmt.Println("there is no leader")
			if err := leader.Acquire(ctx); err != nil {
				log.Fatal(err)
			}
		default:
			fmt.Printf("the leader is %s\n", now.Holder.Value)
			end() // closes the channel
		}
	}
	// Output:
	// there is no leader
	// the leader is web-3
}

func ExampleHolders() {
	ctx := context.Background()
	lock, _ := consullock.New("examples/holders", consullock.WithLimit(3))
	defer lock.Close()
	if err := lock.Acquire(ctx); err != nil {
		log.Fatal(err)
	}
	state, err := consullock.Holders(ctx, "examples/holders")
	fmt.Println(err, state.Exclusive == nil, len(state.Line))
	for _, sharer := range state.Sharers {
		fmt.Println(sharer.Session == lock.SessionID(), sharer.Limit)
	}
	// Output:
	// <nil> true 0
	// true 3
}
