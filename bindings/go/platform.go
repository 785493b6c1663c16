//go:build !linux

package consullock

// The C library runs on Linux only. This undefined name makes the compiler's error say so.
var _ = consullock_runs_on_linux_only__build_it_with_GOOS_linux_or_in_a_container
