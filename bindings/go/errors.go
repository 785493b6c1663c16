//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
)

// A Code says what became of a call that failed. The codes are the library's own, the same in every language,
// and constants, to be compared with [errors.Is]:
//
//	if errors.Is(err, consullock.ErrNotAcquired) { … }   // somebody else works
//
// or to be switched over after [errors.As] with *[Error].
type Code int32

// What can become of a call.
const (
	// ErrInvalidArgument: an argument is wrong, such as a key that Consul would change or refuse. Nothing was
	// changed.
	ErrInvalidArgument Code = C.CONSUL_LOCK_INVALID_ARGUMENT
	// ErrInvalidOption: an option is unknown, in the wrong place, or out of its range. Nothing was changed.
	ErrInvalidOption Code = C.CONSUL_LOCK_INVALID_OPTION
	// ErrInvalidEnvironment: a setting in the environment is wrong. Nothing was sent.
	ErrInvalidEnvironment Code = C.CONSUL_LOCK_INVALID_ENVIRONMENT
	// ErrAlreadyUsed: a lock is single use, and this one was used before. Make a new one.
	ErrAlreadyUsed Code = C.CONSUL_LOCK_ALREADY_USED
	// ErrValueFailed: the value generator gave no value; its error is in the chain. Nothing was sent, and the
	// lock is not used up.
	ErrValueFailed Code = C.CONSUL_LOCK_VALUE_FAILED
	// ErrNotAcquired: Consul said until the deadline that the lock is not free. The message says who has it.
	ErrNotAcquired Code = C.CONSUL_LOCK_NOT_ACQUIRED
	// ErrCancelled: the call was ended by its context, whose error is in the chain then, or by [Lock.Cancel].
	ErrCancelled Code = C.CONSUL_LOCK_CANCELLED
	// ErrLost: the lock was held once and is not any more: it expired, or Consul or an operator ended it.
	ErrLost Code = C.CONSUL_LOCK_LOST
	// ErrNotHeld: the lock is not held: never acquired, given back, or used up.
	ErrNotHeld Code = C.CONSUL_LOCK_NOT_HELD
	// ErrUnconfirmed: Consul did not confirm a release in time, and the library goes on in the background
	// while the process lives (see Shutdown). Or Consul did not confirm a guarded write, which may have been
	// applied, and may still be while the lock is held.
	ErrUnconfirmed Code = C.CONSUL_LOCK_UNCONFIRMED
	// ErrUnavailable: Consul gave no usable answer in time.
	ErrUnavailable Code = C.CONSUL_LOCK_UNAVAILABLE
	// ErrDenied: Consul refused for want of rights, which the message names.
	ErrDenied Code = C.CONSUL_LOCK_DENIED
	// ErrRejected: Consul refused the request itself, or answered something that the library does not know. Or
	// the key of the lock holds the data of another program, which stay as they are.
	ErrRejected Code = C.CONSUL_LOCK_REJECTED
	// ErrInternal: a defect of the library. Please report it.
	ErrInternal Code = C.CONSUL_LOCK_INTERNAL
	// ErrForked: the lock belongs to the parent process. Not to be met in Go, which cannot fork without exec.
	ErrForked Code = C.CONSUL_LOCK_FORKED
	// ErrNoResources: the system gave no thread, no descriptor or no memory.
	ErrNoResources Code = C.CONSUL_LOCK_NO_RESOURCES
)

// String is the name that the code has in every language, such as "NOT_ACQUIRED".
func (c Code) String() string { return C.GoString(C.consul_lock_status_name(C.int32_t(c))) }

// Error makes a code an error that [errors.Is] finds.
func (c Code) Error() string { return "consullock: " + c.String() }

// ErrClosed is in the chain of the error of a call on a lock or a client that was closed before, or is a zero
// value and not made by [New] or [NewClient].
var ErrClosed = errors.New("it is closed")

// An Error says why a call failed. [errors.Is] finds its Code and its Err, [errors.As] the whole.
type Error struct {
	// Op is the call: "new", "acquire", "release", "renew", "check", "put", "delete", "hold", …
	Op string
	// Key is the lock's key as it was given; empty where there is none.
	Key string
	// Code says what became of the call.
	Code Code
	// Message is one line for people: what went wrong, on which key and address, what Consul said. It never
	// contains a token or a stored value.
	Message string
	// HTTPStatus is the status with which Consul answered, such as 403; 0 if the failure did not come with
	// one.
	HTTPStatus int
	// Retryable says that the same thing may well work later without any change: somebody had the lock, or
	// Consul could not be reached. A lock is single use: try again with a new one.
	Retryable bool
	// Reason says how the lock was lost, where Code is ErrLost; else 0.
	Reason LostReason
	// Err is what Go adds: the end of the context and its cause, the error of a value generator, ErrClosed;
	// else nil.
	Err error
}

// Error is one line: the message, and what Go adds.
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

// taken makes an error of the library's, which it frees; nil if there is none.
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

// of says which call on which key it was, and makes it an error as callers get it: none is nil.
func (e *Error) of(op, key string) error {
	if e == nil {
		return nil
	}
	e.Op, e.Key = op, key
	return e
}

// interrupted is the error of a call that its context has ended.
func interrupted(ctx context.Context, op, key string, code Code) error {
	return &Error{Op: op, Key: key, Code: code, Message: fmt.Sprintf("%s of %q was ended", op, key), Err: endOf(ctx)}
}

// endOf is the error of a context that has ended: what ctx.Err() says, and the cause if there is another.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
