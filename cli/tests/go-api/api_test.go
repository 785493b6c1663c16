// Consul's own Go client on `consul-lock dev`, the program in CONSUL_LOCK_COMMAND: its locks, its semaphores, and the
// requests below them.
package api_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const patience = 20 * time.Second

// start gives a client of a server of its own, which ends with the test.
func start(t *testing.T, arguments ...string) *api.Client {
	t.Helper()
	program := os.Getenv("CONSUL_LOCK_COMMAND")
	if program == "" {
		t.Fatal("CONSUL_LOCK_COMMAND names the program to test")
	}
	command := exec.Command(program, append([]string{"dev"}, arguments...)...)
	output, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	must(t, err)
	address := strings.TrimPrefix(strings.TrimSpace(line), "CONSUL_HTTP_ADDR=")
	client, err := api.NewClient(&api.Config{Address: address})
	must(t, err)
	return client
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: %v, not %v", what, got, want)
	}
}

func closes(t *testing.T, what string, channel <-chan struct{}) {
	t.Helper()
	select {
	case <-channel:
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
	}
}

func stays(t *testing.T, what string, channel <-chan struct{}) {
	t.Helper()
	select {
	case <-channel:
		t.Fatal(what)
	case <-time.After(300 * time.Millisecond):
	}
}

func lockOf(t *testing.T, client *api.Client, options api.LockOptions) *api.Lock {
	t.Helper()
	options.Key = "locks/key"
	lock, err := client.LockOpts(&options)
	must(t, err)
	return lock
}

// taken acquires in the background. The channel closes when the lock is held, and then lost tells the loss.
func taken(t *testing.T, lock interface {
	take(stop <-chan struct{}) (<-chan struct{}, error)
}) (has <-chan struct{}, lost func() <-chan struct{}) {
	t.Helper()
	held := make(chan struct{})
	var loss <-chan struct{}
	go func() {
		channel, err := lock.take(nil)
		if err != nil {
			t.Error(err)
			return
		}
		loss = channel
		close(held)
	}()
	return held, func() <-chan struct{} { return loss }
}

type exclusive struct{ *api.Lock }

func (e exclusive) take(stop <-chan struct{}) (<-chan struct{}, error) { return e.Lock.Lock(stop) }

type shared struct{ *api.Semaphore }

func (s shared) take(stop <-chan struct{}) (<-chan struct{}, error) { return s.Acquire(stop) }

func TestALockWaitsForItsTurnAndHearsOfItsLoss(t *testing.T) {
	client := start(t)
	first, second := lockOf(t, client, api.LockOptions{}), lockOf(t, client, api.LockOptions{})
	lost, err := first.Lock(nil)
	must(t, err)
	has, loss := taken(t, exclusive{second})
	stays(t, "the second has the lock beside the first", has)
	once := lockOf(t, client, api.LockOptions{LockTryOnce: true, LockWaitTime: 100 * time.Millisecond})
	none, err := once.Lock(nil)
	must(t, err)
	is(t, "a lock that tries once", none == nil, true)
	stays(t, "the first has lost the lock", lost)
	must(t, first.Unlock())
	closes(t, "the second has the lock", has)
	pair, _, err := client.KV().Get("locks/key", nil)
	must(t, err)
	_, err = client.Session().Destroy(pair.Session, nil)
	must(t, err)
	closes(t, "the second hears of the loss", loss())
}

func TestAKeyThatIsDeletedIsALoss(t *testing.T) {
	client := start(t)
	lock := lockOf(t, client, api.LockOptions{MonitorRetries: 3})
	lost, err := lock.Lock(nil)
	must(t, err)
	_, err = client.KV().Delete("locks/key", nil)
	must(t, err)
	closes(t, "the holder hears of the loss", lost)
}

func TestALockIsDestroyed(t *testing.T) {
	client := start(t)
	lock := lockOf(t, client, api.LockOptions{})
	_, err := lock.Lock(nil)
	must(t, err)
	must(t, lock.Unlock())
	must(t, lock.Destroy())
	pair, _, err := client.KV().Get("locks/key", nil)
	must(t, err)
	is(t, "the key", pair == nil, true)
}

