package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// The longest wait of a step.
const patience = 30 * time.Second

// errRaised is the error of the step `raise`.
var errRaised = errors.New("raised by the scenario")

// A run is one scenario, or one block in a child.
type run struct {
	suite     *suite
	stored    func(name, value string) // gets each variable that a step stores
	variables map[string]string
	clients   map[string]*consullock.Client
	locks     map[string]*consullock.Lock
	lost      map[string]<-chan struct{}
	holding   map[string]context.Context // the contexts of the holds, by the names of their locks
	tasks     map[string]*task
	news      map[string]<-chan consullock.Observation
	unobserve map[string]context.CancelFunc
}

func newRun(suite *suite) *run {
	return &run{
		suite:  suite,
		stored: func(string, string) {},
		variables: map[string]string{
			"agent": os.Getenv("CONSUL_HTTP_ADDR"),
			"acl":   os.Getenv("TEST_CONSUL_ACL_ADDR"),
			"dead":  os.Getenv("TEST_CONSUL_DEAD_ADDR"),
			"pid":   strconv.Itoa(os.Getpid()),
		},
		clients: map[string]*consullock.Client{},
		locks:   map[string]*consullock.Lock{},
		lost:    map[string]<-chan struct{}{},
		holding: map[string]context.Context{},
		tasks:   map[string]*task{},

		news:      map[string]<-chan consullock.Observation{},
		unobserve: map[string]context.CancelFunc{},
	}
}

func (r *run) set(name, value string) {
	r.variables[name] = value
	r.stored(name, value)
}

// end ends the calls and children that the scenario has left.
func (r *run) end() {
	for _, task := range r.tasks {
		task.stop()
	}
	for _, end := range r.unobserve {
		end()
	}
	var all sync.WaitGroup
	for _, lock := range r.locks {
		all.Add(1)
		go func(lock *consullock.Lock) {
			defer all.Done()
			lock.Close()
		}(lock)
	}
	all.Wait()
}

// block executes steps until one fails.
func (r *run) block(steps []step) error {
	for _, step := range steps {
		if err := r.step(step); err != nil {
			return err
		}
	}
	return nil
}

// A failure names the line of its step.
type failure struct {
	line int
	why  string
}

func (f *failure) Error() string { return fmt.Sprintf("line %d: %s", f.line, f.why) }

func (r *run) step(s step) error {
	words, err := r.texts(s.words)
	if err != nil {
		return &failure{s.line, err.Error()}
	}
	began := time.Now()
	answer, err := r.do(s, words[0], words[1:])
	took := time.Since(began)
	var inside *failure
	if errors.As(err, &inside) || (err == errRaised && words[0] == "raise") {
		return err
	}
	line := s.line
	if s.end != 0 {
		line = s.end
	}
	want, wrong := r.texts(s.want)
	if wrong == nil {
		wrong = judge(want, answer, err, took)
	}
	if wrong != nil {
		return &failure{line, strings.Join(s.words, " ") + ": " + wrong.Error()}
	}
	if s.as != "" {
		r.set(s.as, answer)
	}
	return nil
}

var variable = regexp.MustCompile(`\{[a-z_][a-z0-9_]*\}`)

// texts resolves quotes and variables.
func (r *run) texts(words []string) ([]string, error) {
	var unknown error
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = variable.ReplaceAllStringFunc(text(word), func(name string) string {
			value, ok := r.variables[strings.Trim(name, "{}")]
			if !ok {
				unknown = fmt.Errorf("there is no variable %s", name)
			}
			return value
		})
	}
	return out, unknown
}

// The number of words of each clause.
var clauses = map[string]int{
	"says": 1, "hides": 1, "between": 2, "within": 2, "http": 1, "retryable": 0, "final": 0,
}

// judge says what is wrong with an answer, or with an error that the scenario may expect.
func judge(want []string, answer string, err error, took time.Duration) error {
	said := answer
	var of *consullock.Error
	switch {
	case err == nil:
	case err == errRaised:
		answer = "raised"
	case err == errInterrupted:
		answer = "interrupted"
	case errors.As(err, &of):
		answer, said = of.Code.String(), err.Error()
	default:
		return err
	}

	wanted := "no failure"
	right := err == nil
	if len(want) > 0 {
		if _, clause := clauses[want[0]]; !clause {
			wanted, right = want[0], answer == want[0]
			want = want[1:]
		}
	}
	if !right {
		return fmt.Errorf("wanted %s, got %s: %s", wanted, answer, said)
	}
	for len(want) > 0 {
		clause := want[0]
		n, known := clauses[clause]
		if !known || len(want) <= n {
			return fmt.Errorf("no clause: %s", strings.Join(want, " "))
		}
		if !holds(clause, want[1:1+n], answer, said, of, took) {
			return fmt.Errorf("wanted %s, got %s after %v: %s", strings.Join(want[:1+n], " "), answer, took, said)
		}
		want = want[1+n:]
	}
	return nil
}

func holds(clause string, words []string, answer, said string, err *consullock.Error, took time.Duration) bool {
	switch clause {
	case "says":
		return strings.Contains(said, words[0])
	case "hides":
		return !strings.Contains(said, words[0])
	case "between":
		return isBetween(answer, words)
	case "within":
		return isBetween(strconv.FormatInt(took.Milliseconds(), 10), words)
	case "http":
		return err != nil && strconv.Itoa(err.HTTPStatus) == words[0]
	case "retryable":
		return err != nil && err.Retryable
	default: // final
		return err != nil && !err.Retryable
	}
}

func isBetween(number string, bounds []string) bool {
	n, wrong := strconv.ParseInt(number, 10, 64)
	least, wrongLeast := strconv.ParseInt(bounds[0], 10, 64)
	most, wrongMost := strconv.ParseInt(bounds[1], 10, 64)
	return wrong == nil && wrongLeast == nil && wrongMost == nil && least <= n && n <= most
}

func random() string {
	var bytes [4]byte
	rand.Read(bytes[:])
	return hex.EncodeToString(bytes[:])
}
