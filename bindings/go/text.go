//go:build cgo

package consullock

// #include "bridge.h"
import "C"

import (
	"strings"
	"unsafe"
)

// text gives the text that a function of the library copies into a buffer.
func text(copyOut func(buf *C.char, cap C.size_t) C.size_t) string {
	buf := make([]byte, 128)
	for {
		n := int(copyOut((*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf))))
		if n < len(buf) {
			return string(buf[:n])
		}
		buf = make([]byte, n+1)
	}
}

// cText is a text in Go's memory for a call that copies it. It refuses a NUL, at which C would end the text.
func cText(what, s string) (*C.char, *Error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, &Error{Code: ErrInvalidArgument, Message: what + " contains a NUL"}
	}
	terminated := make([]byte, len(s)+1)
	copy(terminated, s)
	return (*C.char)(unsafe.Pointer(&terminated[0])), nil
}

// cBytes are bytes in Go's memory for a call that copies them.
func cBytes(b []byte) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
}