// A session that no program renews ends at twice its TTL. Its lock-delay holds the next one up.
func TestALockEndsWithItsSession(t *testing.T) {
	client := start(t, "--speed", "100")
	entry := api.SessionEntry{TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: 30 * time.Second}
	session, _, err := client.Session().Create(&entry, nil)
	must(t, err)
	lock := lockOf(t, client, api.LockOptions{Session: session})
	lost, err := lock.Lock(nil)
	must(t, err)
	begun := time.Now()
	closes(t, "the session ends", lost)
	next, _, err := client.Session().CreateNoChecks(&api.SessionEntry{}, nil)
	must(t, err)
	pair := api.KVPair{Key: "locks/key", Session: next}
	for {
		done, _, err := client.KV().Acquire(&pair, nil)
		must(t, err)
		if done {
			break
		}
		if time.Since(begun) > patience {
			t.Fatal("the lock-delay never ends")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if passed := time.Since(begun); passed < 250*time.Millisecond {
		t.Fatalf("a lock-delay of 30 s is over after %v", passed)
	}
}

func TestASemaphoreLetsInAsManyAsItsLimit(t *testing.T) {
	client := start(t)
	semaphore := func() shared {
		made, err := client.SemaphorePrefix("semaphore", 2)
		must(t, err)
		return shared{made}
	}
	one, two, three := semaphore(), semaphore(), semaphore()
	_, err := one.Acquire(nil)
	must(t, err)
	_, err = two.Acquire(nil)
	must(t, err)
	has, loss := taken(t, three)
	stays(t, "three are inside", has)
	must(t, one.Release())
	closes(t, "the third is inside", has)
	sessions, _, err := client.Session().List(nil)
	must(t, err)
	for _, session := range sessions {
		_, err = client.Session().Destroy(session.ID, nil)
		must(t, err)
	}
	closes(t, "the third hears of the loss", loss())
}

func TestTheRequestsBelow(t *testing.T) {
	client := start(t)
	kv := client.KV()
	for _, key := range []string{"a/1", "a/2", "a/b/1"} {
		_, err := kv.Put(&api.KVPair{Key: key, Value: []byte(key), Flags: 7}, nil)
		must(t, err)
	}
	pairs, meta, err := kv.List("a/", nil)
	must(t, err)
	is(t, "pairs", len(pairs), 3)
	is(t, "the flags", pairs[0].Flags, 7)
	is(t, "a leader", meta.KnownLeader, true)
	keys, _, err := kv.Keys("a/", "/", nil)
	must(t, err)
	is(t, "keys", keys, []string{"a/1", "a/2", "a/b/"})
	stale := *pairs[0]
	stale.ModifyIndex--
	for _, test := range []struct {
		pair *api.KVPair
		want bool
	}{{&stale, false}, {pairs[0], true}} {
		done, _, err := kv.CAS(test.pair, nil)
		must(t, err)
		is(t, "cas", done, test.want)
	}
	done, _, err := kv.DeleteCAS(&stale, nil)
	must(t, err)
	is(t, "delete cas", done, false)
	go func() {
		time.Sleep(100 * time.Millisecond)
		_, _ = kv.DeleteTree("a/", nil)
	}()
	begun := time.Now()
	gone, _, err := kv.Get("a/2", &api.QueryOptions{WaitIndex: pairs[1].ModifyIndex, WaitTime: time.Minute})
	must(t, err)
	is(t, "what the query hears of", gone == nil && time.Since(begun) < patience, true)
	answer, response, _, err := client.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "t", Value: []byte("v")}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "t"}},
	}, nil)
	must(t, err)
	is(t, "the transaction", answer && string(response.Results[1].KV.Value) == "v", true)
	self, err := client.Agent().Self()
	must(t, err)
	is(t, "a server", self["Config"]["Server"], true)
	leader, err := client.Status().Leader()
	must(t, err)
	is(t, "a leader", leader != "", true)
	_, _, err = client.Health().State("any", nil)
	if err == nil || !strings.Contains(err.Error(), "consul-lock dev does not know GET /v1/health/state/any") {
		t.Fatalf("what it does not know: %v", err)
	}
}
