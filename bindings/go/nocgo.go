//go:build linux && !cgo

package consullock

// The package calls a C library. This undefined name makes the compiler's error say so.
var _ = consullock_needs_cgo__set_CGO_ENABLED_1_and_install_a_C_compiler
