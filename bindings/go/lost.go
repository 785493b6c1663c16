//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
)

// A LostReason says how a lock was lost. 0: the lock is not lost, or the reason is unknown.
type LostReason int32

// How a lock can be lost.
const (
	// Expired: the lock's life ended before a release or a renewal.
	Expired LostReason = C.CONSUL_LOCK_LOST_REASON_EXPIRED
	// SessionGone: Consul ended the lock's session: it expired, an operator ended it, or its node left or was
	// removed.
	SessionGone LostReason = C.CONSUL_LOCK_LOST_REASON_SESSION_GONE
	// KeyGone: the lock's key is gone: deleted, or removed with its session.
	KeyGone LostReason = C.CONSUL_LOCK_LOST_REASON_KEY_GONE
	// TakenOver: another session holds the lock's key.
	TakenOver LostReason = C.CONSUL_LOCK_LOST_REASON_TAKEN_OVER
)

// String is the name that the reason has in every language, such as "KEY_GONE".
func (r LostReason) String() string { return C.GoString(C.consul_lock_lost_reason_name(C.int32_t(r))) }

// words says the reason as the library's log does.
func (r LostReason) words() string {
	switch r {
	case Expired:
		return "its time ran out before it was released or renewed"
	case SessionGone:
		return "Consul ended its session (it expired, an operator ended it, or its node left or was removed)"
	case KeyGone:
		return "its key is gone (deleted, or removed with its session)"
	case TakenOver:
		return "another session holds its key"
	}
	return "the library does not say how"
}

// of is the error for the loss of the lock on a key.
func (r LostReason) of(key string) *Error {
	return &Error{Op: "hold", Key: key, Code: ErrLost, Reason: r,
		Message: fmt.Sprintf("lost the lock %q: %s", key, r.words())}
}

// Lost is closed when the lock is lost: a round trip after Consul ended it where the monitor is on (the default), and
// at the end of the lock's life at the latest, also without Consul. It is never closed for a released lock.
//
// It is closed at once, with LostReason 0, if the system has no thread for the notice. It is also closed when the
// garbage collector finds a held lock.
func (l *Lock) Lost() <-chan struct{} { return l.watch().ctx.Done() }

// LostReason says how the lock was lost, once Lost is closed. It is 0 before.
func (l *Lock) LostReason() LostReason { return l.watch().reason() }

// A loss is the receiver of the library's notice. It does not refer to its lock: the library keeps the loss alive,
// and would keep the lock from the garbage collector.
type loss struct {
	key    string
	ctx    context.Context // ended by the loss, which is its cause
	cancel context.CancelCauseFunc
}

func (l *Lock) watch() *loss {
	if notice := l.loss.Load(); notice != nil {
		return notice
	}
	notice := &loss{key: l.name}
	notice.ctx, notice.cancel = context.WithCancelCause(context.Background())
	if !l.loss.CompareAndSwap(nil, notice) {
		return l.loss.Load()
	}
	ptr, ok := l.handle.enter()
	if !ok {
		return notice
	}
	defer l.leave()
	var raw *C.consul_lock_error
	// The library frees the handle, also when it refuses.
	C.consullockgo_watch_loss(ptr, C.consullockgo_handle(cgo.NewHandle(notice)), &raw)
	if refused := taken(raw); refused != nil {
		notice.cancel(refused.of("watch", l.name))
	}
	return notice
}

func (t *loss) happened(reason LostReason) {
	t.cancel(reason.of(t.key))
}

func (t *loss) reason() LostReason {
	var why *Error
	if errors.As(context.Cause(t.ctx), &why) {
		return why.Reason
	}
	return 0
}
