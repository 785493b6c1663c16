//go:build consul_lock_system && !consul_lock_static

package consullock

// #cgo pkg-config: consul_lock
import "C"
