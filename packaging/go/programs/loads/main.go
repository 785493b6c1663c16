// A program with the library of the Go module inside, other code of which loads the shared library as a plugin would:
//
//	loads FILE
package main

/*
#cgo CFLAGS: -D_GNU_SOURCE
#cgo LDFLAGS: -ldl

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Takes a lock and gives it back, by the functions of the loaded library. Returns the status of the acquire, or -1.
static int taken_by(const char *file, const char *key)
{
	void *library = dlopen(file, RTLD_NOW);
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	void *(*make)(const char *, const void *, void **) = dlsym(library, "consul_lock_new");
	int (*acquire)(void *, void **) = dlsym(library, "consul_lock_acquire");
	int (*release)(void *, void **) = dlsym(library, "consul_lock_release");
	void (*dispose)(void *) = dlsym(library, "consul_lock_free");
	Dl_info about;
	if (!make || !acquire || !release || !dispose || !dladdr(make, &about) || strstr(about.dli_fname, ".so") == NULL) {
		fprintf(stderr, "these are not the functions of %s\n", file);
		return -1;
	}
	void *lock = make(key, NULL, NULL);
	if (lock == NULL) {
		return -1;
	}
	int status = acquire(lock, NULL);
	if (status == 0 && release(lock, NULL) != 0) {
		status = -1;
	}
	dispose(lock);
	return status;
}
*/
import "C"

import (
	"context"
	"fmt"
	"log"
	"os"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

func main() {
	file, key := C.CString(os.Args[1]), C.CString("packaging/loads")
	err := consullock.Hold(context.Background(), "packaging/loads", func(context.Context) error {
		if status := C.taken_by(file, key); status != C.int(consullock.ErrNotAcquired) {
			return fmt.Errorf("the loaded library has not been refused the lock, but says %d", status)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if status := C.taken_by(file, key); status != 0 {
		log.Fatalf("the loaded library cannot take the lock that is free: %d", status)
	}
	stats, err := consullock.DefaultStats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("two libraries,", stats.Acquire.Count, "acquire of the Go package")
}
