//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import "runtime/cgo"

// The library calls these functions on threads of its own. None of them blocks, except for a slow handler of the
// log.

//export consullockgo_done
func consullockgo_done(raw *C.consul_lock_error, handle C.consullockgo_handle) {
	answer(handle, outcome{err: taken(raw)})
}

//export consullockgo_holder_done
func consullockgo_holder_done(info *C.consul_lock_holder_info, raw *C.consul_lock_error,
	handle C.consullockgo_handle) {
	answer(handle, outcome{err: taken(raw), holder: takenHolder(info)})
}

//export consullockgo_holders_done
func consullockgo_holders_done(info *C.consul_lock_holders_info, raw *C.consul_lock_error,
	handle C.consullockgo_handle) {
	answer(handle, outcome{err: taken(raw), holders: takenHolders(info)})
}

// answer deletes the handle, because the library reports an outcome once.
func answer(handle C.consullockgo_handle, result outcome) {
	waiting := cgo.Handle(handle)
	done := waiting.Value().(chan outcome)
	waiting.Delete()
	done <- result
}

//export consullockgo_lost
func consullockgo_lost(reason C.int32_t, handle C.consullockgo_handle) {
	cgo.Handle(handle).Value().(*loss).happened(LostReason(reason))
}

//export consullockgo_observed
func consullockgo_observed(info *C.consul_lock_holder_info, raw *C.consul_lock_error, handle C.consullockgo_handle) {
	of := cgo.Handle(handle).Value().(*observer)
	of.tell(Observation{Holder: takenHolder(info), Err: taken(raw).of("observe", of.key)})
}

//export consullockgo_free_handle
func consullockgo_free_handle(handle C.consullockgo_handle) {
	cgo.Handle(handle).Delete()
}

//export consullockgo_log
func consullockgo_log(level C.int32_t, line *C.char) {
	logLine(level, C.GoString(line))
}
