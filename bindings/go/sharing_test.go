package consullock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// shares are the full keys of the rows of those who share a key.
func shares(t testing.TB, key string) []string {
	t.Helper()
	var rows []string
	if text := consul(t, "GET", "kv/"+full(key)+"/.share/?keys", ""); text != "" {
		must(t, json.Unmarshal([]byte(text), &rows))
	}
	return rows
}

func TestReadersAndWriters(t *testing.T) {
	key := newKey(t)
	var readers, writers, most atomic.Int32
	var all sync.WaitGroup
	enter := func(inside *atomic.Int32, opts ...consullock.Option) {
		defer all.Done()
		for i := 0; i < 5; i++ {
			err := consullock.Hold(context.Background(), key, func(ctx context.Context) error {
				n := inside.Add(1)
				defer inside.Add(-1)
				for seen := most.Load(); inside == &readers && n > seen; seen = most.Load() {
					most.CompareAndSwap(seen, n)
				}
				time.Sleep(5 * time.Millisecond)
				if w, r := writers.Load(), readers.Load(); w > 1 || w == 1 && r > 0 {
					return fmt.Errorf("%d writers and %d readers", w, r)
				}
				return ctx.Err()
			}, append(opts, consullock.WithWait())...)
			if err != nil {
				t.Error(err)
			}
		}
	}
	clients := []*consullock.Client{newClient(t), newClient(t), newClient(t)}
	for i := 0; i < 9; i++ {
		of := consullock.WithClient(clients[i%3])
		all.Add(1)
		if i < 3 {
			go enter(&writers, of)
		} else {
			go enter(&readers, of, consullock.WithShare())
		}
	}
	quickly(t, "a crowd of readers and writers", all.Wait)
	if most.Load() < 2 {
		t.Error("no two readers were together")
	}
	nothingIsLeft(t, key)
}

func TestSlots(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	three := []consullock.Option{consullock.WithShare(), consullock.WithLimit(3)}
	var seen []int
	var holders []*consullock.Lock
	for i := 0; i < 3; i++ {
		lock := newLock(t, key, three...)
		if slot, ok := lock.Slot(); ok || slot != 0 {
			t.Error(slot)
		}
		must(t, lock.Acquire(ctx))
		slot, ok := lock.Slot()
		if !ok {
			t.Error("no slot")
		}
		seen, holders = append(seen, slot), append(holders, lock)
	}
	sorted := slices.Clone(seen)
	slices.Sort(sorted)
	if !slices.Equal(sorted, []int{0, 1, 2}) {
		t.Error(seen)
	}
	wants(t, newLock(t, key, three...).Acquire(ctx), consullock.ErrNotAcquired)
	if got, err := newLock(t, key, three...).TryAcquire(ctx); got || err != nil {
		t.Error(got, err)
	}
	// The slot stays when the lock is over, and when it is closed.
	must(t, holders[1].Release())
	if slot, ok := holders[1].Slot(); !ok || slot != seen[1] {
		t.Error(slot, ok)
	}
	must(t, holders[2].Close())
	if slot, ok := holders[2].Slot(); !ok || slot != seen[2] {
		t.Error(slot, ok)
	}
	exclusive := newLock(t, newKey(t), consullock.WithOption("mode", "exclusive"), consullock.WithLimit(3))
	must(t, exclusive.Acquire(ctx))
	for _, without := range []*consullock.Lock{exclusive, {}} {
		if slot, ok := without.Slot(); ok {
			t.Error(slot)
		}
	}
}

func TestAnotherLimitIsAConflict(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	must(t, newLock(t, key, consullock.WithShare(), consullock.WithLimit(3)).Acquire(ctx))
	got, err := newLock(t, key, consullock.WithShare(), consullock.WithLimit(5)).TryAcquire(ctx)
	var why *consullock.Error
	if got || !errors.As(err, &why) || why.Code != consullock.ErrConflict || why.Retryable ||
		!strings.Contains(err.Error(), "at most 3") || !strings.Contains(err.Error(), "at most 5") {
		t.Fatal(got, err)
	}
	wants(t, err, consullock.ErrConflict)
}

