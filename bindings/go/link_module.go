//go:build !consul_lock_system && !consul_lock_static

package consullock

// #cgo CFLAGS: -I${SRCDIR}/internal/include
import "C"

import _ "github.com/libconsul/consul_lock/bindings/go/internal/include" // for `go mod vendor`
