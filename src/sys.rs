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

/// Connected, and nothing to read: neither the end of the connection nor bytes that nobody asked
/// for.
pub(crate) fn is_quiet(socket: &std::net::TcpStream) -> bool {
    use std::os::fd::AsRawFd as _;
    let mut byte = 0_u8;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and `byte` is one
    // writable byte.
    let read = unsafe {
        let buffer = (&raw mut byte).cast();
        libc::recv(
            socket.as_raw_fd(),
            buffer,
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    read < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}
