//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"bytes"
	"fmt"
	"regexp"
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

// function is the one that set the option, for messages; empty: it was set by its name. unit is that of a time.
type setting struct {
	name, value, function string
	unit                  time.Duration
}

func (s *settings) set(name, value string) { s.setBy("", name, value, 0) }

func (s *settings) setBy(function, name, value string, unit time.Duration) {
	s.texts = append(s.texts, setting{name, value, function, unit})
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
		s.setBy(function, name, strconv.FormatInt(int64(whole), 10), unit)
	}
}

// ofAnOption is a refusal of the library's: of which option, then the rest. ofANumber is the rest for a number.
var (
	ofAnOption = regexp.MustCompile(`^option (\w+)(.*)$`)
	ofANumber  = regexp.MustCompile(`^: must be (-?\d+) to (\d+), is (-?\d+)$`)
)

// spoken has a refusal of the library's name the function that the caller wrote, and times as Go writes them.
func (s *settings) spoken(err *Error) *Error {
	if err == nil {
		return nil
	}
	found := ofAnOption.FindStringSubmatch(err.Message)
	for _, one := range s.texts {
		if found != nil && one.name == found[1] && one.function != "" {
			err.Message = one.function + one.inUnits(found[2])
		}
	}
	return err
}

func (s setting) inUnits(why string) string {
	found := ofANumber.FindStringSubmatch(why)
	if found == nil || s.unit == 0 {
		return why
	}
	in := func(text string) time.Duration {
		// A negative time is refused before: the library's -1 has a function of its own.
		number, _ := strconv.ParseInt(text, 10, 64)
		return time.Duration(max(number, 0)) * s.unit
	}
	return fmt.Sprintf(": must be %v to %v, is %v", in(found[1]), in(found[2]), in(found[3]))
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
	return func(s *settings) { s.setBy("WithWait", "acquire_timeout_ms", "-1", 0) }
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
	return func(s *settings) { s.setBy("WithAutoRenew", "auto_renew", "true", 0) }
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
	return func(s *settings) { s.setBy("WithMonitor", "monitor", strconv.FormatBool(yes), 0) }
}

// WithFair sets whether a waiting acquire stands in line with the other processes, first come first served.
// The default is true; false lets luck decide.
func WithFair(yes bool) Option {
	return func(s *settings) { s.setBy("WithFair", "fair", strconv.FormatBool(yes), 0) }
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
