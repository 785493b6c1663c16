//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
)

// A Code says why a call failed. The codes are those of the library, the same in every language. They are constants
// for [errors.Is]:
//
//	if errors.Is(err, consullock.ErrNotAcquired) { … }   // another process works
//
// or for a switch after [errors.As] with *[Error].
type Code int32

// The codes of failed calls.
const (
	// ErrInvalidArgument: an argument is wrong, such as a key that Consul would change or refuse. The call changed
	// nothing.
	ErrInvalidArgument Code = C.CONSUL_LOCK_INVALID_ARGUMENT
	// ErrInvalidOption: an option is unknown, in the wrong place, or out of its range. The call changed nothing.
	ErrInvalidOption Code = C.CONSUL_LOCK_INVALID_OPTION
	// ErrInvalidEnvironment: a variable of the environment is wrong. The library sent nothing.
	ErrInvalidEnvironment Code = C.CONSUL_LOCK_INVALID_ENVIRONMENT
	// ErrAlreadyUsed: the lock was used before, and a lock is single use. Make a new one.
	ErrAlreadyUsed Code = C.CONSUL_LOCK_ALREADY_USED
	// ErrValueFailed: the value generator gave no value. Its error is in the chain. The library sent nothing, and
	// the lock is not used up.
	ErrValueFailed Code = C.CONSUL_LOCK_VALUE_FAILED
	// ErrNotAcquired: Consul answered until the deadline that the lock is not free. The message names the holder.
	ErrNotAcquired Code = C.CONSUL_LOCK_NOT_ACQUIRED
	// ErrCancelled: the context ended the call, and the context's error is in the chain. Or [Lock.Cancel] did.
	ErrCancelled Code = C.CONSUL_LOCK_CANCELLED
	// ErrLost: the lock was held and is not any more: it expired, or Consul or an operator ended it.
	ErrLost Code = C.CONSUL_LOCK_LOST
	// ErrNotHeld: the lock is not held: it was never acquired, or it was released or used up.
	ErrNotHeld Code = C.CONSUL_LOCK_NOT_HELD
	// ErrUnconfirmed: Consul did not confirm a release in time, and the library goes on in the background while the
	// process lives (see Shutdown). Or Consul did not confirm a guarded write: Consul may have applied the write,
	// or may still apply it while the lock is held.
	ErrUnconfirmed Code = C.CONSUL_LOCK_UNCONFIRMED
	// ErrConflict: the key is shared with another limit than the one of [WithLimit]. The message names both.
	ErrConflict Code = C.CONSUL_LOCK_CONFLICT
	// ErrUnavailable: Consul gave no usable answer in time.
	ErrUnavailable Code = C.CONSUL_LOCK_UNAVAILABLE
	// ErrDenied: Consul refused because the token lacks a right, which the message names.
	ErrDenied Code = C.CONSUL_LOCK_DENIED
	// ErrRejected: Consul refused the request itself, or gave an answer that the library does not know. Or the key
	// of the lock holds the data of another program, which the library does not touch.
	ErrRejected Code = C.CONSUL_LOCK_REJECTED
	// ErrInternal: the library has a defect. Please report it.
	ErrInternal Code = C.CONSUL_LOCK_INTERNAL
	// ErrForked: the lock belongs to the parent process. A Go program never gets it, as Go cannot fork without exec.
	ErrForked Code = C.CONSUL_LOCK_FORKED
	// ErrNoResources: the system gave no thread, no descriptor or no memory.
	ErrNoResources Code = C.CONSUL_LOCK_NO_RESOURCES
)

// String is the name that the code has in every language, such as "NOT_ACQUIRED".
func (c Code) String() string { return C.GoString(C.consul_lock_status_name(C.int32_t(c))) }

// Error makes a code an error that [errors.Is] finds.
func (c Code) Error() string { return "consullock: " + c.String() }

// ErrClosed is in the chain of the error of a call on a closed lock or client, or on a zero value that neither [New]
// nor [NewClient] made.
var ErrClosed = errors.New("it is closed")

// An Error says why a call failed. [errors.Is] finds its Code and its Err. [errors.As] finds the Error itself.
type Error struct {
	// Op is the name of the call: "new", "acquire", "release", "renew", "check", "put", "delete", "hold",
	// "upgrade", …
	Op string
	// Key is the lock's key as the caller wrote it, or all its keys with commas between them. Empty: the call has no
	// key.
	Key string
	// Code says which kind of failure it was.
	Code Code
	// Message is one line for people: what the library could not do, on which key and address, and what Consul
	// said. It never contains a token or a stored value.
	Message string
	// HTTPStatus is the status of Consul's answer, such as 403. 0: the failure came without an answer.
	HTTPStatus int
	// Retryable says that the same call may work later without any change: another session had the lock, or Consul
	// was unreachable. A lock is single use, so the caller tries again with a new one.
	Retryable bool
	// Reason says how the lock was lost, where Code is ErrLost. Else it is 0.
	Reason LostReason
	// Err is the cause that Go knows: the end of the context and its cause, the error of a value generator, or
	// ErrClosed. Else it is nil.
	Err error
}

// Error is one line: the message, and the cause that Go knows.
func (e *Error) Error() string {
	if e.Err == nil {
		return "consullock: " + e.Message
	}
	return "consullock: " + e.Message + ": " + e.Err.Error()
}

// Unwrap gives the code and the cause to [errors.Is] and [errors.As].
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// taken copies an error of the library, and frees it. It is nil where there is no error.
func taken(raw *C.consul_lock_error) *Error {
	if raw == nil {
		return nil
	}
	defer C.consul_lock_error_free(raw)
	return &Error{
		Code:       Code(C.consul_lock_error_code(raw)),
		Message:    C.GoString(C.consul_lock_error_message(raw)),
		HTTPStatus: int(C.consul_lock_error_http_status(raw)),
		Retryable:  bool(C.consul_lock_error_is_retryable(raw)),
		Reason:     LostReason(C.consul_lock_error_why_lost(raw)),
	}
}

// of adds the call and its key. A nil *Error becomes a nil error.
func (e *Error) of(op, key string) error {
	if e == nil {
		return nil
	}
	e.Op, e.Key = op, key
	return e
}

// interrupted is the error of a call that was ended by its context.
func interrupted(ctx context.Context, op, key string, code Code) error {
	return &Error{Op: op, Key: key, Code: code, Message: fmt.Sprintf("%s of %q was ended", op, key), Err: endOf(ctx)}
}

// endOf is the error of an ended context: ctx.Err(), and the context's cause where that is another error.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
