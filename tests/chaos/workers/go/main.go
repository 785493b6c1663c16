// A worker of the chaos test over the Go package. ../README.md has its environment and its journal.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

const (
	loops         = 3
	clockBoottime = 7
)

var (
	name    = os.Getenv("CHAOS_NAME")
	journal *os.File
	client  *consullock.Client
	holds   atomic.Int64
)

// now reads the kernel's own clock, also where the library's runs fast or slow.
func now() int64 {
	var t syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0)
	if failed != 0 {
		log.Fatal(failed)
	}
	return t.Nano()
}

func note(format string, values ...any) {
	line := fmt.Sprintf("%d "+format, append([]any{now()}, values...)...)
	if _, err := journal.WriteString(strings.ReplaceAll(line, "\n", " ") + "\n"); err != nil {
		log.Fatal(err)
	}
}

// outcome gives the status and the message of a call.
func outcome(err error) (string, string) {
	var failed *consullock.Error
	switch {
	case err == nil:
		return "OK", ""
	case errors.As(err, &failed):
		return failed.Code.String(), err.Error()
	default:
		return "UNKNOWN", err.Error()
	}
}

func isHeld(lock *consullock.Lock, hold string) bool {
	before := now()
	is := lock.IsHeld()
	note("held hold=%s before=%d is=%s", hold, before, yes(is))
	return is
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func write(lock *consullock.Lock, hold string, number int) {
	row := fmt.Sprintf("chaos/data/%s.%d", hold, number)
	note("write hold=%s row=%s", hold, row)
	err := lock.PutIfHeld(context.Background(), row, []byte(fmt.Sprintf("%s %d", hold, lock.FencingToken())))
	status, said := outcome(err)
	note("written hold=%s row=%s status=%s said=%s", hold, row, status, said)
}

func work(chance *rand.Rand, lock *consullock.Lock, hold string, length time.Duration) {
	end := now() + int64(length)
	writes, most := 1, 1+chance.Intn(3)
	is := isHeld(lock, hold)
	write(lock, hold, writes)
	for is && now() < end {
		time.Sleep(time.Duration(5+chance.Intn(20)) * time.Millisecond)
		is = isHeld(lock, hold)
		if writes < most && chance.Intn(4) == 0 {
			writes++
			write(lock, hold, writes)
		}
	}
	// One that comes late now and then.
	if !is || chance.Intn(10) == 0 {
		write(lock, hold, writes+1)
	}
}

// turn is one lock, from its making to its end.
func turn(ctx context.Context, chance *rand.Rand) {
	timeout := 0
	if chance.Intn(5) > 0 {
		timeout = 1000 + chance.Intn(30000)
	}
	a := chance.Intn(4)
	keys, mode, limit := []string{fmt.Sprintf("x%d", a)}, "exclusive", 0
	options := []consullock.Option{consullock.WithClient(client), consullock.WithTTL(10 * time.Second),
		consullock.WithAcquireTimeout(time.Duration(timeout) * time.Millisecond)}
	switch kind := chance.Intn(100); {
	case kind >= 87:
		keys = []string{fmt.Sprintf("p%d", a%3), fmt.Sprintf("p%d", (a%3+1+chance.Intn(2))%3)}
	case kind >= 75:
		keys, mode, limit = []string{"slots"}, "share", 2
		options = append(options, consullock.WithLimit(limit))
	case kind >= 60:
		keys = []string{"readers"}
		if chance.Intn(10) < 7 {
			mode = "share"
			options = append(options, consullock.WithShare())
		}
	case kind < 8:
		keys = []string{fmt.Sprintf("p%d", a%3)}
	}
	length := 200
	if how := chance.Intn(100); how >= 96 {
		length = 15000
	} else if how >= 80 {
		length = 2000
	}
	renews := chance.Intn(2) == 0
	if renews {
		options = append(options, consullock.WithAutoRenew())
	}
	hold := fmt.Sprintf("%s-%d", name, holds.Add(1))
	options = append(options, consullock.WithValue([]byte(hold)))

	lock, err := consullock.NewAll(keys, options...)
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Close()
	// The notice of a loss comes by a channel; the goroutine ends with the turn, without a word if there was none.
	released, watched := make(chan struct{}), make(chan struct{})
	notice := lock.Lost()
	go func() {
		defer close(watched)
		select {
		case <-notice:
			note("lost hold=%s reason=%s", hold, lock.LostReason())
		case <-released:
		}
	}()
	note("acquire hold=%s keys=%s mode=%s limit=%d timeout=%d renew=%s", hold, strings.Join(keys, ","), mode, limit,
		timeout, yes(renews))
	err = lock.Acquire(ctx)
	slot, hasSlot := lock.Slot()
	if !hasSlot {
		slot = -1
	}
	status, said := outcome(err)
	note("answer hold=%s status=%s token=%d slot=%d session=%s said=%s", hold, status, lock.FencingToken(), slot,
		lock.SessionID(), said)
	if err == nil {
		work(chance, lock, hold, time.Duration(chance.Intn(length))*time.Millisecond)
		note("release hold=%s", hold)
		err = lock.Release()
		status, said = outcome(err)
		note("released hold=%s status=%s said=%s", hold, status, said)
		if errors.Is(err, consullock.ErrLost) {
			select {
			case <-watched:
			case <-time.After(10 * time.Second): // the checker misses the notice
			}
		}
	}
	close(released)
	<-watched
}

func main() {
	var err error
	journal, err = os.OpenFile(os.Getenv("CHAOS_JOURNAL"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	node := os.Getenv("CHAOS_SESSION_NODE")
	note("start worker=%s kind=go pid=%d node=%s", name, os.Getpid(), node)
	options := []consullock.ClientOption{consullock.WithSessionName(name),
		consullock.WithAddress(strings.Split(os.Getenv("CHAOS_ADDRESS"), ",")...)}
	if node != "" {
		options = append(options, consullock.WithSessionNode(node))
	}
	if client, err = consullock.NewClient(options...); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	seed, _ := strconv.ParseInt(os.Getenv("CHAOS_SEED"), 10, 64)
	var all sync.WaitGroup
	for n := int64(0); n < loops; n++ {
		all.Add(1)
		go func(chance *rand.Rand) {
			defer all.Done()
			for ctx.Err() == nil {
				turn(ctx, chance)
				time.Sleep(time.Duration(chance.Intn(60)) * time.Millisecond)
			}
		}(rand.New(rand.NewSource(seed*loops + n)))
	}
	all.Wait()
	limit, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	status, _ := outcome(consullock.Shutdown(limit))
	note("end status=%s", status)
}
