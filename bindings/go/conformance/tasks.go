package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// errInterrupted is the cause of an interrupted call's context.
var errInterrupted = errors.New("interrupted")

// A task is a call or a child that runs beside the scenario.
type task struct {
	done      chan struct{}
	answer    string
	err       error
	interrupt func()
	stop      func()
	output    *strings.Builder // of a child
}

func (r *run) withTask(name string, with func(*task)) error {
	t, ok := r.tasks[name]
	if !ok {
		return fmt.Errorf("there is no task %s", name)
	}
	with(t)
	return nil
}

func (r *run) begin(name, verb, of string, words []string) error {
	lock, ok := r.locks[of]
	if !ok {
		return fmt.Errorf("there is no lock %s", of)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{done: make(chan struct{}), interrupt: cancel, stop: cancel}
	if verb == "release" {
		t.interrupt = lock.Cancel // a release takes no context
	}
	r.tasks[name] = t
	go func() {
		defer close(t.done)
		t.answer, t.err = onLock(ctx, verb, lock, words)
		if errors.Is(t.err, context.Canceled) && errors.Is(t.err, consullock.ErrCancelled) {
			t.err = errInterrupted
		}
	}()
	select {
	case <-t.done:
	case <-time.After(50 * time.Millisecond):
	}
	return nil
}

func (r *run) join(name string) (string, error) {
	t, ok := r.tasks[name]
	if !ok {
		return "", fmt.Errorf("there is no task %s", name)
	}
	delete(r.tasks, name)
	select {
	case <-t.done:
	case <-time.After(patience):
		t.stop()
		return "", errors.New("it does not end")
	}
	if t.output != nil {
		return "ok", asFailure(readChild(t.output.String(), r.set))
	}
	return t.answer, t.err
}

// child starts this program in a new process, for one block.
func (r *run) child(s step, name string, environment []string) error {
	words := []string{r.suite.file, "child", strconv.Itoa(s.line)}
	for name, value := range r.variables {
		words = append(words, name+"="+value)
	}
	command := exec.Command(os.Args[0], words...)
	command.Env = append(os.Environ(), environment...)
	t := &task{done: make(chan struct{}), output: &strings.Builder{}}
	command.Stdout, command.Stderr = t.output, os.Stderr
	if err := command.Start(); err != nil {
		return err
	}
	t.stop = func() {
		command.Process.Kill()
		<-t.done
	}
	t.interrupt = t.stop
	r.tasks[name] = t
	go func() {
		defer close(t.done)
		command.Wait()
	}()
	return nil
}

var failed = regexp.MustCompile(`^FAILED line (\d+): (.*)`)

// asFailure gives a child's failure the line that the child names.
func asFailure(err error) error {
	if err == nil {
		return nil
	}
	if found := failed.FindStringSubmatch(err.Error()); found != nil {
		line, _ := strconv.Atoi(found[1])
		return &failure{line, found[2]}
	}
	return err
}
