// A program with the library of the Go module inside, and with a plugin that needs the library of the system. The
// program is linked with the plugin, or loads the plugin at run time:
//
//	program [PLUGIN]
package main

/*
#cgo LDFLAGS: -ldl

#include <dlfcn.h>
#include <stdio.h>

int plugin_taken(const char *) __attribute__((weak));

static int taken(const char *plugin, const char *key)
{
	int (*take)(const char *) = plugin_taken;
	if (plugin != NULL) {
		void *library = dlopen(plugin, RTLD_NOW);
		take = library == NULL ? NULL : dlsym(library, "plugin_taken");
	}
	if (take == NULL) {
		fprintf(stderr, "%s\n", plugin == NULL ? "no plugin is linked" : dlerror());
		return -1;
	}
	return take(key);
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
	var plugin *C.char
	if len(os.Args) > 1 {
		plugin = C.CString(os.Args[1])
	}
	key := C.CString("packaging/plugin")
	err := consullock.Hold(context.Background(), "packaging/plugin", func(context.Context) error {
		if status := C.taken(plugin, key); status != C.int(consullock.ErrNotAcquired) {
			return fmt.Errorf("the plugin has not been refused the lock that is held, but says %d", status)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if status := C.taken(plugin, key); status != 0 {
		log.Fatalf("the plugin cannot take the lock that is free: %d", status)
	}
	stats, err := consullock.DefaultStats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("two libraries,", stats.Acquire.Count, "acquire of the Go package")
}
