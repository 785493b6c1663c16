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

/// Has the C library call these around every `fork`. Where it has no memory left for that, a child
/// is still known by its pid.
pub(crate) fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) {
    // SAFETY: the handlers are functions of this library, which is never unmapped (-z nodelete).
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

unsafe extern "C" {
    // glibc and musl; the libc crate does not declare it.
    #[link_name = "secure_getenv"]
    fn c_secure_getenv(name: *const libc::c_char) -> *const libc::c_char;
}

/// A variable of the environment; None if it is not set, or the program runs with rights that its
/// user does not have (setuid), whose environment is not to be trusted.
pub(crate) fn secure_getenv(name: &str) -> Option<Vec<u8>> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is NUL-terminated. The text that is pointed to may be changed by another
    // thread's setenv, as with every reader of the environment; it is copied at once.
    unsafe {
        let value = c_secure_getenv(name.as_ptr());
        if value.is_null() {
            return None;
        }
        Some(std::ffi::CStr::from_ptr(value).to_bytes().to_vec())
    }
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: `name` is writable for its length; the last byte stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    if failed {
        "unknown".to_owned()
    } else {
        String::from_utf8_lossy(name).into_owned()
    }
}

/// A random number; the time where the system has no randomness yet.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: `bytes` is writable for its length.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if got == 8 {
        u64::from_ne_bytes(bytes)
    } else {
        boot_time_ns()
    }
}

/// Runs `spawn`, which makes a thread, so that the thread never sees the host's signals: all are
/// blocked but those that a thread gets for what it does itself, and the profiler's.
pub(crate) fn without_signals<T>(spawn: impl FnOnce() -> T) -> T {
    const OWN: [libc::c_int; 6] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGPROF,
    ];
    // SAFETY: the sets are initialised by the C library before they are read, and the mask of this
    // thread is put back.
    unsafe {
        let mut blocked = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&mut blocked);
        for signal in OWN {
            libc::sigdelset(&mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut before);
        let result = spawn();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