func TestTheOptionsOfSharingAreNamedAsTheCallerWroteThem(t *testing.T) {
	for wanted, opts := range map[string][]consullock.Option{
		"WithLimit: must be 1 to 1024, is 0":              {consullock.WithShare(), consullock.WithLimit(0)},
		"WithLimit: must be 1 to 1024, is 1025":           {consullock.WithShare(), consullock.WithLimit(1025)},
		"WithLimit: must be 1 to 1024, is -1":             {consullock.WithLimit(-1)},
		"option limit: must be 1 to 1024, is 0":           {consullock.WithOption("limit", "0")},
		`option mode: "reader" is not exclusive or share`: {consullock.WithOption("mode", "reader")},
	} {
		_, err := consullock.New("x", opts...)
		wants(t, err, consullock.ErrInvalidOption)
		if !strings.Contains(err.Error(), wanted) {
			t.Errorf("%v, not %s", err, wanted)
		}
	}
	_, err := consullock.NewAll([]string{"x", "y"}, consullock.WithShare())
	wants(t, err, consullock.ErrInvalidOption)
	if !strings.Contains(err.Error(), "WithShare: ") {
		t.Error(err)
	}
}

func TestDowngradeAndUpgrade(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock := newLock(t, key, consullock.WithOption("mode", "exclusive"), consullock.WithLimit(2))
	wants(t, lock.Downgrade(ctx), consullock.ErrNotHeld)
	wants(t, lock.Upgrade(ctx, 0), consullock.ErrNotHeld)
	must(t, lock.Acquire(ctx))
	wants(t, lock.Upgrade(ctx, 0), consullock.ErrInvalidArgument)
	tokens := []uint64{lock.FencingToken()}
	must(t, lock.Downgrade(ctx))
	tokens = append(tokens, lock.FencingToken())
	if slot, ok := lock.Slot(); !ok || slot > 1 || entry(t, full(key)) != nil || len(shares(t, key)) != 1 {
		t.Error(slot, ok)
	}
	wants(t, lock.Downgrade(ctx), consullock.ErrInvalidArgument)
	must(t, lock.Upgrade(ctx, time.Second))
	tokens = append(tokens, lock.FencingToken())
	if _, ok := lock.Slot(); ok || entry(t, full(key)) == nil || len(shares(t, key)) != 0 {
		t.Error("it is not exclusive")
	}
	if tokens[0] >= tokens[1] || tokens[1] >= tokens[2] {
		t.Error(tokens)
	}
	must(t, lock.Close())
	wants(t, lock.Downgrade(ctx), consullock.ErrClosed)
	wants(t, lock.Upgrade(ctx, 0), consullock.ErrClosed)
	wants(t, new(consullock.Lock).Upgrade(ctx, 0), consullock.ErrClosed)
	nothingIsLeft(t, key)
}

func TestAnUpgradeThatOthersPrevent(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	lock, other := newLock(t, key, consullock.WithShare()), newLock(t, key, consullock.WithShare())
	must(t, lock.Acquire(ctx))
	must(t, other.Acquire(ctx))
	still := func() {
		t.Helper()
		must(t, lock.Check(ctx))
		if len(shares(t, key)) != 2 || entry(t, full(key)) != nil {
			t.Error(shares(t, key))
		}
	}
	wants(t, lock.Upgrade(ctx, 0), consullock.ErrNotAcquired)
	still()
	began := time.Now()
	wants(t, lock.Upgrade(ctx, 300*time.Millisecond+time.Nanosecond), consullock.ErrNotAcquired)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Error(took)
	}
	still()
	for _, wrong := range []time.Duration{-2, -time.Second, 25 * time.Hour, 1 << 62} {
		wants(t, lock.Upgrade(ctx, wrong), consullock.ErrInvalidArgument)
	}

	// The end of the context, and its cause. Each later upgrade goes on from a share.
	mine := errors.New("mine")
	for i := 0; i < 3; i++ {
		short, end := context.WithCancelCause(ctx)
		time.AfterFunc(100*time.Millisecond, func() { end(mine) })
		err := lock.Upgrade(short, consullock.NoTimeout)
		for _, wanted := range []error{consullock.ErrCancelled, context.Canceled, mine} {
			wants(t, err, wanted)
		}
		still()
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	wants(t, lock.Upgrade(ended, consullock.NoTimeout), context.Canceled)
	wants(t, lock.Downgrade(ended), context.Canceled)
	still()

	// Cancel does not concern a later upgrade.
	done := make(chan error)
	upgrade := func() { done <- lock.Upgrade(ctx, consullock.NoTimeout) }
	go upgrade()
	eventually(t, "the upgrade has the key", func() bool { return entry(t, full(key)) != nil })
	wants(t, other.Upgrade(ctx, consullock.NoTimeout), consullock.ErrNotAcquired) // the second of two
	must(t, other.Check(ctx))
	lock.Cancel()
	wants(t, <-done, consullock.ErrCancelled)
	still()
	go upgrade()
	eventually(t, "the upgrade has the key", func() bool { return entry(t, full(key)) != nil })
	must(t, other.Release())
	quickly(t, "the upgrade", func() { must(t, <-done) })
	must(t, lock.Release())
	nothingIsLeft(t, key)
}

