package consullock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// The numbers of this process that must not grow.
type usage struct{ threads, descriptors, kilobytes int }

func used(t testing.TB) usage {
	t.Helper()
	runtime.GC()
	runtime.GC() // the finalizers of the first
	debug.FreeOSMemory()
	count := func(folder string) int {
		entries, err := os.ReadDir(folder)
		must(t, err)
		return len(entries)
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return usage{count("/proc/self/task"), count("/proc/self/fd"), kilobytes}
}

// The largest number of threads: the library's for one client, and those of Go.
const fewThreads = 32 + 16 + 24

func TestManyCyclesLeaveNothing(t *testing.T) {
	if inChild(t) {
		return
	}
	ctx, key := context.Background(), newKey(t)
	cycles := func(n int) {
		for i := 0; i < n; i++ {
			lock, err := consullock.New(key, consullock.WithTTL(time.Minute))
			must(t, err)
			must(t, lock.Acquire(ctx))
			must(t, lock.Release())
			if i%4 != 0 { // the garbage collector frees the others
				must(t, lock.Close())
			}
			if i%20 == 0 {
				must(t, consullock.Hold(ctx, key, func(ctx context.Context) error { return ctx.Err() }))
			}
		}
	}
	cycles(500)
	n := 10_000
	if os.Getenv("NIGHTLY") == "1" {
		n = 100_000
	}
	// A leak grows in every round, and a heap only in some.
	for round, leaks := 0, true; leaks; round++ {
		before := used(t)
		cycles(n)
		after := used(t)
		t.Logf("%d cycles: before %+v, after %+v", n, before, after)
		leaks = after.kilobytes > before.kilobytes+8_000 || after.threads > before.threads+8 ||
			after.descriptors > before.descriptors+8
		if leaks && round == 2 {
			t.Errorf("before %+v, after %+v", before, after)
			break
		}
	}
	eventually(t, "no session is left", func() bool { return sessions(t) == 0 })
}

// A thousand goroutines wait with few threads of the operating system, and the end of the context ends them all.
func TestAThousandWaiters(t *testing.T) {
	const n = 1000
	key, client := newKey(t), newClient(t)
	holder := newLock(t, key)
	must(t, holder.Acquire(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	errs := make(chan error, n)
	for i := 0; i < n; i++ {
		lock := newLock(t, key, consullock.WithWait(), consullock.WithClient(client))
		go func() { errs <- lock.Acquire(ctx) }()
	}
	eventually(t, "all wait", func() bool {
		stats, err := client.Stats()
		must(t, err)
		return stats.Waiting == n
	})
	waiting := used(t)
	t.Logf("%d waiters: %+v", n, waiting)
	if waiting.threads > fewThreads || waiting.descriptors > 80 {
		t.Errorf("%d waiters: %+v", n, waiting)
	}
	// A short call beside them gets its answer.
	quickly(t, "a short call", func() { must(t, holder.Renew(context.Background())) })
	began := time.Now()
	cancel()
	for i := 0; i < n; i++ {
		wants(t, <-errs, context.Canceled)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the waits ended after %v", took)
	}
	must(t, holder.Release())
	nothingIsLeft(t, key)
}

// Consul answers nothing: many calls of all kinds wait with few threads.
func TestASilentConsulTakesNoThreads(t *testing.T) {
	g := newGate(t)
	client := newClient(t, consullock.WithAddress(g.address))
	key := newKey(t)
	held := newLock(t, key, consullock.WithClient(client))
	must(t, held.Acquire(context.Background()))
	g.shut.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := 0; i < 300; i++ {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			var err error
			switch i % 6 {
			case 0:
				err = newLock(t, newKey(t), consullock.WithClient(client)).Acquire(ctx)
			case 1:
				err = held.Renew(ctx)
			case 2:
				err = held.Check(ctx)
			case 3:
				err = held.PutIfHeld(ctx, key+"-data", []byte("x"))
			case 4:
				err = held.DeleteIfHeld(ctx, key+"-data")
			default:
				_, _, err = client.WhoHolds(ctx, newKey(t))
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", i%6, err)
			}
		}()
	}
	time.Sleep(time.Second)
	now := used(t)
	t.Logf("300 calls: %+v", now)
	if now.threads > fewThreads {
		t.Errorf("%+v", now)
	}
	cancel()
	quickly(t, "300 calls", all.Wait)
	g.shut.Store(false)
	eventually(t, "all is answered or given up", func() bool {
		stats, err := client.Stats()
		must(t, err)
		return stats.Waiting == 0
	})
	must(t, held.Release())
	consul(t, "DELETE", "kv/"+key+"-data", "")
}

// The garbage collector runs all the time, and stacks move, while blocking and started calls wait and end.
func TestTheCollectorRunsMeanwhile(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	defer close(stop)
	key, client := newKey(t), newClient(t)
	n, turns := 24, 4
	if os.Getenv("NIGHTLY") == "1" {
		turns = 40
	}
	var all sync.WaitGroup
	var inside sync.Mutex
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < turns; j++ {
				err := consullock.Hold(context.Background(), key, func(ctx context.Context) error {
					if !inside.TryLock() {
						return errors.New("two are inside")
					}
					defer inside.Unlock()
					return deep(40, func() error {
						return consullock.FromContext(ctx).PutIfHeld(ctx, key+"-data", make([]byte, 1000))
					})
				}, consullock.WithWait(), consullock.WithClient(client), consullock.WithValue([]byte("x")))
				if err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	consul(t, "DELETE", "kv/"+key+"-data", "")
}

// deep makes the stack grow, so that Go moves it.
func deep(n int, do func() error) error {
	var pad [512]byte
	if n == 0 {
		return do()
	}
	err := deep(n-1, do)
	if pad[n%len(pad)] != 0 {
		return fmt.Errorf("%v", pad)
	}
	return err
}

// The garbage collector abandons a forgotten lock, logs a warning, and closes Lost.
func TestAForgottenLock(t *testing.T) {
	log := loggingTo(t, slog.LevelWarn)
	key := newKey(t)
	var lost <-chan struct{}
	func() {
		lock, err := consullock.New(key)
		must(t, err)
		lost = lock.Lost()
		must(t, lock.Acquire(context.Background()))
		quiet, err := consullock.New(newKey(t) + "-quiet")
		must(t, err)
		must(t, quiet.Acquire(context.Background()))
		must(t, quiet.Release())
	}()
	eventually(t, "it is collected", func() bool {
		runtime.GC()
		return strings.Contains(log.String(), full(key))
	})
	if said := log.String(); strings.Count(said, "garbage collected") != 1 || strings.Contains(said, "quiet") {
		t.Fatal(said)
	}
	stored := entry(t, full(key))
	if stored == nil {
		t.Fatal("the collector has released the lock")
	}
	select {
	case <-lost:
	default:
		t.Fatal("Lost is not closed")
	}
	consul(t, "PUT", "session/destroy/"+stored.Session, "")
}

// Without SetLogger the warning goes to slog's default logger.
func TestAForgottenLockWithoutALogger(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	log := &lines{}
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	key := newKey(t)
	func() {
		lock, err := consullock.New(key)
		must(t, err)
		must(t, lock.Acquire(context.Background()))
	}()
	eventually(t, "it is collected", func() bool {
		runtime.GC()
		return strings.Contains(log.String(), full(key))
	})
	consul(t, "PUT", "session/destroy/"+entry(t, full(key)).Session, "")
}

// The collector does not take a lock whose acquire waits, though no variable refers to the lock.
func TestAWaitingLockIsNotCollected(t *testing.T) {
	key := newKey(t)
	holder := newLock(t, key)
	must(t, holder.Acquire(context.Background()))
	got := make(chan error, manyWaiters)
	for i := 0; i < manyWaiters; i++ {
		go func() {
			lock, err := consullock.New(key, consullock.WithAcquireTimeout(30*time.Second))
			if err == nil {
				err = lock.Acquire(context.Background())
			}
			if err == nil {
				err = lock.Release()
			}
			got <- err
		}()
	}
	for i := 0; i < 20; i++ {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	must(t, holder.Release())
	for i := 0; i < manyWaiters; i++ {
		must(t, <-got)
	}
}

// A process can end while blocking and started calls wait and outcomes arrive.
func TestExitWithWaitsPending(t *testing.T) {
	const child = "CONSULLOCK_TEST_EXIT"
	if key := os.Getenv(child); key != "" {
		for i := 0; i < 2*manyWaiters; i++ {
			go consullock.Hold(context.Background(), key, func(context.Context) error { return nil }, consullock.WithWait())
		}
		time.Sleep(time.Duration(os.Getpid()%40) * time.Millisecond)
		os.Exit(42)
	}
	n := 20
	if os.Getenv("NIGHTLY") == "1" {
		n = 200
	}
	for i := 0; i < n; i++ {
		command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), child+"="+newKey(t))
		output, err := command.CombinedOutput()
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 42 || len(output) > 0 {
			t.Fatalf("%v: %s", err, output)
		}
	}
}
