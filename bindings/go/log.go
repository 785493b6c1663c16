//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

var (
	settingLogger sync.Mutex
	logger        atomic.Pointer[slog.Logger]
)

// The library's levels, the most verbose first.
var logLevels = []struct {
	c     C.int32_t
	level slog.Level
}{
	{C.CONSUL_LOCK_LOG_LEVEL_DEBUG, slog.LevelDebug},
	{C.CONSUL_LOCK_LOG_LEVEL_INFO, slog.LevelInfo},
	{C.CONSUL_LOCK_LOG_LEVEL_WARN, slog.LevelWarn},
	{C.CONSUL_LOCK_LOG_LEVEL_ERROR, slog.LevelError},
}

// SetLogger sends the library's log to a logger, for the whole process: lost locks, releases that Consul did not
// confirm, long outages. A line never contains a token or a stored value. nil, as at the start, turns the log off.
//
// SetLogger asks the logger once which levels it wants. A thread of the library calls the logger's handler, one line
// at a time, so a handler that blocks delays only later lines.
func SetLogger(to *slog.Logger) {
	if incompatible != nil {
		return
	}
	settingLogger.Lock()
	defer settingLogger.Unlock()
	logger.Store(to)
	var from C.int32_t
	if to != nil {
		for _, one := range logLevels {
			if to.Enabled(context.Background(), one.level) {
				from = one.c
				break
			}
		}
	}
	C.consullockgo_set_log(from)
}

func logLine(from C.int32_t, line string) {
	to := logger.Load()
	if to == nil {
		return
	}
	for _, one := range logLevels {
		if one.c == from {
			to.Log(context.Background(), one.level, line)
		}
	}
}

// warn logs a warning of this package: to the logger, or without one to slog's default.
func warn(line string) {
	to := logger.Load()
	if to == nil {
		to = slog.Default()
	}
	to.Warn(line)
}
