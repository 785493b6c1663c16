package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	consullock "github.com/libconsul/consul_lock/bindings/go"
)

// collected has the lines of the log, with their levels.
var collected struct {
	sync.Mutex
	lines []slog.Record
}

type collector struct{ from slog.Level }

func (c collector) Enabled(_ context.Context, level slog.Level) bool { return level >= c.from }
func (c collector) WithAttrs([]slog.Attr) slog.Handler               { return c }
func (c collector) WithGroup(string) slog.Handler                    { return c }
func (c collector) Handle(_ context.Context, line slog.Record) error {
	collected.Lock()
	defer collected.Unlock()
	collected.lines = append(collected.lines, line)
	return nil
}

func collectLog(level string) error {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return err
	}
	consullock.SetLogger(slog.New(collector{from}))
	return nil
}

// waitLogged gives the level of the first line that contains a text.
func waitLogged(text string) (string, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		collected.Lock()
		for _, line := range collected.lines {
			if strings.Contains(line.Message, text) {
				collected.Unlock()
				return line.Level.String(), nil
			}
		}
		collected.Unlock()
	}
	return "", errors.New("no such line was logged")
}
