package consullock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func TestWhoHolds(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	client := newClient(t)
	type ask func(context.Context, string) (consullock.Holder, bool, error)
	for _, ask := range []ask{consullock.WhoHolds, client.WhoHolds} {
		holder, found, err := ask(ctx, key)
		if err != nil || found || holder.Session != "" {
			t.Fatal(holder, found, err)
		}
	}
	lock := newLock(t, key, consullock.WithValue([]byte("a\x00b")))
	must(t, lock.Acquire(ctx))
	for _, ask := range []ask{consullock.WhoHolds, client.WhoHolds} {
		holder, found, err := ask(ctx, key)
		if err != nil || !found || holder.Session != lock.SessionID() || !strings.HasPrefix(holder.Name, "consul_lock ") ||
			holder.Node != "node" || string(holder.Value) != "a\x00b" || holder.FencingToken != lock.FencingToken() ||
			!holder.Since.IsZero() || holder.TTL <= 0 {
			t.Fatal(holder, found, err)
		}
	}
	// The default value has the time of the acquire.
	key = newKey(t)
	before := time.Now()
	must(t, newLock(t, key).Acquire(ctx))
	holder, _, err := client.WhoHolds(ctx, key)
	if took := holder.Since.Sub(before); err != nil || took < -time.Second || took > 10*time.Second {
		t.Fatal(holder, err)
	}
	must(t, client.Close())
	_, _, err = client.WhoHolds(ctx, key)
	wants(t, err, consullock.ErrClosed)
}

func TestALockKeepsItsClientAlive(t *testing.T) {
	client, err := consullock.NewClient()
	must(t, err)
	lock := newLock(t, newKey(t), consullock.WithClient(client))
	must(t, client.Close())
	must(t, client.Close())
	must(t, lock.Acquire(context.Background()))
	must(t, lock.Release())
	_, err = client.Stats()
	wants(t, err, consullock.ErrClosed)
}

func TestDatacenter(t *testing.T) {
	ctx := context.Background()
	ours := newClient(t, consullock.WithDatacenter("dc1"))
	must(t, newLock(t, newKey(t), consullock.WithClient(ours)).Acquire(ctx))
	nowhere := newClient(t, consullock.WithDatacenter("no-such-datacenter"), consullock.WithRequestTimeout(time.Second))
	err := newLock(t, newKey(t), consullock.WithClient(nowhere)).Acquire(ctx)
	if err == nil || errors.Is(err, consullock.ErrNotAcquired) {
		t.Fatal(err)
	}
}

func TestStats(t *testing.T) {
	ctx, client := context.Background(), newClient(t)
	lock := newLock(t, newKey(t), consullock.WithClient(client))
	must(t, lock.Acquire(ctx))
	time.Sleep(20 * time.Millisecond)
	stats, err := client.Stats()
	must(t, err)
	if stats.Held != 1 || stats.Waiting != 0 || stats.Requests["lock"] == 0 || stats.RaftWrites < 2 ||
		stats.Acquire.Count != 1 || stats.Acquire.Max <= 0 || stats.Acquire.Max > time.Minute ||
		stats.Connections == 0 || stats.ConnectionsPeak == 0 || !json.Valid(stats.JSON) {
		t.Fatalf("%+v", stats)
	}
	must(t, lock.Release())
	stats, err = client.Stats()
	must(t, err)
	if stats.Held != 0 || stats.Hold.Count != 1 || stats.Hold.P50 < 20*time.Millisecond || stats.Lost != 0 {
		t.Fatalf("%+v", stats)
	}
	// Stats has a field for each member of the JSON.
	var fields map[string]any
	must(t, json.Unmarshal(stats.JSON, &fields))
	for _, known := range []string{"requests", "raft_writes", "unanswered", "retries", "waiting", "held", "observers", "lost",
		"connections", "connections_peak", "threads", "acquire_us", "hold_us"} {
		if _, ok := fields[known]; !ok {
			t.Errorf("no %s in %s", known, stats.JSON)
		}
		delete(fields, known)
	}
	if len(fields) > 0 {
		t.Errorf("Stats has no field for %v", fields)
	}
}

