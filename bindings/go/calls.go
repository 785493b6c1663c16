//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"sync/atomic"
)

// The library offers each call that asks Consul in two ways. A blocking call is faster, because the library sends
// the request on the thread of the caller, but the call occupies that thread of the operating system. A started
// call reports its outcome to a callback and occupies no thread. So the first few calls block, and the package
// starts all calls beyond them.
const (
	// Acquires may wait for a long time, so half of the threads stay free for short calls.
	mostBlockedAcquires = 8
	mostBlocked         = 16
)

var blocked atomic.Int32

// An outcome is the result of a call: an error, or none.
type outcome struct {
	err     *Error
	holder  *Holder // of WhoHolds
	holders string  // of Holders, as JSON
}

type (
	blockingCall func(raw **C.consul_lock_error) outcome
	startingCall func(handle C.consullockgo_handle, raw **C.consul_lock_error) C.consul_lock_status
)

// ask makes a call in one of the two ways, and waits for its outcome.
func ask(most int32, block blockingCall, start startingCall) outcome {
	if blocked.Add(1) > most {
		blocked.Add(-1)
		return <-startCall(start)
	}
	defer blocked.Add(-1)
	var raw *C.consul_lock_error
	result := block(&raw)
	result.err = taken(raw)
	return result
}

// startCall starts a call. The channel gets the outcome, exactly once, and the caller need not read it.
func startCall(start startingCall) <-chan outcome {
	done := make(chan outcome, 1)
	handle := cgo.NewHandle(done)
	var raw *C.consul_lock_error
	if start(C.consullockgo_handle(handle), &raw) != C.CONSUL_LOCK_OK {
		handle.Delete()
		done <- outcome{err: taken(raw)}
	}
	return done
}

// orEnd waits for the end of a call or the end of ctx. After the end of ctx the call goes on in the background.
func orEnd(ctx context.Context, call func() outcome) (result outcome, ended bool) {
	if ctx.Done() == nil {
		return call(), false
	}
	done := make(chan outcome, 1)
	go func() { done <- call() }()
	select {
	case result := <-done:
		return result, false
	case <-ctx.Done():
		return outcome{}, true
	}
}
