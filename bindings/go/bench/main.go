// Acquires and releases a lock through the Go package, as its input says: benches/peers/README.md has the contract.
package main

// #include <time.h>
import "C"

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// now reads CLOCK_MONOTONIC, as all programs of the bench do.
func now() int64 {
	var t C.struct_timespec
	C.clock_gettime(C.CLOCK_MONOTONIC, &t)
	return int64(t.tv_sec)*1_000_000_000 + int64(t.tv_nsec)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func turn(key string, name int, hold time.Duration) {
	lock, err := consullock.New(key, consullock.WithWait())
	must(err)
	defer lock.Close()
	begun := now()
	if err := lock.Acquire(context.Background()); err != nil {
		fmt.Println("failed", name, err)
		return
	}
	fmt.Println("acquired", name, begun, now())
	time.Sleep(hold)
	begun = now()
	must(lock.Release())
	fmt.Println("released", name, begun, now())
}

func cycle(key string) int64 {
	begun := now()
	lock, err := consullock.New(key, consullock.WithWait())
	must(err)
	must(lock.Acquire(context.Background()))
	must(lock.Release())
	must(lock.Close())
	return now() - begun
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench ADDRESS KEY")
		os.Exit(2)
	}
	must(os.Setenv("CONSUL_HTTP_ADDR", os.Args[1]))
	key := os.Args[2]
	must(consullock.SetDefault("lock_key_pattern", "%s"))

	fmt.Println("ready")
	var turns sync.WaitGroup
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name, holdMs, count int
		if _, err := fmt.Sscanf(lines.Text(), "turns %d %d %d", &name, &holdMs, &count); err == nil {
			turns.Add(1)
			go func() {
				defer turns.Done()
				for i := 0; i < count; i++ {
					turn(key, name, time.Duration(holdMs)*time.Millisecond)
				}
			}()
		} else if _, err := fmt.Sscanf(lines.Text(), "cycles %d", &count); err == nil {
			var times strings.Builder
			for i := 0; i < count; i++ {
				fmt.Fprint(&times, " ", cycle(key))
			}
			fmt.Println("cycles" + times.String())
		}
	}
	turns.Wait()
}
