//go:build linux && !cgo

package consullock

// The package calls a C library. This name exists only to say so in the compiler's error.
var _ = consullock_needs_cgo__set_CGO_ENABLED_1_and_install_a_C_compiler
