// A program with the library of the Go module and code in C++ that throws.
package main

// int caught(int depth);
import "C"

import (
	"context"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	err := consullock.Hold(context.Background(), "packaging/throws", func(context.Context) error {
		if C.caught(3) != 1 {
			return fmt.Errorf("an exception was not caught")
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("thrown and caught")
}