func TestStatsSurviveJSON(t *testing.T) {
	times := consullock.Times{Count: 2, P50: 1827 * time.Microsecond, P90: 2 * time.Millisecond, P99: 3 * time.Second,
		Max: time.Hour}
	stats := consullock.Stats{Requests: map[string]uint64{"lock": 2}, Held: 1, Acquire: times, Hold: times}
	text, err := json.Marshal(stats)
	must(t, err)
	if !strings.Contains(string(text), `"acquire_us":{"count":2,"p50":1827,"p90":2000,"p99":3000000,"max":3600000000}`) {
		t.Errorf("%s", text)
	}
	var again consullock.Stats
	must(t, json.Unmarshal(text, &again))
	if !reflect.DeepEqual(stats, again) {
		t.Errorf("%+v became %+v", stats, again)
	}
}

// A buffer that a logger writes and a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// loggingTo sets a logger for the time of a test.
func loggingTo(t *testing.T, level slog.Level) *lines {
	to := &lines{}
	consullock.SetLogger(slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level})))
	t.Cleanup(func() { consullock.SetLogger(nil) })
	return to
}

func TestLog(t *testing.T) {
	ctx := context.Background()
	lose := func() string {
		lock := newLock(t, newKey(t), consullock.WithMonitor(false), consullock.WithValue([]byte("secret-of-a-test")))
		must(t, lock.Acquire(ctx))
		consul(t, "DELETE", "kv/"+lock.Key(), "")
		wants(t, lock.Check(ctx), consullock.ErrLost)
		return lock.Key()
	}
	info := loggingTo(t, slog.LevelInfo)
	key := lose()
	eventually(t, "the log has the line", func() bool {
		said := info.String()
		return strings.Contains(said, "level=ERROR") && strings.Contains(said, "flight recorder") &&
			strings.Contains(said, key)
	})
	if said := info.String(); strings.Contains(said, "secret-of-a-test") || strings.Contains(said, "level=DEBUG") {
		t.Fatal(said)
	}
	errs := loggingTo(t, slog.LevelError)
	key = lose()
	eventually(t, "the log has the line", func() bool { return strings.Contains(errs.String(), key) })
	if said := errs.String(); strings.Contains(said, "level=INFO") {
		t.Fatal(said)
	}
	nothing := loggingTo(t, slog.LevelError+4)
	consullock.SetLogger(nil)
	lose()
	time.Sleep(100 * time.Millisecond)
	if nothing.String() != "" || strings.Contains(info.String(), key) {
		t.Fatal("a replaced logger gets lines")
	}
}

func TestShutdown(t *testing.T) {
	if inChild(t) {
		return
	}
	ctx := context.Background()
	g := newGate(t)
	client := newClient(t, consullock.WithAddress(g.address), consullock.WithReleaseTimeout(100*time.Millisecond))
	lock := newLock(t, newKey(t), consullock.WithClient(client))
	must(t, lock.Acquire(ctx))
	g.shut.Store(true)
	wants(t, lock.Release(), consullock.ErrUnconfirmed)

	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	quickly(t, "the shutdown", func() {
		err := consullock.Shutdown(short)
		wants(t, err, consullock.ErrUnconfirmed)
		wants(t, err, context.DeadlineExceeded)
	})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	quickly(t, "the shutdown", func() {
		wants(t, consullock.Shutdown(ended), context.Canceled)
	})
	g.shut.Store(false)
	must(t, consullock.Shutdown(ctx))
	if entry(t, lock.Key()) != nil {
		t.Fatal("the release is not over")
	}
	if left := sessions(t); left != 0 {
		t.Fatalf("%d sessions are left", left)
	}
	must(t, newLock(t, newKey(t)).Acquire(ctx))
}

func TestVersion(t *testing.T) {
	if got := consullock.Version(); got != "0.1.0" {
		t.Fatal(got)
	}
}