// A close, a release and the end of the process's interest end an upgrade that waits.
func TestACloseEndsAnUpgrade(t *testing.T) {
	for name, end := range map[string]func(*consullock.Lock) error{
		"close": (*consullock.Lock).Close, "release": (*consullock.Lock).Release,
		"abandon": func(lock *consullock.Lock) error { lock.Abandon(); return nil },
	} {
		ctx, key := context.Background(), newKey(t)
		lock, other := newLock(t, key, consullock.WithShare()), newLock(t, key, consullock.WithShare())
		must(t, lock.Acquire(ctx))
		must(t, other.Acquire(ctx))
		done := make(chan error)
		go func() { done <- lock.Upgrade(ctx, consullock.NoTimeout) }()
		eventually(t, "the upgrade has the key", func() bool { return entry(t, full(key)) != nil })
		must(t, end(lock))
		quickly(t, name, func() {
			if err := <-done; err == nil {
				t.Errorf("%s: it was upgraded", name)
			}
		})
	}
}

func TestSeveralKeys(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	keys := []string{key + "-b", key + "-a", key + "-b"}
	lock, err := consullock.NewAll(keys, consullock.WithValue([]byte("mine")))
	must(t, err)
	wanted := []string{full(key + "-a"), full(key + "-b")}
	if !reflect.DeepEqual(lock.Keys(), wanted) || lock.Key() != wanted[0] {
		t.Error(lock.Keys(), lock.Key())
	}
	must(t, lock.Acquire(ctx))
	for _, one := range wanted {
		if found := entry(t, one); found == nil || found.Session != lock.SessionID() || found.Value != "mine" {
			t.Errorf("%+v", found)
		}
	}
	err = newLock(t, key+"-b").Acquire(ctx)
	wants(t, err, consullock.ErrNotAcquired)
	other, err := consullock.NewAll([]string{key + "-c", key + "-b"})
	must(t, err)
	defer other.Close()
	err = other.Acquire(ctx)
	wants(t, err, consullock.ErrNotAcquired)
	var why *consullock.Error
	if errors.As(err, &why); why.Key != key+"-c, "+key+"-b" || entry(t, full(key+"-c")) != nil {
		t.Errorf("%+v", why)
	}
	must(t, lock.Close())
	if !reflect.DeepEqual(lock.Keys(), wanted) {
		t.Error(lock.Keys())
	}
	for _, one := range wanted {
		if entry(t, one) != nil {
			t.Error("it was not released")
		}
	}
	if keys := new(consullock.Lock).Keys(); len(keys) != 0 {
		t.Error(keys)
	}
}

func TestAWrongNumberOfKeysIsRefused(t *testing.T) {
	var many []string
	for i := 0; i < 31; i++ {
		many = append(many, fmt.Sprintf("%s-%d", newKey(t), i))
	}
	for _, keys := range [][]string{nil, {}, many, {""}, {"x", "a//b"}, {"x", "a\x00b"}} {
		_, err := consullock.NewAll(keys)
		wants(t, err, consullock.ErrInvalidArgument)
		never := func(context.Context) error { panic("it ran") }
		wants(t, consullock.HoldAll(context.Background(), keys, never), consullock.ErrInvalidArgument)
	}
	_, err := consullock.NewAll(many[:30], consullock.WithValue(make([]byte, 100_000)))
	wants(t, err, consullock.ErrInvalidArgument)
	must(t, consullock.HoldAll(context.Background(), many[:30], func(ctx context.Context) error { return ctx.Err() }))
	wants(t, consullock.HoldAll(context.Background(), many[:2], nil), consullock.ErrInvalidArgument)
}

