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

// A LostReason says how a lock was lost; 0: nobody has said so.
type LostReason int32

// How a lock can be lost.
const (
	// Expired: its life ended before it was released or renewed.
	Expired LostReason = C.CONSUL_LOCK_LOST_REASON_EXPIRED
	// SessionGone: Consul ended its session; an operator did it, or the stop of the agent that it was made
	// through.
	SessionGone LostReason = C.CONSUL_LOCK_LOST_REASON_SESSION_GONE
	// KeyGone: its key is gone: deleted, or removed with its session.
	KeyGone LostReason = C.CONSUL_LOCK_LOST_REASON_KEY_GONE
	// TakenOver: another session holds its key.
	TakenOver LostReason = C.CONSUL_LOCK_LOST_REASON_TAKEN_OVER
)

// String is the name that the reason has in every language, such as "KEY_GONE".
func (r LostReason) String() string {
	switch r {
	case Expired:
		return "EXPIRED"
	case SessionGone:
		return "SESSION_GONE"
	case KeyGone:
		return "KEY_GONE"
	case TakenOver:
		return "TAKEN_OVER"
	}
	return "UNKNOWN"
}

// words are those of the library's log.
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

// of is the loss of the lock on a key.
func (r LostReason) of(key string) *Error {
	return &Error{Op: "hold", Key: key, Code: ErrLost, Reason: r,
		Message: fmt.Sprintf("lost the lock %q: %s", key, r.words())}
}

// Lost is closed when the lock is lost: at the end of its life at the latest, also when no Consul can be
// reached, and with the monitor (the default) a round trip after Consul ended it. It is never closed for a
// lock that was given back.
//
// Should the system have no thread for the notice, it is closed at once, and LostReason is 0. It is also
// closed when the lock is garbage collected while it is held.
func (l *Lock) Lost() <-chan struct{} { return l.watch().ctx.Done() }

// LostReason says how the lock was lost, when Lost is closed; 0 before.
func (l *Lock) LostReason() LostReason { return l.watch().reason() }

// A loss is what the library tells of. It knows nothing of its lock, which could never be garbage collected
// else.
type loss struct {
	key    string
	ctx    context.Context // ended by the loss, which is its cause
	cancel context.CancelCauseFunc
}

func (l *Lock) watch() *loss {
	if told := l.loss.Load(); told != nil {
		return told
	}
	told := &loss{key: l.name}
	told.ctx, told.cancel = context.WithCancelCause(context.Background())
	if !l.loss.CompareAndSwap(nil, told) {
		return l.loss.Load()
	}
	ptr, ok := l.handle.enter()
	if !ok {
		return told
	}
	defer l.leave()
	var raw *C.consul_lock_error
	// The library frees the handle, also if it refuses.
	C.consullockgo_watch_loss(ptr, C.consullockgo_handle(cgo.NewHandle(told)), &raw)
	if refused := taken(raw); refused != nil {
		told.cancel(refused.of("watch", l.name))
	}
	return told
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

// explained adds the reason to the error of a lost lock that has none, where somebody was told of it.
func (l *Lock) explained(err *Error, op string) error {
	if err != nil && err.Code == ErrLost && err.Reason == 0 {
		if told := l.loss.Load(); told != nil {
			err.Reason = told.reason()
		}
	}
	return err.of(op, l.name)
}
