package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// do executes a step, and gives its answer or the error of the library.
func (r *run) do(s step, verb string, words []string) (string, error) {
	if least, known := verbs[verb]; !known || len(words) < least {
		return "", fmt.Errorf("no step: %s with %d words", verb, len(words))
	}
	switch verb {
	case "client":
		return "ok", r.client(words[0], words[1:])
	case "lock":
		return "ok", r.lock(words[0], words[1], words[2:])
	case "holder":
		return r.holder(words)
	case "holders":
		return r.holders(words)
	case "observe":
		return "ok", r.observe(words)
	case "observed":
		return r.observed(words[0], words[1])
	case "unobserve":
		if end, ok := r.unobserve[words[0]]; ok {
			end()
			return "ok", nil
		}
		return "", fmt.Errorf("there is no observer %s", words[0])
	case "hold":
		return r.hold(s, words)
	case "raise":
		return "", errRaised
	case "begin":
		return "ok", r.begin(words[0], words[1], words[2], words[3:])
	case "interrupt":
		return "ok", r.withTask(words[0], func(t *task) { t.interrupt() })
	case "join":
		return r.join(words[0])
	case "child":
		return "ok", r.child(s, words[0], words[1:])
	case "operator":
		return operator(r.suite.file, words)
	case "sleep":
		ms, err := strconv.Atoi(words[0])
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return "ok", err
	case "expect":
		return "ok", expect(words[0], words[1], words[2])
	}
	if answer, err, done := ofTheProcess(r, verb, words); done {
		return answer, err
	}

	lock, ok := r.locks[words[0]]
	if !ok {
		return "", fmt.Errorf("there is no lock %s", words[0])
	}
	ctx := context.Background()
	switch verb {
	case "acquire", "try", "release", "upgrade":
		return onLock(ctx, verb, lock, words[1:])
	case "downgrade":
		return "ok", lock.Downgrade(ctx)
	case "cancel":
		lock.Cancel()
	case "renew":
		return "ok", lock.Renew(ctx)
	case "check":
		return "ok", lock.Check(ctx)
	case "put":
		return "ok", lock.PutIfHeld(ctx, words[1], []byte(words[2]))
	case "delete":
		return "ok", lock.DeleteIfHeld(ctx, words[1])
	case "close":
		// Close also returns the errors of a release.
		err := lock.Close()
		if err != nil && !errors.Is(err, consullock.ErrUnconfirmed) && !errors.Is(err, consullock.ErrLost) {
			return "", err
		}
	case "abandon":
		lock.Abandon()
	case "held":
		return strconv.FormatBool(lock.IsHeld()), nil
	case "remaining":
		return strconv.FormatInt(lock.Remaining().Milliseconds(), 10), nil
	case "token":
		return strconv.FormatUint(lock.FencingToken(), 10), nil
	case "session":
		return lock.SessionID(), nil
	case "key":
		return lock.Key(), nil
	case "keys":
		return strings.Join(lock.Keys(), " "), nil
	case "slot":
		if slot, ok := lock.Slot(); ok {
			return strconv.Itoa(slot), nil
		}
		return "none", nil
	case "watch":
		r.lost[words[0]] = lock.Lost()
	case "lost":
		return r.waitLost(words[0], lock)
	}
	return "ok", nil
}

// The least number of words of each verb.
var verbs = map[string]int{
	"client": 1, "lock": 2, "acquire": 1, "try": 1, "release": 1, "cancel": 1, "renew": 1, "check": 1, "put": 3,
	"delete": 2, "close": 1, "abandon": 1, "held": 1, "remaining": 1, "token": 1, "session": 1, "key": 1, "watch": 1,
	"lost": 1, "hold": 2, "raise": 0, "holder": 2, "begin": 3, "interrupt": 1, "join": 1, "child": 1, "operator": 1,
	"sleep": 1, "expect": 3, "default": 2, "default-client": 1, "generator": 1, "log": 1, "logged": 1, "stats": 1,
	"shutdown": 1, "version": 0, "keys": 1, "slot": 1, "downgrade": 1, "upgrade": 2, "holders": 3, "observe": 2,
	"observed": 2, "unobserve": 1,
}

func onLock(ctx context.Context, verb string, lock *consullock.Lock, words []string) (string, error) {
	switch verb {
	case "upgrade":
		if len(words) == 0 {
			return "", errors.New("upgrade without its time")
		}
		ms, err := strconv.Atoi(words[0])
		if err != nil {
			return "", err
		}
		timeout := time.Duration(ms) * time.Millisecond
		if ms == -1 {
			timeout = consullock.NoTimeout
		}
		return "ok", lock.Upgrade(ctx, timeout)
	case "acquire":
		return "ok", lock.Acquire(ctx)
	case "try":
		got, err := lock.TryAcquire(ctx)
		return strconv.FormatBool(got), err
	default:
		err := lock.Release()
		if errors.Is(err, consullock.ErrNotHeld) {
			return "false", nil
		}
		return "true", err
	}
}

