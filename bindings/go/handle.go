//go:build cgo

package consullock

import "sync"

// A handle keeps a C object from being freed while a call on it begins. (A free beside a call that has begun
// does no harm, says the library; but nobody can see from outside when one has.)
type handle[P comparable] struct {
	mu     sync.Mutex
	ptr    P // the zero P: it is freed
	users  int
	closed bool
}

// enter gives the object for a call, unless it is closed, or was never made (a zero Lock or Client). Ends
// with leave.
func (h *handle[P]) enter() (P, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none P
	if h.closed || h.ptr == none {
		return none, false
	}
	h.users++
	return h.ptr, true
}

// look gives the object, closed or not, unless it is freed already. Ends with leave.
func (h *handle[P]) look() (P, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var freed P
	if h.ptr == freed {
		return freed, false
	}
	h.users++
	return h.ptr, true
}

// leave calls free, which must not block, when a closed object is used by nobody any more.
func (h *handle[P]) leave(free func(P)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	var freed P
	if h.closed && h.users == 0 && h.ptr != freed {
		free(h.ptr)
		h.ptr = freed
	}
}

// close refuses all later calls, and gives the object a last time to the first who closes it. Ends with
// leave.
func (h *handle[P]) close() (P, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none P
	if h.closed || h.ptr == none {
		return none, false
	}
	h.closed = true
	h.users++
	return h.ptr, true
}
