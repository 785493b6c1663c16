package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func check(err error, busy string) {
	if errors.Is(err, consullock.ErrNotAcquired) {
		fmt.Println(busy)
	} else if err != nil {
		log.Fatal(err)
	}
}

func main() {
	ctx := context.Background()
	err := consullock.Hold(ctx, "licence", func(ctx context.Context) error {
		slot, _ := consullock.FromContext(ctx).Slot()
		fmt.Println("licence", slot, "of 0 to 2")
		return nil
	}, consullock.WithLimit(3))
	check(err, "all licences are in use")

	err = consullock.HoldAll(ctx, []string{"account/7", "account/3"}, func(context.Context) error {
		fmt.Println("moving the money")
		return nil
	})
	check(err, "an account is in use")
}