func (r *run) client(name string, words []string) error {
	var options []consullock.ClientOption
	for _, word := range words {
		option, value, _ := strings.Cut(word, "=")
		options = append(options, consullock.WithClientOption(option, value))
	}
	client, err := consullock.NewClient(options...)
	if err == nil {
		r.clients[name] = client
	}
	return err
}

// options gives the options of a lock, and its further keys.
func (r *run) options(words []string) (options []consullock.Option, more []string, err error) {
	for _, word := range words {
		option, value, _ := strings.Cut(word, "=")
		switch option {
		case "client":
			client, ok := r.clients[value]
			if !ok {
				return nil, nil, fmt.Errorf("there is no client %s", value)
			}
			options = append(options, consullock.WithClient(client))
		case "and":
			more = append(more, value)
		default:
			options = append(options, consullock.WithOption(option, value))
		}
	}
	return options, more, nil
}

func (r *run) lock(name, key string, words []string) error {
	options, more, err := r.options(words)
	if err != nil {
		return err
	}
	var lock *consullock.Lock
	if more == nil {
		lock, err = consullock.New(key, options...)
	} else {
		lock, err = consullock.NewAll(append([]string{key}, more...), options...)
	}
	if err == nil {
		r.locks[name] = lock
	}
	return err
}

func (r *run) hold(s step, words []string) (string, error) {
	options, more, err := r.options(words[2:])
	if err != nil {
		return "", err
	}
	name := words[0]
	var inside error
	block := func(ctx context.Context) error {
		r.locks[name], r.holding[name] = consullock.FromContext(ctx), ctx
		defer delete(r.holding, name)
		inside = r.block(s.block)
		return inside
	}
	if more == nil {
		err = consullock.Hold(context.Background(), words[1], block, options...)
	} else {
		err = consullock.HoldAll(context.Background(), append(words[1:2:2], more...), block, options...)
	}
	if inside != nil && inside != errRaised {
		return "", inside
	}
	return "ok", err
}

func (r *run) waitLost(name string, lock *consullock.Lock) (string, error) {
	reason := lock.LostReason
	lost := r.lost[name]
	if ctx, inside := r.holding[name]; inside {
		lost = ctx.Done()
		reason = func() consullock.LostReason {
			var why *consullock.Error
			errors.As(context.Cause(ctx), &why)
			return why.Reason
		}
	}
	select {
	case <-lost:
		return reason().String(), nil
	case <-time.After(patience):
		return "", errors.New("no notice of a loss came")
	}
}

// clientOf gives the client of a word `client=NAME`, or nil where there is no word.
func (r *run) clientOf(words []string) (*consullock.Client, error) {
	if len(words) == 0 {
		return nil, nil
	}
	client, ok := r.clients[strings.TrimPrefix(words[0], "client=")]
	if !ok {
		return nil, fmt.Errorf("no %s", words[0])
	}
	return client, nil
}

func (r *run) holder(words []string) (string, error) {
	client, err := r.clientOf(words[2:])
	if err != nil {
		return "", err
	}
	ask := consullock.WhoHolds
	if client != nil {
		ask = client.WhoHolds
	}
	holder, found, err := ask(context.Background(), words[0])
	switch {
	case err != nil:
		return "", err
	case !found:
		return "free", nil
	}
	return field(holder, words[1])
}

func field(holder consullock.Holder, name string) (string, error) {
	switch name {
	case "session":
		return holder.Session, nil
	case "name":
		return holder.Name, nil
	case "node":
		return holder.Node, nil
	case "value":
		return string(holder.Value), nil
	case "fencing_token":
		return strconv.FormatUint(holder.FencingToken, 10), nil
	}
	return "", fmt.Errorf("no field %s", name)
}

func (r *run) holders(words []string) (string, error) {
	client, err := r.clientOf(words[3:])
	if err != nil {
		return "", err
	}
	ask := consullock.Holders
	if client != nil {
		ask = client.Holders
	}
	state, err := ask(context.Background(), words[0])
	if err != nil {
		return "", err
	}
	name := words[2]
	if !slices.Contains(fieldsOfHolders, name) {
		return "", fmt.Errorf("no field %s", name)
	}
	// The field of each of them.
	var all []string
	add := func(said string, wrong error) {
		all = append(all, said)
		err = errors.Join(err, wrong)
	}
	switch words[1] {
	case "exclusive":
		if state.Exclusive != nil {
			add(field(*state.Exclusive, orCount(name)))
		}
	case "sharers":
		for _, sharer := range state.Sharers {
			switch name {
			case "limit":
				add(orNone(sharer.Limit, sharer.Limit != 0), nil)
			case "slot":
				add(orNone(sharer.Slot, sharer.Slot >= 0), nil)
			default:
				add(field(sharer.Holder, orCount(name)))
			}
		}
	case "line":
		for _, waiter := range state.Line {
			switch name {
			case "mode":
				add(map[bool]string{true: "share", false: "exclusive"}[waiter.Shares], nil)
			case "limit":
				add(orNone(waiter.Limit, waiter.Limit != 0), nil)
			case "keys":
				add(orNone(strings.Join(waiter.Keys, " "), len(waiter.Keys) > 0), nil)
			default:
				of := consullock.Holder{Session: waiter.Session, Name: waiter.Name, Node: waiter.Node}
				add(field(of, orCount(name)))
			}
		}
	default:
		err = fmt.Errorf("no role %s", words[1])
	}
	if name == "count" {
		return strconv.Itoa(len(all)), err
	}
	return strings.Join(all, " "), err
}

