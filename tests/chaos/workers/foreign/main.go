// A worker of the chaos test that knows nothing of the library: api.Lock of Consul's Go client, on the plain keys.
// ../README.md has its environment and its journal.
//
// It believes in its lock from the answer of Lock() until the channel of the loss is closed. It writes without a guard,
// as api.Lock has none, so it writes nothing.
package main

import (
	"context"
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

	"github.com/hashicorp/consul/api"
)

const (
	loops         = 2
	clockBoottime = 7
)

var (
	name    = os.Getenv("CHAOS_NAME")
	journal *os.File
	client  *api.Client
	holds   atomic.Int64
)

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

func believes(lost <-chan struct{}, hold string) bool {
	before := now()
	is := "yes"
	select {
	case <-lost:
		is = "no"
	default:
	}
	note("held hold=%s before=%d is=%s", hold, before, is)
	return is == "yes"
}

// row gives the index at which the key was taken, and the session that holds it.
func row(key, hold string) (uint64, string) {
	pair, _, err := client.KV().Get(key, &api.QueryOptions{RequireConsistent: true})
	if err != nil || pair == nil || string(pair.Value) != hold {
		return 0, ""
	}
	return pair.ModifyIndex, pair.Session
}

func turn(ctx context.Context, chance *rand.Rand) {
	key := fmt.Sprintf("x%d", chance.Intn(4))
	hold := fmt.Sprintf("%s-%d", name, holds.Add(1))
	wait := time.Duration(1000+chance.Intn(20000)) * time.Millisecond
	lock, err := client.LockOpts(&api.LockOptions{
		Key: "locks/ephemeral/" + key, Value: []byte(hold), SessionName: name, SessionTTL: "10s",
		LockWaitTime: wait, LockTryOnce: true,
		// Its default of 15 s would be the longest time for which a key is free.
		LockDelay: time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	note("acquire hold=%s keys=%s mode=exclusive limit=0 timeout=%d renew=yes", hold, key, wait.Milliseconds())
	lost, err := lock.Lock(ctx.Done())
	switch {
	case err != nil:
		note("answer hold=%s status=FAILED token=0 slot=-1 session= said=%s", hold, err)
		return
	case lost == nil:
		note("answer hold=%s status=NOT_ACQUIRED token=0 slot=-1 session= said=", hold)
		return
	}
	token, session := row("locks/ephemeral/"+key, hold)
	note("answer hold=%s status=OK token=%d slot=-1 session=%s said=", hold, token, session)
	end := now() + int64(chance.Intn(1000))*1_000_000
	for believes(lost, hold) && now() < end {
		time.Sleep(time.Duration(5+chance.Intn(20)) * time.Millisecond)
	}
	note("release hold=%s", hold)
	err = lock.Unlock()
	if err != nil {
		note("released hold=%s status=FAILED said=%s", hold, err)
		return
	}
	note("released hold=%s status=OK said=", hold)
	// api.Lock leaves its key; it refuses to delete the key while another process holds it.
	_ = lock.Destroy()
}

func main() {
	var err error
	journal, err = os.OpenFile(os.Getenv("CHAOS_JOURNAL"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	note("start worker=%s kind=foreign pid=%d node=", name, os.Getpid())
	address, _, _ := strings.Cut(os.Getenv("CHAOS_ADDRESS"), ",")
	if client, err = api.NewClient(&api.Config{Address: address}); err != nil {
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
				time.Sleep(time.Duration(200+chance.Intn(1000)) * time.Millisecond)
			}
		}(rand.New(rand.NewSource(seed*loops + n)))
	}
	all.Wait()
	note("end status=OK")
}
