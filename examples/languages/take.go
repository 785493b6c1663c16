package main

import (
	"context"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	err := consullock.Hold(context.Background(), "nightly-report", func(context.Context) error {
		fmt.Println("making the report")
		return nil
	})
	if err != nil {
		log.Fatalf("no report: %v", err)
	}
}
