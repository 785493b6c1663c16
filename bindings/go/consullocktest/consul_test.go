package consullocktest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// child is the variable that makes this program a test that starts a Consul and is killed.
const child = "CONSULLOCKTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		server, err := start(nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(server.address)
		select {}
	}
	// Main removes what the caller's Consul would need.
	os.Setenv("CONSUL_HTTP_TOKEN", "of another Consul")
	os.Setenv("CONSUL_HTTP_SSL", "true")
	os.Exit(Main(m))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isServed says whether a server listens at the address.
func isServed(address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

// takes takes a lock and gives it back, with the client of a Consul or the default client.
func takes(t *testing.T, options ...consullock.Option) {
	t.Helper()
	lock, err := consullock.New("consullocktest/"+t.Name(), options...)
	must(t, err)
	defer lock.Close()
	must(t, lock.Acquire(context.Background()))
	must(t, lock.Release())
}

func TestMainServesTheDefaultClient(t *testing.T) {
	for _, name := range []string{"CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL"} {
		if value, is := os.LookupEnv(name); is {
			t.Errorf("%s is still %q", name, value)
		}
	}
	takes(t)
}

func TestAConsulEndsWithItsTest(t *testing.T) {
	var address string
	t.Run("inner", func(t *testing.T) {
		consul := Start(t)
		client := consul.Client()
		if consul.Client() != client {
			t.Error("a client at each call")
		}
		takes(t, consullock.WithClient(client))
		address = consul.Address
		if !isServed(address) {
			t.Errorf("nothing listens at %s", address)
		}
	})
	if address == "" || isServed(address) {
		t.Errorf("%q is served after the test", address)
	}
}

func TestEachConsulIsAnother(t *testing.T) {
	one, other := Start(t), Start(t)
	if one.Address == other.Address {
		t.Fatal("both are at " + one.Address)
	}
	key := "consullocktest/" + t.Name()
	for _, consul := range []*Consul{one, other} {
		lock, err := consullock.New(key, consullock.WithClient(consul.Client()))
		must(t, err)
		defer lock.Close()
		must(t, lock.Acquire(context.Background()))
	}
}

func TestAConsulEndsWithAKilledTest(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), child+"=yes")
	output, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	must(t, err)
	address := strings.TrimSpace(line)
	if !isServed(address) {
		t.Errorf("nothing listens at %s", address)
	}
	must(t, command.Process.Kill())
	_ = command.Wait()
	for end := time.Now().Add(10 * time.Second); isServed(address); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is still served", address)
		}
	}
}

func TestARealConsul(t *testing.T) {
	takes(t, consullock.WithClient(Start(t, Real("")).Client()))
}

func TestSpeedEndsALockSoon(t *testing.T) {
	consul := Start(t, Speed(100))
	lock, err := consullock.New("consullocktest/"+t.Name(), consullock.WithClient(consul.Client()),
		consullock.WithTTL(20*time.Second))
	must(t, err)
	defer lock.Close()
	must(t, lock.Acquire(context.Background()))
	select {
	case <-lock.Lost():
	case <-time.After(15 * time.Second):
		t.Fatal("the lock outlives its session")
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for program, wanted := range map[string]string{
		"/nowhere/consul-lock": "the program /nowhere/consul-lock is missing",
		"/bin/echo":            "/bin/echo dev did not serve: dev",
		"/bin/false":           "/bin/false dev did not serve",
	} {
		t.Setenv("CONSUL_LOCK_COMMAND", program)
		server, err := start(nil)
		if err == nil {
			server.stop()
			t.Errorf("%s is a Consul", program)
		} else if !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: %v", program, err)
		}
	}
	t.Setenv("CONSUL_LOCK_COMMAND", "")
	t.Setenv("PATH", "/nowhere")
	if _, err := start(nil); err == nil || !strings.Contains(err.Error(), "make install") {
		t.Errorf("without a program: %v", err)
	}
}
