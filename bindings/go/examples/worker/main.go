// A worker waits for the lock, works until the work is done, Ctrl-C interrupts it or the lock is lost, and hands a
// fencing token on with each write.
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
		consullock.WithWait(),                 // waits until Ctrl-C
		consullock.WithTTL(30*time.Second),    // a crash blocks the others for 30 s
		consullock.WithAutoRenew(),            // the work may take longer than 30 s
		consullock.WithMaxLifetime(time.Hour), // a worker that hangs loses the lock
	)
	switch {
	case errors.Is(err, consullock.ErrLost):
		log.Fatal("others may have worked at the same time: ", err)
	case errors.Is(err, context.Canceled):
		log.Print("interrupted")
	case err != nil:
		log.Fatal(err)
	}

	// An orderly exit waits for what the library still undoes in Consul.
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
