//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrIncompatible is in the chain of every error if the loaded libconsul_lock has another ABI version than the header
// that this program was compiled with.
var ErrIncompatible = errors.New("consullock: incompatible libconsul_lock")

// incompatible is the error of every function that would call an incompatible library.
var incompatible = compare(C.CONSUL_LOCK_ABI_VERSION, uint32(C.consul_lock_abi_version()))

func compare(header, library uint32) error {
	if header == library {
		return nil
	}
	return fmt.Errorf("%w: it has ABI version %d, and this program was compiled for %d: "+
		"install the library that belongs to the header, or compile again (ldd shows which library is loaded)",
		ErrIncompatible, library, header)
}

// Version is the version of the loaded libconsul_lock, such as "0.1.0".
func Version() string { return C.GoString(C.consul_lock_version()) }

// longest is the longest time that the library takes, in milliseconds.
const longest = 86_400_000

// Shutdown makes an orderly exit: it destroys the sessions that the library keeps for reuse, and waits for the releases
// and the undone acquires that are still in progress, or for the end of ctx. It is optional: after an unconfirmed
// release Consul removes the lock by itself within two TTLs. Locks and clients stay usable.
//
// ErrUnconfirmed, with ctx's error: something was still in progress.
func Shutdown(ctx context.Context) error {
	if incompatible != nil {
		return incompatible
	}
	wait := int64(longest)
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(max(0, time.Until(deadline).Milliseconds()), longest)
	}
	done := startCall(func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status {
		return C.consullockgo_shutdown_start(C.int64_t(wait), handle, raw)
	})
	select {
	case outcome := <-done:
		if outcome.err == nil {
			return nil
		}
		if outcome.err.Code == ErrUnconfirmed && wait < longest {
			// The library's clock ended a moment before ctx's.
			<-ctx.Done()
			outcome.err.Err = endOf(ctx)
		}
		return outcome.err.of("shutdown", "")
	case <-ctx.Done():
		return &Error{Op: "shutdown", Code: ErrUnconfirmed, Err: endOf(ctx),
			Message: "releases are still in progress"}
	}
}
