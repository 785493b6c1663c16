//go:build cgo

// Package consullock takes distributed ephemeral locks on Consul, through libconsul_lock: for work that one
// server at a time may do.
//
//	err := consullock.Hold(ctx, "nightly-report", func(ctx context.Context) error {
//		return makeTheReport(ctx)
//	})
//	if errors.Is(err, consullock.ErrNotAcquired) {
//		log.Print(err) // another process makes it, and the error names that process
//	}
//
// A lock has a bounded life: a Consul session with a TTL ([WithTTL]) holds the lock, so a holder that crashes
// does not block the others for ever. A release deletes the key. A lock is single use: each round of work makes a
// new one, which costs nothing. The package reads the environment as the consul command does: CONSUL_HTTP_ADDR
// (else Consul is at 127.0.0.1:8500), CONSUL_HTTP_TOKEN, CONSUL_CACERT and the others. A program that needs other
// settings makes a client ([NewClient]).
//
// # Waiting and contexts
//
// By default an acquire makes exactly one attempt. With [WithAcquireTimeout] an acquire waits for that time, and
// with [WithWait] until the context ends. Waiters are served first come, first served, within a process and
// between processes. The end of the context ends any call at once: the error of the call has the context's error
// in its chain, and the library undoes an acquire. (Only [Lock.Upgrade] also waits until Consul has confirmed that the
// lock is a share again.) A thousand goroutines that wait do not take a thousand threads
// of the operating system: at most 16 calls block a thread.
//
// # Readers, semaphores, several keys
//
// A lock is exclusive unless [WithShare] makes it share its key: the readers of a read/write lock, whose writers are
// exclusive locks on the same key. With [WithLimit] at most so many share the key, each with a slot of its own
// ([Lock.Slot]): a semaphore. [Lock.Downgrade] and [Lock.Upgrade] turn an exclusive lock into a share and back,
// without a gap. [NewAll] and [HoldAll] take several keys, all or none, and locks on overlapping keys never wait for
// each other in a circle. All of these wait in the same lines.
//
//	err := consullock.Hold(ctx, "licence", func(ctx context.Context) error {
//		slot, _ := consullock.FromContext(ctx).Slot() // 0, 1 or 2
//		return work(ctx, slot)
//	}, consullock.WithLimit(3), consullock.WithWait())
//
// [WhoHolds] asks for the exclusive holder of a key, [Holders] for all that hold it or wait for it, and [Observe]
// reports each change of the exclusive holder.
//
// # Lost locks
//
// A lock cannot stop a holder that works on after the end of the lock's life. The holder stops when [Lock.Lost] is
// closed, or when the context of [Hold] ends. The holder asks [Lock.IsHeld] before each step that must not be done
// twice. Where a late write would do harm, the holder hands on [Lock.FencingToken] or writes with [Lock.PutIfHeld].
//
// # Errors
//
// Each failure is an *[Error] with a [Code], which [errors.Is] finds. [ErrNotAcquired] (another session holds the
// lock), [ErrConflict] (the key is shared with another limit), [ErrUnavailable] (Consul gave no usable answer) and
// [ErrDenied] (the token lacks a right) are kept apart.
//
// # Goroutines, memory, exit
//
// Any goroutine may call any function at any time, also Close beside other calls. A program closes each lock that
// [Hold] does not close, best by defer. The garbage collector leaves a forgotten lock to its TTL, closes its
// [Lock.Lost], and logs a warning: a release by the collector would be a loss that the holder does not notice.
// The package does nothing at exit; see [Shutdown].
package consullock
