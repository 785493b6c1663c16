//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// An Option of a lock. The last setting of an option counts; a wrong one is refused by [New]. What is not set
// comes from the defaults of the process ([SetDefault]). The whole table is docs/OPTIONS.md in the
// repository.
type Option func(*settings)

// settings are options on their way to C.
type settings struct {
	texts    []setting
	value    []byte
	hasBytes bool // the value is set as bytes
	hasValue bool // or as a text
	client   *Client
	refused  *Error // the first refusal of this package's own
}

type setting struct{ name, value string }

func (s *settings) set(name, value string) {
	s.texts = append(s.texts, setting{name, value})
	if name == "value" {
		s.hasBytes, s.hasValue = false, true
	}
}

func (s *settings) refuse(code Code, format string, args ...any) {
	if s.refused == nil {
		s.refused = &Error{Code: code, Message: fmt.Sprintf(format, args...)}
	}
}

// setTime sets an option to a time in units of its own.
func (s *settings) setTime(function, name string, d, unit time.Duration) {
	switch {
	case d < 0:
		s.refuse(ErrInvalidOption, "%s: %v is negative", function, d)
	case unit == time.Second && d%unit != 0:
		s.refuse(ErrInvalidOption, "%s: %v is not a whole number of seconds", function, d)
	default:
		// Less than a millisecond is not "at once".
		whole := d / unit
		if d%unit != 0 {
			whole++
		}
		s.set(name, strconv.FormatInt(int64(whole), 10))
	}
}

// WithOption sets any option by its name, such as "queue_grace_ms". Numbers are decimal digits; yes and no
// are "true" and "false".
func WithOption(name, value string) Option {
	return func(s *settings) { s.set(name, value) }
}

// WithTTL sets how long a lock lives that is never released: whole seconds, from 10 s to 24 h; the default is
// 180 s ("lock_timeout_seconds"). Take several times as long as the work usually needs.
func WithTTL(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithTTL", "lock_timeout_seconds", d, time.Second) }
}

// WithAcquireTimeout sets how long an acquire waits for a lock that somebody else has: at most 24 h, rounded
// up to milliseconds; the default 0 makes exactly one attempt ("acquire_timeout_ms"). If the context of the
// acquire ends earlier, that counts.
func WithAcquireTimeout(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithAcquireTimeout", "acquire_timeout_ms", d, time.Millisecond) }
}

// WithWait makes an acquire wait until its context ends.
func WithWait() Option {
	return func(s *settings) { s.set("acquire_timeout_ms", "-1") }
}

// WithValue sets the bytes that are stored under the key while the lock is held, at most 390,000, instead of
// what the value generator gives. They tell others who works, and are no place for a secret.
func WithValue(value []byte) Option {
	value = bytes.Clone(value)
	return func(s *settings) { s.value, s.hasBytes, s.hasValue = value, true, true }
}

// WithAutoRenew has the library renew the lock every third of its TTL, until it is released or lost. For work
// whose length nobody knows: a process that hangs then keeps the lock as long as it lives; see
// [WithMaxLifetime].
func WithAutoRenew() Option {
	return func(s *settings) { s.set("auto_renew", "true") }
}

// WithMaxLifetime bounds [WithAutoRenew]: so long after the acquire the lock is renewed no more, and ends
// within its TTL. Whole seconds; 0, the default, is no limit.
func WithMaxLifetime(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithMaxLifetime", "max_lifetime_seconds", d, time.Second) }
}

// WithMonitor sets whether a lock that is held for longer than a second is watched, so that a loss is told in
// a round trip and not at the end of its life. The default is true; it takes a connection while the lock is
// held.
func WithMonitor(yes bool) Option {
	return func(s *settings) { s.set("monitor", strconv.FormatBool(yes)) }
}

// WithFair sets whether a waiting acquire stands in line with the other processes, first come first served.
// The default is true; false lets luck decide.
func WithFair(yes bool) Option {
	return func(s *settings) { s.set("fair", strconv.FormatBool(yes)) }
}

// WithQueueGrace sets how long whoever is first in line may leave the lock free before the next one passes
// it: 10 ms to 60 s, rounded up to milliseconds; the default is 300 ms.
func WithQueueGrace(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithQueueGrace", "queue_grace_ms", d, time.Millisecond) }
}

// WithClient sets the client that the lock uses, instead of the default client. The lock keeps what it needs
// of it: the client may be closed at once.
func WithClient(client *Client) Option {
	return func(s *settings) {
		s.client = client
		if client == nil {
			s.refuse(ErrInvalidArgument, "WithClient: the client is nil")
		}
	}
}

// toC makes C's options, which the caller frees; nil if nothing was set. C remembers its own first refusal.
func (s *settings) toC() (*C.consul_lock_options, *Error) {
	if s.refused != nil {
		return nil, s.refused
	}
	if len(s.texts) == 0 && !s.hasValue && s.client == nil {
		return nil, nil
	}
	options := C.consul_lock_options_new()
	if options == nil {
		return nil, &Error{Code: ErrNoResources, Message: "no memory for options"}
	}
	if err := s.fill(options); err != nil {
		C.consul_lock_options_free(options)
		return nil, err
	}
	return options, nil
}

func (s *settings) fill(options *C.consul_lock_options) *Error {
	for _, one := range s.texts {
		name, value, err := one.toC()
		if err != nil {
			return err
		}
		C.consul_lock_options_set(options, name, value, nil)
	}
	if s.hasBytes {
		name, _ := cText("the option's name", "value")
		data, n := cBytes(s.value)
		C.consul_lock_options_set_bytes(options, name, data, n, nil)
	}
	if s.client != nil {
		client, ok := s.client.handle.enter()
		if !ok {
			return &Error{Code: ErrInvalidArgument, Message: "WithClient: the client cannot be used", Err: ErrClosed}
		}
		defer s.client.leave()
		C.consul_lock_options_set_client(options, client, nil)
	}
	return nil
}

func (s setting) toC() (name, value *C.char, err *Error) {
	name, err = cText("an option's name", s.name)
	if err == nil {
		value, err = cText("option "+s.name, s.value)
	}
	if err != nil {
		err.Code = ErrInvalidOption
	}
	return name, value, err
}
