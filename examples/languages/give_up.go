package main

import (
	"context"
	"fmt"
	"log"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	lock, err := consullock.New("nightly-report", consullock.WithAcquireTimeout(2*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Close()
	taken, err := lock.TryAcquire(context.Background())
	switch {
	case err != nil:
		log.Fatalf("no report: %v", err)
	case taken:
		fmt.Println("making the report")
	default:
		fmt.Println("another process makes it")
	}
}
