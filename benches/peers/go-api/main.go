// Takes and gives back a lock as it is told, with api.Lock; with a third argument "semaphore=LIMIT" a semaphore, with
// api.Semaphore. The contract is in ../README.md.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"
)

func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		log.Fatal(err)
	}
	return t.Nano()
}

// The limit of the semaphore; 0: a lock.
var limit int

// How many requests were sent.
var sent atomic.Int64

// Counts the requests.
type counting struct{ through http.RoundTripper }

func (c counting) RoundTrip(request *http.Request) (*http.Response, error) {
	sent.Add(1)
	return c.through.RoundTrip(request)
}

// Gives back what acquire took.
type held interface{ giveBack() error }

type lock struct{ *api.Lock }

func (l lock) giveBack() error { return l.Unlock() }

type permit struct{ *api.Semaphore }

func (p permit) giveBack() error { return p.Release() }

func acquire(client *api.Client, key string) (held, error) {
	if limit > 0 {
		semaphore, err := client.SemaphorePrefix(key, limit)
		if err != nil {
			return nil, err
		}
		_, err = semaphore.Acquire(nil)
		return permit{semaphore}, err
	}
	one, err := client.LockKey(key)
	if err != nil {
		return nil, err
	}
	_, err = one.Lock(nil)
	return lock{one}, err
}

func release(what held) {
	if err := what.giveBack(); err != nil {
		log.Fatal(err)
	}
}

func tellRequests() {
	for range time.Tick(200 * time.Millisecond) {
		fmt.Println("requests", 0, sent.Load())
	}
}

func turn(client *api.Client, key string, name int, hold time.Duration) {
	begun := now()
	lock, err := acquire(client, key)
	if err != nil {
		fmt.Println("failed", name, err)
		return
	}
	fmt.Println("acquired", name, begun, now())
	time.Sleep(hold)
	begun = now()
	release(lock)
	fmt.Println("released", name, begun, now())
}

func cycle(client *api.Client, key string) int64 {
	begun := now()
	lock, err := acquire(client, key)
	if err != nil {
		log.Fatal(err)
	}
	release(lock)
	return now() - begun
}

func main() {
	config := api.DefaultConfig()
	config.Address = os.Args[1]
	key := os.Args[2]
	if len(os.Args) > 3 {
		if _, err := fmt.Sscanf(os.Args[3], "semaphore=%d", &limit); err != nil {
			log.Fatal(err)
		}
		config.HttpClient = &http.Client{Transport: counting{config.Transport}}
	}
	client, err := api.NewClient(config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name, holdMs, count int
		if _, err := fmt.Sscanf(lines.Text(), "turns %d %d %d", &name, &holdMs, &count); err == nil {
			if limit > 0 {
				go tellRequests()
			}
			for range count {
				turn(client, key, name, time.Duration(holdMs)*time.Millisecond)
			}
		} else if _, err := fmt.Sscanf(lines.Text(), "cycles %d", &count); err == nil {
			var times strings.Builder
			for range count {
				fmt.Fprint(&times, " ", cycle(client, key))
			}
			fmt.Println("cycles" + times.String())
		}
	}
}
