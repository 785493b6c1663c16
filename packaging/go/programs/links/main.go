// A program with the library of the Go module inside, other code of which links the library of the system.
package main

/*
#cgo pkg-config: consul_lock

#include <consul_lock.h>

// Takes a lock and gives it back. Returns the status.
static int taken(const char *key)
{
	consul_lock *lock = consul_lock_new(key, NULL, NULL);
	int status = consul_lock_acquire(lock, NULL);
	if (status == CONSUL_LOCK_OK) {
		status = consul_lock_release(lock, NULL);
	}
	consul_lock_free(lock);
	return status;
}
*/
import "C"

import (
	"context"
	"fmt"
	"log"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	if status := C.taken(C.CString("packaging/links")); status != C.CONSUL_LOCK_OK {
		log.Fatalf("the C code cannot take the lock: %d", status)
	}
	err := consullock.Hold(context.Background(), "packaging/links", func(context.Context) error { return nil })
	if err != nil {
		log.Fatal(err)
	}
	stats, err := consullock.DefaultStats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("one library,", stats.Acquire.Count, "acquires of both")
}
