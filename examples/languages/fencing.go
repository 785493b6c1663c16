package main

import (
	"context"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// account stands for UPDATE account SET balance = ?, token = ? WHERE id = 7 AND token <= ?
type account struct {
	balance int
	token   uint64
}

func (a *account) write(balance int, token uint64) {
	if token < a.token {
		fmt.Println("refused: a later holder has written")
		return
	}
	a.balance, a.token = balance, token
	fmt.Println("written:", balance)
}

// turn takes the lock once and returns the token.
func turn() (token uint64) {
	err := consullock.Hold(context.Background(), "account/7", func(ctx context.Context) error {
		token = consullock.FromContext(ctx).FencingToken()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	return token
}

func main() {
	var account account
	earlier, later := turn(), turn()
	account.write(200, later)
	account.write(100, earlier) // by a holder that was paused for too long
}
