package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func work(ctx context.Context) error {
	for step := 1; step <= 100; step++ {
		fmt.Println("step", step)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done(): // the lock is lost
			return ctx.Err()
		}
	}
	return nil
}

func main() {
	err := consullock.Hold(context.Background(), "long-work", work, consullock.WithAutoRenew())
	if errors.Is(err, consullock.ErrLost) {
		fmt.Println("lost: stopped")
	} else if err != nil {
		log.Fatal(err)
	}
}