func TestHoldAll(t *testing.T) {
	key := newKey(t)
	keys, mine := []string{key + "-1", key + "-2"}, errors.New("mine")
	err := consullock.HoldAll(context.Background(), keys, func(ctx context.Context) error {
		lock := consullock.FromContext(ctx)
		keys[0] = "changed by the caller"
		if lock.Key() != full(key+"-1") || entry(t, full(key+"-2")) == nil {
			t.Error(lock.Keys())
		}
		return mine
	}, consullock.WithWait())
	wants(t, err, mine)
	free(t, key+"-1")
	free(t, key+"-2")
}

// Goroutines that take two keys in all orders, some of them one key alone.
func TestSeveralKeysNeverDeadlock(t *testing.T) {
	key := newKey(t)
	var inside [3]atomic.Int32
	var all sync.WaitGroup
	clients := []*consullock.Client{newClient(t), newClient(t)}
	for i := 0; i < 9; i++ {
		numbers := []int{i % 3, (i + 1 + i/3) % 3}
		var keys []string
		for _, number := range numbers {
			keys = append(keys, fmt.Sprintf("%s-%d", key, number))
		}
		all.Add(1)
		go func(client *consullock.Client) {
			defer all.Done()
			for turn := 0; turn < 3; turn++ {
				err := consullock.HoldAll(context.Background(), keys, func(ctx context.Context) error {
					slices.Sort(numbers)
					for _, number := range slices.Compact(slices.Clone(numbers)) {
						if inside[number].Add(1) != 1 {
							t.Error("it is not alone")
						}
						defer inside[number].Add(-1)
					}
					time.Sleep(5 * time.Millisecond)
					return ctx.Err()
				}, consullock.WithWait(), consullock.WithClient(client))
				if err != nil {
					t.Error(err)
				}
			}
		}(clients[i%2])
	}
	quickly(t, "a crowd with several keys", all.Wait)
}

// A share is lost when its row is gone: Lost is closed, the context of Hold ends, and a guarded write is refused.
func TestALostShare(t *testing.T) {
	key := newKey(t)
	err := consullock.Hold(context.Background(), key, func(ctx context.Context) error {
		lock := consullock.FromContext(ctx)
		must(t, lock.PutIfHeld(ctx, key+"-data", []byte("first")))
		time.Sleep(1300 * time.Millisecond) // the library watches a lock from one second on
		consul(t, "DELETE", "kv/"+shares(t, key)[0], "")
		quickly(t, "the notice", func() { <-ctx.Done() })
		wants(t, context.Cause(ctx), consullock.ErrLost)
		if lock.LostReason() != consullock.KeyGone || lock.IsHeld() {
			t.Error(lock.LostReason())
		}
		wants(t, lock.PutIfHeld(context.Background(), key+"-data", []byte("second")), consullock.ErrLost)
		if found := entry(t, key+"-data"); found.Value != "first" {
			t.Error(found)
		}
		return nil
	}, consullock.WithShare(), consullock.WithClient(newClient(t)))
	wants(t, err, consullock.ErrLost)
	consul(t, "DELETE", "kv/"+key+"-data", "")
}

