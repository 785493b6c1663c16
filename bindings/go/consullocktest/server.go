package consullocktest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// ready is what consul-lock prints before the address, when it serves.
const ready = "CONSUL_HTTP_ADDR="

// patience is how long consul-lock may take to end after it was told to.
const patience = 5 * time.Second

// A server is a running `consul-lock dev`.
type server struct {
	address string
	process *os.Process
	ended   chan struct{}
}

// start starts consul-lock, and waits until it serves.
func start(options []Option) (*server, error) {
	name := os.Getenv("CONSUL_LOCK_COMMAND")
	if name == "" {
		name = "consul-lock"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("consullocktest: the program %s is missing (%w): install libconsul_lock with its command "+
			"(`make`, `make install`), or name the program in CONSUL_LOCK_COMMAND", name, err)
	}
	arguments := []string{"dev"}
	for _, option := range options {
		option(&arguments)
	}
	command := exec.Command(program, arguments...)
	var said bytes.Buffer
	command.Stderr = &said
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("consullocktest: could not start %s dev: %w", program, err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	server := &server{strings.TrimPrefix(strings.TrimSpace(line), ready), command.Process, ended}
	if err != nil || !strings.HasPrefix(line, ready) {
		server.stop()
		return nil, fmt.Errorf("consullocktest: %s %s did not serve: %s%s", program, strings.Join(arguments, " "), line,
			strings.TrimSpace(said.String()))
	}
	return server, nil
}

// stop ends consul-lock.
func (s *server) stop() {
	if err := s.process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		return
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.process.Kill()
		<-s.ended
	}
}
