//go:build cgo

package consullock

import "sync"

// A handle keeps a C object alive while a call on it begins. The library allows a free beside a call that has begun,
// but no caller can see when a call has begun.
type handle[P comparable] struct {
	mu     sync.Mutex
	ptr    P // the zero P: the object is freed
	users  int
	closed bool
}

// enter gives the object for a call, unless the handle is closed or is that of a zero Lock or Client. The caller ends
// the use with leave.
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

// look gives the object, closed or not, unless it is freed. The caller ends the use with leave.
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

// leave ends a use. The last use of a closed object calls free, which must not block.
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

// close refuses all later calls. The first close gets the object for a last use, which it ends with leave.
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