func TestHolders(t *testing.T) {
	ctx, key, client := context.Background(), newKey(t), newClient(t)
	type ask func(context.Context, string) (consullock.KeyState, error)
	for _, ask := range []ask{consullock.Holders, client.Holders} {
		state, err := ask(ctx, key)
		if err != nil || !reflect.DeepEqual(state, consullock.KeyState{Key: full(key)}) {
			t.Fatal(state, err)
		}
	}
	lock := newLock(t, key, consullock.WithValue([]byte("a\x00b")))
	must(t, lock.Acquire(ctx))
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 2)
	several, err := consullock.NewAll([]string{key, key + "-more"}, consullock.WithWait())
	must(t, err)
	defer several.Close()
	for _, waiter := range []*consullock.Lock{newLock(t, key, consullock.WithShare(), consullock.WithLimit(4),
		consullock.WithWait(), consullock.WithClient(client)), several} {
		before := len(done)
		go func() { done <- waiter.Acquire(waiting) }()
		eventually(t, "one more waits", func() bool {
			state, err := client.Holders(ctx, key)
			must(t, err)
			return len(state.Line) > before
		})
	}
	eventually(t, "two wait", func() bool {
		state, err := client.Holders(ctx, key)
		must(t, err)
		return len(state.Line) == 2
	})
	state, err := consullock.Holders(ctx, key)
	must(t, err)
	held := state.Exclusive
	if held == nil || held.Session != lock.SessionID() || !strings.HasPrefix(held.Name, "consul_lock ") ||
		held.Node != "node" || string(held.Value) != "a\x00b" || held.FencingToken != lock.FencingToken() ||
		!held.Since.IsZero() || held.TTL <= 0 || len(state.Sharers) != 0 {
		t.Fatalf("%+v", state)
	}
	for i, one := range state.Line {
		if one.Session == "" || !strings.HasPrefix(one.Name, "consul_lock ") || one.Node != "node" || one.TTL <= 0 {
			t.Errorf("%d: %+v", i, one)
		}
	}
	first, second := state.Line[0], state.Line[1]
	if !first.Shares || first.Limit != 4 || len(first.Keys) != 0 || second.Shares || second.Limit != 0 ||
		!slices.Equal(second.Keys, several.Keys()) {
		t.Errorf("%+v", state.Line)
	}
	cancel()
	for i := 0; i < 2; i++ {
		wants(t, <-done, consullock.ErrCancelled)
	}
	must(t, lock.Release())

	before := time.Now()
	readers := []*consullock.Lock{newLock(t, key, consullock.WithShare()), newLock(t, key, consullock.WithShare())}
	for _, reader := range readers {
		must(t, reader.Acquire(ctx))
	}
	state, err = client.Holders(ctx, key)
	must(t, err)
	if len(state.Sharers) != 2 || state.Exclusive != nil || len(state.Line) != 0 {
		t.Fatalf("%+v", state)
	}
	for _, sharer := range state.Sharers {
		isOurs := slices.ContainsFunc(readers, func(reader *consullock.Lock) bool {
			return reader.SessionID() == sharer.Session && reader.FencingToken() == sharer.FencingToken
		})
		if took := sharer.Since.Sub(before); !isOurs || sharer.Limit != 0 || sharer.Slot != -1 || took < -time.Second ||
			took > 10*time.Second {
			t.Errorf("%+v", sharer)
		}
	}
	limited := newLock(t, newKey(t)+"x", consullock.WithShare(), consullock.WithLimit(2))
	must(t, limited.Acquire(ctx))
	state, err = client.Holders(ctx, strings.TrimPrefix(limited.Key(), full("")))
	must(t, err)
	if slot, _ := limited.Slot(); len(state.Sharers) != 1 || state.Sharers[0].Limit != 2 || state.Sharers[0].Slot != slot {
		t.Errorf("%+v", state)
	}
}

func TestHoldersFail(t *testing.T) {
	ctx := context.Background()
	for _, key := range []string{"", "a//b", "a\x00b"} {
		_, err := consullock.Holders(ctx, key)
		wants(t, err, consullock.ErrInvalidArgument)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := consullock.Holders(ended, "x")
	wants(t, err, consullock.ErrCancelled)
	wants(t, err, context.Canceled)
	nowhere := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_DEAD_ADDR")),
		consullock.WithRequestTimeout(300*time.Millisecond))
	_, err = nowhere.Holders(ctx, "x")
	wants(t, err, consullock.ErrUnavailable)
	must(t, nowhere.Close())
	_, err = nowhere.Holders(ctx, "x")
	wants(t, err, consullock.ErrClosed)
	// The end of the context ends the question where Consul is silent.
	gate := newGate(t)
	gate.shut.Store(true)
	silent := newClient(t, consullock.WithAddress(gate.address), consullock.WithRequestTimeout(time.Minute))
	short, end := context.WithTimeout(ctx, 100*time.Millisecond)
	defer end()
	quickly(t, "the question", func() {
		_, err := silent.Holders(short, "x")
		wants(t, err, context.DeadlineExceeded)
	})
}

