//go:build linux && cgo && !amd64 && !arm64 && !consul_lock_system && !consul_lock_static

package consullock

// The module has no library for this processor. This undefined name makes the compiler's error say so.
var _ = consullock_has_no_library_for_this_processor__install_libconsul_lock_and_build_with_tags_consul_lock_system
