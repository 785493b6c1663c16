package consullock_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func TestBadOptionsAreRefused(t *testing.T) {
	closed := newClient(t)
	must(t, closed.Close())
	for name, one := range map[string]struct {
		option consullock.Option
		code   error
		says   string
	}{
		"unknown": {consullock.WithOption("nonsense", "1"), consullock.ErrInvalidOption, "nonsense"},
		"out of range": {consullock.WithTTL(9 * time.Second), consullock.ErrInvalidOption,
			"consullock: WithTTL: must be 10s to 24h0m0s, is 9s"},
		"far out of range": {consullock.WithAcquireTimeout(25 * time.Hour), consullock.ErrInvalidOption,
			"consullock: WithAcquireTimeout: must be 0s to 24h0m0s, is 25h0m0s"},
		"out of range by name": {consullock.WithOption("lock_timeout_seconds", "9"), consullock.ErrInvalidOption,
			"consullock: option lock_timeout_seconds: must be 10 to 86400, is 9"},
		"half a second":      {consullock.WithTTL(21 * time.Second / 2), consullock.ErrInvalidOption, "WithTTL: 10.5s"},
		"of a client":        {consullock.WithOption("address", "x"), consullock.ErrInvalidOption, "address"},
		"NUL in a value":     {consullock.WithOption("acquire_timeout_ms", "1\x000"), consullock.ErrInvalidOption, "NUL"},
		"NUL in a name":      {consullock.WithOption("acquire\x00", "1"), consullock.ErrInvalidOption, "NUL"},
		"no client":          {consullock.WithClient(nil), consullock.ErrInvalidArgument, "nil"},
		"a closed client":    {consullock.WithClient(closed), consullock.ErrClosed, "closed"},
		"too large a value":  {consullock.WithValue(make([]byte, 390_001)), consullock.ErrInvalidOption, "value"},
		"negative lifetime":  {consullock.WithMaxLifetime(-time.Second), consullock.ErrInvalidOption, "negative"},
		"negative grace":     {consullock.WithQueueGrace(-time.Second), consullock.ErrInvalidOption, "negative"},
		"not until for ever": {consullock.WithAcquireTimeout(-time.Millisecond), consullock.ErrInvalidOption, "negative"},
	} {
		lock, err := consullock.New("a", one.option, consullock.WithFair(true))
		var why *consullock.Error
		if lock != nil || !errors.Is(err, one.code) || !strings.Contains(err.Error(), one.says) ||
			!errors.As(err, &why) || why.Op != "new" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, option := range map[string]consullock.ClientOption{
		"of a lock":       consullock.WithClientOption("fair", "true"),
		"no address":      consullock.WithAddress(""),
		"zero":            consullock.WithRequestTimeout(0),
		"negative":        consullock.WithConnectTimeout(-1),
		"NUL in an value": consullock.WithToken("secret\x00token"),
		"no addresses":    consullock.WithAddress(),
		"no token file":   consullock.WithTokenFile("/no/such/file"),
		"a user's colon":  consullock.WithHTTPAuth("us:er", "secret"),
		"a bad password":  consullock.WithHTTPAuth("user", "secret\n"),
		"too long a wait": consullock.WithLockDelay(time.Minute + 1),
		"too many flags":  consullock.WithFlags(1 << 63),
		"too few":         consullock.WithMaxConnections(3),
		"a key alone":     consullock.WithClientOption("client_key", "x"),
	} {
		client, err := consullock.NewClient(option)
		if client != nil || !errors.Is(err, consullock.ErrInvalidOption) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"", "a//b", "a\x00b", " a", "a/../b", strings.Repeat("k", 65_537)} {
		_, err := consullock.New(key)
		wants(t, err, consullock.ErrInvalidArgument)
		if _, _, err := consullock.WhoHolds(context.Background(), key); !errors.Is(err, consullock.ErrInvalidArgument) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestOptions(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	value := []byte("mine")
	option := consullock.WithValue(value)
	copy(value, "xxxx") // the option has a copy
	lock := newLock(t, key, consullock.WithTTL(10*time.Second), consullock.WithTTL(time.Hour), option,
		consullock.WithAutoRenew(), consullock.WithMaxLifetime(2*time.Hour), consullock.WithMonitor(false),
		consullock.WithFair(false), consullock.WithQueueGrace(50*time.Millisecond), consullock.WithAcquireTimeout(0),
		consullock.WithOption("queue_grace_ms", "60"))
	must(t, lock.Acquire(ctx))
	if left := lock.Remaining(); left < 50*time.Minute || left > time.Hour {
		t.Fatal(left)
	}
	if stored := entry(t, full(key)); stored.Value != "mine" {
		t.Fatalf("%+v", stored)
	}
	// A time is rounded up to milliseconds.
	began := time.Now()
	waiter := newLock(t, key, consullock.WithAcquireTimeout(300*time.Millisecond+time.Nanosecond))
	wants(t, waiter.Acquire(ctx), consullock.ErrNotAcquired)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Fatal(took)
	}
}

func TestTheLastSettingOfAnOptionCounts(t *testing.T) {
	bytes, text := consullock.WithValue([]byte("bytes")), consullock.WithOption("value", "text")
	for last, options := range map[string][]consullock.Option{"text": {bytes, text}, "bytes": {text, bytes}} {
		key := newKey(t)
		must(t, newLock(t, key, options...).Acquire(context.Background()))
		if stored := entry(t, full(key)); stored.Value != last {
			t.Fatalf("%+v, not %s", stored, last)
		}
	}
}

func TestAnEmptyValue(t *testing.T) {
	ctx := context.Background()
	for _, value := range [][]byte{nil, {}} {
		key := newKey(t)
		must(t, newLock(t, key, consullock.WithValue(value)).Acquire(ctx))
		if stored := entry(t, full(key)); stored.Value != "" {
			t.Fatalf("%+v", stored)
		}
	}
}

func TestDefaults(t *testing.T) {
	before := newLock(t, newKey(t))
	must(t, consullock.SetDefault("lock_key_pattern", "elsewhere/%s/here"))
	after := newLock(t, "x")
	must(t, consullock.SetDefault("lock_key_pattern", "locks/ephemeral/%s"))
	if before.Key() == after.Key() || after.Key() != "elsewhere/x/here" {
		t.Fatal(before.Key(), after.Key())
	}
	err := consullock.SetDefault("lock_key_pattern", "nowhere")
	wants(t, err, consullock.ErrInvalidOption)
	wants(t, consullock.SetDefault("fair", "true"), consullock.ErrInvalidOption)
	wants(t, consullock.SetDefault("lock_key_pattern", "%s\x00"), consullock.ErrInvalidOption)
}

func TestDefaultClient(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	nowhere := newClient(t, consullock.WithAddress(env(t, "TEST_CONSUL_DEAD_ADDR")),
		consullock.WithRequestTimeout(300*time.Millisecond))
	must(t, consullock.SetDefaultClient(nowhere))
	must(t, nowhere.Close()) // the default client has a reference of its own
	defer consullock.SetDefaultClient(nil)
	wants(t, newLock(t, key).Acquire(ctx), consullock.ErrUnavailable)
	_, _, err := consullock.WhoHolds(ctx, key)
	wants(t, err, consullock.ErrUnavailable)
	if stats, err := consullock.DefaultStats(); err != nil || stats.Unanswered == 0 {
		t.Fatal(stats, err)
	}
	wants(t, consullock.SetDefaultClient(nowhere), consullock.ErrClosed)
	must(t, consullock.SetDefaultClient(nil))
	must(t, newLock(t, key).Acquire(ctx))
}

func TestTheEnvironmentIsRead(t *testing.T) {
	if inChild(t, "CONSUL_HTTP_SSL=perhaps") {
		return
	}
	_, err := consullock.New(newKey(t))
	wants(t, err, consullock.ErrInvalidEnvironment)
	_, err = consullock.DefaultStats()
	wants(t, err, consullock.ErrInvalidEnvironment)
	_, err = consullock.NewClient()
	wants(t, err, consullock.ErrInvalidEnvironment)
	// The first lock of the process reads a variable that Go has set.
	must(t, os.Unsetenv("CONSUL_HTTP_SSL"))
	must(t, newLock(t, newKey(t)).Acquire(context.Background()))
	// The library obeys a right variable: this Consul speaks no TLS.
	must(t, os.Setenv("CONSUL_HTTP_SSL", "true"))
	overTLS := newLock(t, newKey(t), consullock.WithClient(newClient(t)))
	wants(t, overTLS.Acquire(context.Background()), consullock.ErrUnavailable)
}

func TestValueGenerator(t *testing.T) {
	ctx, key, mine := context.Background(), newKey(t), errors.New("mine")
	defer consullock.SetValueGenerator(nil)
	before := newLock(t, newKey(t))
	value, fail := []byte("generated"), error(nil)
	consullock.SetValueGenerator(func() ([]byte, error) { return value, fail })

	lock := newLock(t, key)
	fail = mine
	err := lock.Acquire(ctx)
	wants(t, err, consullock.ErrValueFailed)
	wants(t, err, mine)
	if _, err := lock.TryAcquire(ctx); !errors.Is(err, consullock.ErrValueFailed) {
		t.Fatal(err)
	}
	fail = consullock.ErrNotAcquired // of another lock, say
	if got, err := lock.TryAcquire(ctx); got || !errors.Is(err, consullock.ErrValueFailed) {
		t.Fatal(got, err)
	}
	fail, value = nil, make([]byte, 390_001)
	err = lock.Acquire(ctx)
	wants(t, err, consullock.ErrValueFailed)
	wants(t, err, consullock.ErrInvalidArgument)
	value = []byte("generated")
	must(t, lock.Acquire(ctx)) // the failures did not use it up
	if stored := entry(t, full(key)); stored.Value != "generated" {
		t.Fatalf("%+v", stored)
	}
	wants(t, lock.Acquire(ctx), consullock.ErrAlreadyUsed)

	fixed := newLock(t, newKey(t), consullock.WithOption("value", "fixed"))
	must(t, fixed.Acquire(ctx))
	must(t, before.Acquire(ctx))
	if stored := entry(t, fixed.Key()); stored.Value != "fixed" {
		t.Fatalf("%+v", stored)
	}
	if stored := entry(t, before.Key()); !strings.Contains(stored.Value, "locked_at") {
		t.Fatalf("%+v", stored)
	}

	consullock.SetValueGenerator(func() ([]byte, error) { panic("mine") })
	panics := newLock(t, newKey(t))
	func() {
		defer func() {
			if recover() != "mine" {
				t.Fatal("the panic does not go on")
			}
		}()
		panics.Acquire(ctx)
	}()
	must(t, panics.Close())
}
