//go:build cgo

// Package consullock takes distributed ephemeral locks on Consul, through libconsul_lock: for work that one
// server at a time may do.
//
//	err := consullock.Hold(ctx, "nightly-report", func(ctx context.Context) error {
//		return makeTheReport(ctx)
//	})
//	if errors.Is(err, consullock.ErrNotAcquired) {
//		log.Print(err) // somebody else makes it, and the error says who
//	}
//
// A lock has a bounded life: it is held by a Consul session with a TTL ([WithTTL]), so a holder that crashes
// never blocks the others for ever, and its key is deleted when it is given back. It is single use: each
// round of work makes a new one, which costs nothing. What works for the consul command works here:
// Consul is found by CONSUL_HTTP_ADDR, else on 127.0.0.1:8500, and its other variables are read, too, such as
// CONSUL_HTTP_TOKEN and CONSUL_CACERT. A program that wants it otherwise makes a client ([NewClient]).
//
// # Waiting and contexts
//
// By default an acquire makes exactly one attempt. [WithAcquireTimeout] waits so long, and [WithWait] until
// the context ends; waiters are served in order, between processes as within one. The end of the context ends
// any call at once: its error has the context's in its chain, and an acquire is undone. A thousand goroutines
// that wait take no thousand threads of the operating system: no more than a few calls ever block one.
//
// # Lost locks
//
// A lock cannot stop a holder that works on after its life has ended. Stop when [Lock.Lost] is closed, or the
// context ends that [Hold] gives; look at [Lock.IsHeld] before each step that must not be done twice; and
// where a late write would do harm, hand on [Lock.FencingToken], or write with [Lock.PutIfHeld].
//
// # Errors
//
// Each failure is an *[Error] with a [Code], which [errors.Is] finds: [ErrNotAcquired] (somebody has it),
// [ErrUnavailable] (no usable answer) and [ErrDenied] (no rights) are never confused.
//
// # Goroutines, memory, exit
//
// Everything may be called by any goroutine at any time, also a Close beside other calls. Close a lock that
// was not used by [Hold], best by defer. One that is forgotten while it is held is left to its TTL by the
// garbage collector, its [Lock.Lost] is closed, and a warning says so: a lock that the collector gave back
// would be lost in silence.
// Nothing happens at exit; see [Shutdown].
package consullock
