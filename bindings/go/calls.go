//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"runtime/cgo"
	"sync/atomic"
)

// The library offers each call that asks Consul in two ways. One blocks: it costs a thread of the operating
// system while it lasts, and is the faster one, as the library sends the request on that very thread. The
// other tells its outcome to a callback, and costs no thread however many wait. So the first few calls block,
// and all beyond them are called back.
const (
	// An acquire may wait for a long time.
	mostBlockedAcquires = 8
	mostBlocked         = 16
)

var blocked atomic.Int32

// An outcome is what a call came to.
type outcome struct {
	err    *Error
	holder *Holder // of WhoHolds
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

// startCall makes a call that is called back, exactly once; nobody has to wait for it.
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

// orEnd waits for a call, or the end of ctx, which leaves the call to itself.
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
