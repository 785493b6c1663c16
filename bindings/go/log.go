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

// The library's levels, from the one that says most.
var logLevels = []struct {
	c     C.int32_t
	level slog.Level
}{
	{C.CONSUL_LOCK_LOG_LEVEL_DEBUG, slog.LevelDebug},
	{C.CONSUL_LOCK_LOG_LEVEL_INFO, slog.LevelInfo},
	{C.CONSUL_LOCK_LOG_LEVEL_WARN, slog.LevelWarn},
	{C.CONSUL_LOCK_LOG_LEVEL_ERROR, slog.LevelError},
}

// SetLogger sets who is told, for the whole process, what the library has to say: locks that were lost,
// releases that Consul did not confirm, outages that last. Lines never contain a token or a stored value.
// nil: the log is off, as at the beginning.
//
// Which levels the logger wants is asked once, here. Its handler is called by a thread of the library, one
// line at a time; one that blocks delays only later lines.
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

// warn says what this package itself has to say: to the logger, or where there is none, to slog's default.
func warn(line string) {
	to := logger.Load()
	if to == nil {
		to = slog.Default()
	}
	to.Warn(line)
}
