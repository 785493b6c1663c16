// The first program: only one at a time makes the report, in the whole datacenter.
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
		fmt.Println("no report:", err) // somebody else makes it, and the error says who
	case err != nil:
		log.Fatal(err)
	}
}
