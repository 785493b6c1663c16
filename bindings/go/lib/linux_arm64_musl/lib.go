// Package lib is libconsul_lock as a static library for Linux on aarch64 with musl. Package consullock imports it
// where it fits.
package lib

// #cgo LDFLAGS: ${SRCDIR}/libconsul_lock.a
//
// #include <features.h>
// #ifdef __GLIBC__
// #error "-tags musl is for musl, and this C library is glibc: build without the tag, or with CC=musl-gcc"
// #endif
import "C"
