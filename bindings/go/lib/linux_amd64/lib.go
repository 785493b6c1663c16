// Package lib is libconsul_lock as a static library for Linux on x86_64 with glibc. Package consullock imports it
// where it fits.
package lib

// #cgo LDFLAGS: ${SRCDIR}/libconsul_lock.a -lgcc_eh -lutil -lrt -lpthread -lm -ldl
//
// #include <features.h>
// #ifndef __GLIBC__
// #error "this C library is not glibc: build with -tags musl"
// #endif
import "C"
