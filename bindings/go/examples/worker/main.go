// A worker that waits for its turn, works until it is done, interrupted, or has lost the lock, and hands a
// fencing token to what it writes to.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	consullock.SetLogger(slog.Default())

	err := consullock.Hold(ctx, "invoices/"+time.Now().Format("2006-01"), work,
		consullock.WithWait(),                 // until Ctrl-C
		consullock.WithTTL(30*time.Second),    // after a crash the others go on soon
		consullock.WithAutoRenew(),            // and nobody knows how long it takes
		consullock.WithMaxLifetime(time.Hour), // unless it hangs
	)
	switch {
	case errors.Is(err, consullock.ErrLost):
		log.Fatal("others may have worked at the same time: ", err)
	case errors.Is(err, context.Canceled):
		log.Print("interrupted")
	case err != nil:
		log.Fatal(err)
	}

	// For an orderly end: what is still to be undone in Consul is undone.
	ending, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := consullock.Shutdown(ending); err != nil {
		log.Print(err)
	}
}

func work(ctx context.Context) error {
	token := consullock.FromContext(ctx).FencingToken()
	for i := 1; i <= 3; i++ {
		select {
		case <-ctx.Done(): // interrupted, or lost
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
		// UPDATE invoices SET …, token = $token WHERE id = … AND token <= $token
		fmt.Printf("invoice %d, with token %d\n", i, token)
	}
	return nil
}