var fieldsOfHolders = []string{
	"count", "session", "name", "node", "value", "fencing_token", "mode", "limit", "slot", "keys",
}

// orCount gives a field that all have, where only their number is asked for.
func orCount(name string) string {
	if name == "count" {
		return "session"
	}
	return name
}

func orNone(value any, is bool) string {
	if !is {
		return "none"
	}
	return fmt.Sprint(value)
}

func (r *run) observe(words []string) error {
	client, err := r.clientOf(words[2:])
	if err != nil {
		return err
	}
	begin := consullock.Observe
	if client != nil {
		begin = client.Observe
	}
	ctx, end := context.WithCancel(context.Background())
	news, err := begin(ctx, words[1])
	if err != nil {
		end()
		return err
	}
	r.news[words[0]], r.unobserve[words[0]] = news, end
	return nil
}

func (r *run) observed(name, of string) (string, error) {
	news, ok := r.news[name]
	if !ok {
		return "", fmt.Errorf("there is no observer %s", name)
	}
	select {
	case seen, goesOn := <-news:
		switch {
		case !goesOn:
			return "", errors.New("the observation has ended")
		case seen.Err != nil:
			return "", seen.Err
		case seen.Holder == nil:
			return "free", nil
		}
		return field(*seen.Holder, of)
	case <-time.After(patience):
		return "", errors.New("no news came")
	}
}

func operator(file string, words []string) (string, error) {
	output, err := exec.Command(filepath.Join(filepath.Dir(file), "operator"), words...).CombinedOutput()
	said := strings.TrimSuffix(string(output), "\n")
	if err != nil {
		return "", fmt.Errorf("%v: %s", err, said)
	}
	return said, nil
}

func expect(left, relation, right string) error {
	holds := false
	switch relation {
	case "=":
		holds = left == right
	case "!=":
		holds = left != right
	case "<", ">":
		a, wrongA := strconv.ParseInt(left, 10, 64)
		b, wrongB := strconv.ParseInt(right, 10, 64)
		holds = wrongA == nil && wrongB == nil && (a < b) == (relation == "<") && a != b
	}
	if !holds {
		return fmt.Errorf("not %s %s %s", left, relation, right)
	}
	return nil
}

// ofTheProcess executes the steps that concern the whole process.
func ofTheProcess(r *run, verb string, words []string) (answer string, err error, done bool) {
	answer = "ok"
	switch verb {
	case "default":
		err = consullock.SetDefault(words[0], words[1])
	case "default-client":
		err = consullock.SetDefaultClient(r.clients[words[0]])
	case "generator":
		setGenerator(words)
	case "log":
		err = collectLog(words[0])
	case "logged":
		answer, err = waitLogged(words[0])
	case "stats":
		answer, err = r.stats(words)
	case "shutdown":
		var ms int
		if ms, err = strconv.Atoi(words[0]); err == nil {
			ctx, end := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
			defer end()
			err = consullock.Shutdown(ctx)
		}
	case "version":
		answer = consullock.Version()
	default:
		return "", nil, false
	}
	return answer, err, true
}

func setGenerator(words []string) {
	switch words[0] {
	case "value":
		consullock.SetValueGenerator(func() ([]byte, error) { return []byte(words[1]), nil })
	case "raises", "nothing":
		consullock.SetValueGenerator(func() ([]byte, error) { return nil, errRaised })
	default:
		consullock.SetValueGenerator(nil)
	}
}

func (r *run) stats(words []string) (string, error) {
	client, err := r.clientOf(words[1:])
	if err != nil {
		return "", err
	}
	read := consullock.DefaultStats
	if client != nil {
		read = client.Stats
	}
	stats, err := read()
	if err != nil {
		return "", err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(stats.JSON, &fields); err != nil {
		return "", err
	}
	return string(fields[words[0]]), nil
}

// readChild reads the variables from a child's output, and whether the child ended well.
func readChild(output string, set func(name, value string)) error {
	lines := bufio.NewScanner(strings.NewReader(output))
	last := ""
	for lines.Scan() {
		last = lines.Text()
		if rest, ok := strings.CutPrefix(last, "as "); ok {
			name, value, _ := strings.Cut(rest, " ")
			set(name, value)
		}
	}
	if last == "ok" {
		return nil
	}
	return errors.New(last)
}
