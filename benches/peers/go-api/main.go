// Takes and gives back a lock as it is told, with api.Lock. The contract is in ../README.md.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strings"
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

func acquire(client *api.Client, key string) (*api.Lock, error) {
	lock, err := client.LockKey(key)
	if err != nil {
		return nil, err
	}
	_, err = lock.Lock(nil)
	return lock, err
}

func release(lock *api.Lock) {
	if err := lock.Unlock(); err != nil {
		log.Fatal(err)
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
	client, err := api.NewClient(config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name, holdMs, count int
		if _, err := fmt.Sscanf(lines.Text(), "turns %d %d %d", &name, &holdMs, &count); err == nil {
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