// More questions than block a thread, so that some are started.
func TestManyQuestionsAtOnce(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	must(t, newLock(t, key).Acquire(ctx))
	var all sync.WaitGroup
	for i := 0; i < 60; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if state, err := consullock.Holders(ctx, key); err != nil || state.Exclusive == nil {
				t.Error(state, err)
			}
		}()
	}
	quickly(t, "many questions", all.Wait)
}

// More changes than block a thread, so that some are started.
func TestManyChangesAtOnce(t *testing.T) {
	ctx, client := context.Background(), newClient(t)
	var all sync.WaitGroup
	for i := 0; i < 40; i++ {
		lock := newLock(t, newKey(t), consullock.WithClient(client))
		all.Add(1)
		go func() {
			defer all.Done()
			err := lock.Hold(ctx, func(ctx context.Context) error {
				if err := lock.Downgrade(ctx); err != nil {
					return err
				}
				return lock.Upgrade(ctx, consullock.NoTimeout)
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	quickly(t, "many changes", all.Wait)
}

func TestAShareStoresAShortValueOnly(t *testing.T) {
	ctx, share := context.Background(), consullock.WithShare()
	_, err := consullock.New("x", share, consullock.WithValue(make([]byte, 513)))
	wants(t, err, consullock.ErrInvalidArgument)
	key := newKey(t)
	must(t, newLock(t, key, share, consullock.WithValue(make([]byte, 512))).Acquire(ctx))
	if found := entry(t, shares(t, key)[0]); len(found.Value) != 512 {
		t.Error(len(found.Value))
	}
	// A long value of an exclusive lock does not become that of its share.
	key = newKey(t)
	lock := newLock(t, key, consullock.WithValue(make([]byte, 513)))
	must(t, lock.Acquire(ctx))
	must(t, lock.Downgrade(ctx))
	if found := entry(t, shares(t, key)[0]); !strings.Contains(found.Value, "locked_at") {
		t.Error(found.Value)
	}
	defer consullock.SetValueGenerator(nil)
	consullock.SetValueGenerator(func() ([]byte, error) { return make([]byte, 513), nil })
	wants(t, newLock(t, newKey(t), share).Acquire(ctx), consullock.ErrValueFailed)
}

// The end of the context ends a downgrade at once also where Consul is silent. An upgrade ends when Consul has confirmed
// that the lock is a share.
func TestChangesWhileConsulIsSilent(t *testing.T) {
	gate, key := newGate(t), newKey(t)
	client := newClient(t, consullock.WithAddress(gate.address))
	lock := newLock(t, key, consullock.WithShare(), consullock.WithClient(client))
	must(t, lock.Acquire(context.Background()))
	other := newLock(t, key, consullock.WithShare())
	must(t, other.Acquire(context.Background()))
	gate.shut.Store(true)
	short, end := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer end()
	done := make(chan error)
	go func() { done <- lock.Upgrade(short, consullock.NoTimeout) }()
	<-short.Done()
	time.Sleep(200 * time.Millisecond)
	gate.shut.Store(false)
	quickly(t, "the upgrade", func() {
		err := <-done
		wants(t, err, consullock.ErrCancelled)
		wants(t, err, context.DeadlineExceeded)
	})
	must(t, lock.Check(context.Background()))
	if len(shares(t, key)) != 2 || entry(t, full(key)) != nil {
		t.Error("it is not a share")
	}
	must(t, other.Release())

	must(t, lock.Upgrade(context.Background(), 0))
	gate.shut.Store(true)
	short, end = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer end()
	quickly(t, "the downgrade", func() {
		err := lock.Downgrade(short)
		wants(t, err, consullock.ErrCancelled)
		wants(t, err, context.DeadlineExceeded)
	})
	gate.shut.Store(false)
	eventually(t, "the library goes on", func() bool { return len(shares(t, key)) == 1 })
}
