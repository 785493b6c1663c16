package main

import (
	"context"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	holder, found, err := consullock.WhoHolds(context.Background(), "nightly-report")
	switch {
	case err != nil:
		log.Fatal(err)
	case found:
		fmt.Println(holder.Name, "on", holder.Node)
	default:
		fmt.Println("free")
	}
}
