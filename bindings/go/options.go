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

// An Option is an option of a lock. The last setting of an option counts. [New] refuses a wrong one. An option that is
// not set comes from the defaults of the process ([SetDefault]). docs/OPTIONS.md in the repository has all options.
type Option func(*settings)

// settings are options on their way to C.
type settings struct {
	texts    []setting
	value    []byte
	hasBytes bool // the value is set as bytes
	hasValue bool // the value is set, as bytes or as a text
	client   *Client
	refused  *Error // the first refusal of this package itself
}

// A setting is one option. Messages use function, the name of the function that set the option, or the option's own
// name where function is empty. unit is the unit of a time.
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

// setTime sets an option to a time in the option's unit.
func (s *settings) setTime(function, name string, d, unit time.Duration) {
	switch {
	case d < 0:
		s.refuse(ErrInvalidOption, "%s: %v is negative", function, d)
	case unit == time.Second && d%unit != 0:
		s.refuse(ErrInvalidOption, "%s: %v is not a whole number of seconds", function, d)
	default:
		// Rounded up: less than a millisecond is not 0, which has another meaning.
		whole := d / unit
		if d%unit != 0 {
			whole++
		}
		s.setBy(function, name, strconv.FormatInt(int64(whole), 10), unit)
	}
}

// ofAnOption matches a refusal by the library: the option, then the rest. ofANumber matches the rest for a number.
var (
	ofAnOption = regexp.MustCompile(`^option (\w+)(.*)$`)
	ofANumber  = regexp.MustCompile(`^: must be (-?\d+) to (\d+), is (-?\d+)$`)
)

// spoken puts the function that the caller wrote into a refusal by the library, and times as Go writes them.
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
		// setTime has refused a negative time: only WithWait sets the library's -1.
		number, _ := strconv.ParseInt(text, 10, 64)
		return time.Duration(max(number, 0)) * s.unit
	}
	return fmt.Sprintf(": must be %v to %v, is %v", in(found[1]), in(found[2]), in(found[3]))
}

// WithOption sets any option by its name, such as "queue_grace_ms". A number is in decimal digits, and a bool is "true"
// or "false".
func WithOption(name, value string) Option {
	return func(s *settings) { s.set(name, value) }
}

// WithTTL sets the life of a lock without a release or a renewal: whole seconds, from 10 s to 24 h
// ("lock_timeout_seconds"). The default is 180 s. A good value is several times what the work usually takes.
func WithTTL(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithTTL", "lock_timeout_seconds", d, time.Second) }
}

// WithAcquireTimeout sets how long an acquire waits for the lock of another holder: at most 24 h, rounded up to
// milliseconds ("acquire_timeout_ms"). The default is 0: exactly one attempt. The end of the context ends the acquire
// earlier.
func WithAcquireTimeout(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithAcquireTimeout", "acquire_timeout_ms", d, time.Millisecond) }
}

// WithWait makes an acquire wait until its context ends.
func WithWait() Option {
	return func(s *settings) { s.setBy("WithWait", "acquire_timeout_ms", "-1", 0) }
}

// WithValue sets the bytes under the key while the lock is held, at most 390,000, instead of the value generator's. A
// lock that shares its key stores at most 512 bytes, because each exclusive waiter reads the values of all. Other
// processes read them, so they must not contain a secret.
func WithValue(value []byte) Option {
	value = bytes.Clone(value)
	return func(s *settings) { s.value, s.hasBytes, s.hasValue = value, true, true }
}

// WithAutoRenew makes the library renew the lock every third of its TTL, until the release or a loss. It is for work of
// unknown length. A process that hangs then keeps the lock as long as the process lives; see [WithMaxLifetime].
func WithAutoRenew() Option {
	return func(s *settings) { s.setBy("WithAutoRenew", "auto_renew", "true", 0) }
}

// WithMaxLifetime limits [WithAutoRenew], in whole seconds: this long after the acquire the library stops the renewals,
// and the lock ends within its TTL. The default is 0: no limit.
func WithMaxLifetime(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithMaxLifetime", "max_lifetime_seconds", d, time.Second) }
}

// WithMonitor sets whether the library watches a lock that is held for longer than a second, so that it reports a loss
// within a round trip and not at the end of the lock's life. The default is true. A watch occupies a connection.
func WithMonitor(yes bool) Option {
	return func(s *settings) { s.setBy("WithMonitor", "monitor", strconv.FormatBool(yes), 0) }
}

// WithFair sets whether a waiting acquire joins the line of waiters of all processes, first come, first served. The
// default is true. With false, luck decides between processes.
func WithFair(yes bool) Option {
	return func(s *settings) { s.setBy("WithFair", "fair", strconv.FormatBool(yes), 0) }
}

// WithQueueGrace sets how long the first waiter in line may leave the lock free before the next waiter passes it: 10 ms
// to 60 s, rounded up to milliseconds. The default is 300 ms.
func WithQueueGrace(d time.Duration) Option {
	return func(s *settings) { s.setTime("WithQueueGrace", "queue_grace_ms", d, time.Millisecond) }
}

// WithShare makes the lock share its key ("mode", "share"): all locks that share a key hold it at the same time, but
// never beside an exclusive one, as without this option. So they are the readers of a read/write lock, and exclusive
// locks on the same key are its writers. All wait in one line, so neither side starves. A goroutine that shares a key
// must not acquire a second share of it: where a writer waits in between, the goroutine would wait for itself.
func WithShare() Option {
	return func(s *settings) { s.setBy("WithShare", "mode", "share", 0) }
}

// WithLimit makes a lock that shares its key with at most so many: 1 to 1,024 ("limit"). That is a semaphore, each holder
// of which has a slot ([Lock.Slot]). WithOption("mode", "exclusive") makes an exclusive lock in spite of the limit, which
// is then that of its [Lock.Downgrade]. All locks that share a key need the same limit: another one is [ErrConflict].
// The default is no limit.
func WithLimit(n int) Option {
	return func(s *settings) { s.setBy("WithLimit", "limit", strconv.Itoa(n), 0) }
}

// WithClient sets the client of the lock, instead of the default client. The lock keeps a reference of its own, so the
// caller may close the client at once.
func WithClient(client *Client) Option {
	return func(s *settings) {
		s.client = client
		if client == nil {
			s.refuse(ErrInvalidArgument, "WithClient: the client is nil")
		}
	}
}

// toC makes C's options, which the caller frees. It is nil if nothing was set. C remembers its own first refusal.
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
