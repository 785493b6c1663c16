package consullock_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// The tests need a real Consul.
func TestMain(m *testing.M) {
	if os.Getenv("CONSUL_HTTP_ADDR") == "" {
		fmt.Fprintln(os.Stderr, "the tests need a Consul: run bindings/go/test, or bindings/with-consul go test")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var keys atomic.Int64

// newKey is a key of this test alone.
func newKey(t testing.TB) string {
	return fmt.Sprintf("go/%d/%s-%d", os.Getpid(), t.Name(), keys.Add(1))
}

// full is the full key in Consul.
func full(key string) string { return "locks/ephemeral/" + key }

// consul sends a request to Consul without the library, as an operator would.
func consul(t testing.TB, method, path, body string) string {
	t.Helper()
	url := "http://" + os.Getenv("CONSUL_HTTP_ADDR") + "/v1/" + path
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	must(t, err)
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return string(text)
}

// entry is the entry of a key in Consul. nil: the key does not exist.
func entry(t testing.TB, key string) *struct{ Session, Value string } {
	t.Helper()
	var found []struct{ Session, Value string }
	if text := consul(t, "GET", "kv/"+key, ""); text != "" {
		must(t, json.Unmarshal([]byte(text), &found))
		value, err := base64.StdEncoding.DecodeString(found[0].Value)
		must(t, err)
		found[0].Value = string(value)
		return &found[0]
	}
	return nil
}

// nothingIsLeft waits until neither the key nor a ticket below it is there.
func nothingIsLeft(t testing.TB, key string) {
	t.Helper()
	eventually(t, "nothing is left", func() bool {
		return consul(t, "GET", "kv/"+full(key)+"?keys&recurse", "") == ""
	})
}

// sessions counts the sessions of this process.
func sessions(t testing.TB) int {
	t.Helper()
	var all []struct{ Name string }
	must(t, json.Unmarshal([]byte(consul(t, "GET", "session/list", "")), &all))
	ours := 0
	for _, one := range all {
		if strings.Contains(one.Name, fmt.Sprintf(":%d ", os.Getpid())) {
			ours++
		}
	}
	return ours
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless errors.Is finds the wanted error.
func wants(t testing.TB, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("wanted %v, got %v", wanted, err)
	}
}

// eventually waits until a condition is true.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// quickly fails if a function does not end within 10 s.
func quickly(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

func newLock(t testing.TB, key string, opts ...consullock.Option) *consullock.Lock {
	t.Helper()
	lock, err := consullock.New(key, opts...)
	must(t, err)
	t.Cleanup(func() { lock.Close() })
	return lock
}

func newClient(t testing.TB, opts ...consullock.ClientOption) *consullock.Client {
	t.Helper()
	client, err := consullock.NewClient(opts...)
	must(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// A gate passes connections on to Consul until it is shut. A shut gate accepts connections and answers nothing.
type gate struct {
	address string
	shut    atomic.Bool
	mu      sync.Mutex
	open    []net.Conn
}

func newGate(t testing.TB) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g := &gate{address: listener.Addr().String()}
	keep := func(connection net.Conn) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open = append(g.open, connection)
	}
	t.Cleanup(func() {
		listener.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, connection := range g.open {
			connection.Close()
		}
	})
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			keep(from)
			to, err := net.Dial("tcp", os.Getenv("CONSUL_HTTP_ADDR"))
			if err != nil {
				from.Close()
				continue
			}
			keep(to)
			go g.pass(from, to)
			go g.pass(to, from)
		}
	}()
	return g
}

func (g *gate) pass(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for g.shut.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		if n > 0 {
			to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

func env(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run bindings/go/test", name)
	}
	return value
}

// inChild runs the calling test again in a new process with these variables. It is false in that process.
func inChild(t *testing.T, environment ...string) bool {
	t.Helper()
	const marker = "CONSULLOCK_TEST_CHILD=yes"
	if slices.Contains(os.Environ(), marker) {
		return false
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	command.Env = append(append(os.Environ(), marker), environment...)
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
	return true
}

// takeAway deletes the lock's key, as an operator may. It needs no T, so that the examples can call it.
func takeAway(lock *consullock.Lock) {
	time.Sleep(1300 * time.Millisecond) // the library watches a lock from one second on
	request, _ := http.NewRequest("DELETE", "http://"+os.Getenv("CONSUL_HTTP_ADDR")+"/v1/kv/"+lock.Key(), nil)
	if answer, err := http.DefaultClient.Do(request); err == nil {
		answer.Body.Close()
	}
}
