//go:build linux && cgo && musl && !consul_lock_system && !consul_lock_static

package consullock

import _ "github.com/libconsul/consul_lock/bindings/go/lib/linux_arm64_musl" // the static library
