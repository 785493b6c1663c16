//go:build !linux

package consullock

// The C library runs on Linux only. This name exists only to say so in the compiler's error.
var _ = consullock_runs_on_linux_only__build_it_with_GOOS_linux_or_in_a_container
