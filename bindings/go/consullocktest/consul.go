// Package consullocktest gives a test, or the tests of a package, a Consul of their own.
//
//	func TestReport(t *testing.T) {
//		consul := consullocktest.Start(t)
//		lock, err := consullock.New("report", consullock.WithClient(consul.Client()))
//		...
//	}
//
// Code that takes its locks with the default client needs one Consul for all tests of the package:
//
//	func TestMain(m *testing.M) { os.Exit(consullocktest.Main(m)) }
//
// The Consul is `consul-lock dev`, a model of Consul that starts in milliseconds; with [Real] it is a real one. The
// package finds the program consul-lock on the PATH, or by its name in the environment variable CONSUL_LOCK_COMMAND. The
// Consul ends with the test, and with the process of the test, however that process ends.
package consullocktest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// An Option says which Consul [Start] and [Main] start.
type Option func(*[]string)

// Speed lets the time of Consul pass n times as fast, for tests that wait for the end of a TTL. A real Consul has no
// such option.
func Speed(n int) Option {
	return func(arguments *[]string) { *arguments = append(*arguments, "--speed", strconv.Itoa(n)) }
}

// Real starts a real Consul (`consul agent -dev`): this program, or the one that the environment variable CONSUL_BIN
// names, else `consul` on the PATH, if program is empty. It takes some seconds.
func Real(program string) Option {
	option := "--real"
	if program != "" {
		option += "=" + program
	}
	return func(arguments *[]string) { *arguments = append(*arguments, option) }
}

// A Consul serves one test, or all tests of a package.
type Consul struct {
	// Address is the address of its HTTP API, such as "127.0.0.1:34567".
	Address string

	t      testing.TB
	once   sync.Once
	client *consullock.Client
}

// Start starts a Consul, and ends it with the test.
func Start(t testing.TB, options ...Option) *Consul {
	t.Helper()
	server, err := start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	return &Consul{Address: server.address, t: t}
}

// Client gives the client of this Consul, the same at each call. The client ends with the test.
func (c *Consul) Client() *consullock.Client {
	c.t.Helper()
	c.once.Do(func() {
		client, err := consullock.NewClient(consullock.WithAddress(c.Address), consullock.WithTLS(false))
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = client.Close() })
		c.client = client
	})
	return c.client
}

// Main starts a Consul for the default client, runs the tests of a package, ends the Consul, and gives the exit status
// for [os.Exit]. Call Main before the first lock is made. The settings of the caller's own Consul are not for the tests:
// Main removes the variables of the environment that begin with CONSUL_, but for CONSUL_BIN and CONSUL_LOCK_*, and sets
// CONSUL_HTTP_ADDR.
func Main(m *testing.M, options ...Option) int {
	server, err := start(options)
	if err == nil {
		defer server.stop()
		err = onlyAddress(server.address)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// onlyAddress leaves the address alone of the variables that describe a Consul.
func onlyAddress(address string) error {
	var failed []error
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "CONSUL_") && !strings.HasPrefix(name, "CONSUL_LOCK_") && name != "CONSUL_BIN" {
			failed = append(failed, os.Unsetenv(name))
		}
	}
	return errors.Join(append(failed, os.Setenv("CONSUL_HTTP_ADDR", address))...)
}
