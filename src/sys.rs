//! What only the C library can do: the second and last place with unsafe.
#![allow(unsafe_code)]

/// Nanoseconds since boot, counted through a suspend.
pub(crate) fn boot_time_ns() -> u64 {
    let mut ts = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `ts` is a valid, writable timespec for the length of the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    let (secs, nanos) = (u64::try_from(ts.tv_sec), u64::try_from(ts.tv_nsec));
    secs.unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.unwrap_or(0))
}
