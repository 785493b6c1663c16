// Only one process in the whole datacenter makes the report at a time.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	err := consullock.Hold(context.Background(), "nightly-report", func(ctx context.Context) error {
		fmt.Println("making the report")
		return nil
	})
	switch {
	case errors.Is(err, consullock.ErrNotAcquired):
		fmt.Println("no report:", err) // another process makes it, and the error names that process
	case err != nil:
		log.Fatal(err)
	}
}
