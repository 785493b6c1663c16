//! Calls of the C library: besides `src/ffi` the only place with `unsafe`. What differs between systems stands in
//! `linux.rs` and `darwin.rs`, which have the same functions.
#![allow(unsafe_code)]

use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[cfg(target_vendor = "apple")]
mod darwin;
#[cfg(not(target_vendor = "apple"))]
mod linux;
mod ours;

#[cfg(target_vendor = "apple")]
use darwin as system;
#[cfg(not(target_vendor = "apple"))]
use linux as system;

pub(crate) use ours::Ours;
pub(crate) use system::{boot_time_ns, socket_pair, stack_overhead};

/// Whether the socket is connected and has nothing to read: neither the end of the connection nor bytes that
/// answer no request.
pub(crate) fn is_quiet(socket: &TcpStream) -> bool {
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

/// Whether the system has no descriptor or no memory left.
pub(crate) fn is_starved(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Sends one byte without waiting, and without the signal of a socket whose other end is closed. The socket is one of
/// `socket_pair`.
pub(crate) fn send_byte(socket: &UnixStream) {
    let byte = [0_u8; 1];
    let flags = libc::MSG_DONTWAIT | system::NO_SIGNAL;
    // SAFETY: the descriptor is open while `socket` is borrowed, and there is one byte to read.
    unsafe { libc::send(socket.as_raw_fd(), byte.as_ptr().cast(), byte.len(), flags) };
}

/// Sends as many of the bytes as the socket takes at once, without waiting and without the signal of a socket whose other
/// end is closed.
pub(crate) fn send_at_once(socket: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | system::NO_SIGNAL;
    // SAFETY: the descriptor is open while `socket` is borrowed, and the bytes can be read for their length.
    let sent = unsafe {
        let buffer = bytes.as_ptr().cast();
        libc::send(socket.as_raw_fd(), buffer, bytes.len(), flags)
    };
    usize::try_from(sent).map_err(|_| std::io::Error::last_os_error())
}

/// Whether the other end of a socket pair is open; also true where the system does not say it.
pub(crate) fn has_peer(socket: &UnixStream) -> bool {
    let mut asked = libc::pollfd {
        fd: socket.as_raw_fd(),
        // Linux reports a hang-up unasked; macOS watches nothing for a call that asks for nothing.
        events: libc::POLLHUP,
        revents: 0,
    };
    // A pending signal also fails this call, although the call does not wait.
    // SAFETY: one pollfd, writable, whose descriptor is open while `socket` is borrowed.
    let told = unsafe { libc::poll(&raw mut asked, 1, 0) };
    told <= 0 || asked.revents & (libc::POLLHUP | libc::POLLERR) == 0
}

/// Has the C library call these around every `fork`. Where the C library has no memory for that, the library
/// still tells a child by its pid.
pub(crate) fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) {
    system::pin();
    // SAFETY: the handlers are functions of this library, which is never unmapped.
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

/// A variable of the environment. None: the variable is not set, or the program is a setuid program, which must
/// not trust its environment.
pub(crate) fn secure_getenv(name: &str) -> Option<Vec<u8>> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is NUL-terminated. A setenv of another thread may change the text, as with every
    // reader of the environment; the text is copied at once.
    unsafe {
        let value = system::secure_getenv(name.as_ptr());
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
    system::random().map_or_else(boot_time_ns, u64::from_ne_bytes)
}

/// Runs `spawn`, which makes a thread, so that the thread never gets the host's signals: it blocks all but
/// those that a thread causes itself, and the profiler's.
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

// Connecting in two steps, so that another thread can end it: the standard library gives a socket only when
// the socket is connected.

/// Begins to connect, without waiting: the socket is in non-blocking mode, and becomes writable when the attempt
/// has ended.
pub(crate) fn begin_connect(address: &std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let family = match address {
        std::net::SocketAddr::V4(_) => libc::AF_INET,
        std::net::SocketAddr::V6(_) => libc::AF_INET6,
    };
    let socket = system::unconnected(family)?;
    let descriptor = socket.as_raw_fd();
    // All zero is a value of each of these addresses. Where an address has a field for its own length, the kernel fills
    // that in.
    let result = match address {
        std::net::SocketAddr::V4(address) => {
            // SAFETY: see above.
            let mut raw = unsafe { std::mem::zeroed::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = address.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            // SAFETY: `raw` is an address of this family and of the length given.
            unsafe { libc::connect(descriptor, (&raw const raw).cast(), length_of(&raw)) }
        }
        std::net::SocketAddr::V6(address) => {
            // SAFETY: see above.
            let mut raw = unsafe { std::mem::zeroed::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = address.port().to_be();
            raw.sin6_flowinfo = address.flowinfo();
            raw.sin6_addr.s6_addr = address.ip().octets();
            raw.sin6_scope_id = address.scope_id();
            // SAFETY: as above.
            unsafe { libc::connect(descriptor, (&raw const raw).cast(), length_of(&raw)) }
        }
    };
    if result == 0 {
        return Ok(socket);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        // A connect that a signal interrupts goes on by itself (connect(2)).
        Some(libc::EINPROGRESS | libc::EINTR) => Ok(socket),
        _ => Err(error),
    }
}

/// Connects to a socket in the file system, in non-blocking mode. `WouldBlock`: the socket's queue is full.
pub(crate) fn connect_unix(path: &Path) -> std::io::Result<TcpStream> {
    // SAFETY: all zero is a value of this address.
    let mut raw = unsafe { std::mem::zeroed::<libc::sockaddr_un>() };
    raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays 0.
    if bytes.len() >= raw.sun_path.len() || bytes.contains(&0) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let socket = system::unconnected(libc::AF_UNIX)?;
    let descriptor = socket.as_raw_fd();
    // SAFETY: `raw` is an address of this family and of the length given.
    match unsafe { libc::connect(descriptor, (&raw const raw).cast(), length_of(&raw)) } {
        0 => Ok(socket),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn length_of<T>(address: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(address)).unwrap_or(0)
}

/// Waits until the socket is writable or broken. False: that was not so in time. A signal ends the wait with
/// `Interrupted`.
pub(crate) fn await_writable(socket: &TcpStream, timeout: Duration) -> std::io::Result<bool> {
    let mut wanted = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // Rounded up: a caller with half a millisecond left must not spin.
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    let millis = libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX);
    // SAFETY: one pollfd, writable, whose descriptor is open while `socket` is borrowed.
    match unsafe { libc::poll(&raw mut wanted, 1, millis) } {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Runs `run` in a child after a fork, which then ends at once. Whether `run` was true.
#[cfg(test)]
pub(crate) fn in_child(run: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs on the thread that forked, and ends without what an exit runs. The C library keeps its memory
    // usable in the child. A child that hangs is ended by its alarm.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no handler is set for the signal.
        unsafe { libc::alarm(30) };
        let run = std::panic::AssertUnwindSafe(run);
        let did_well = std::panic::catch_unwind(run).unwrap_or(false);
        // SAFETY: it ends the child.
        unsafe { libc::_exit(i32::from(!did_well)) };
    }
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    let mut status = -1;
    // SAFETY: the child is this thread's, and no other thread waits for it; `status` is a local variable.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "{}", std::io::Error::last_os_error());
    status == 0
}

/// Runs `run` while a signal hits this thread several thousand times a second, as in a host with a
/// profiler or a runtime that preempts by signals.
#[cfg(test)]
pub(crate) fn under_signals<T>(run: impl FnOnce() -> T) -> T {
    use std::sync::atomic::{AtomicBool, Ordering};

    extern "C" fn nothing(_: libc::c_int) {}

    /// Ends the storm also when `run` panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let done = AtomicBool::new(false);
    // SAFETY: the handler does nothing. Its flags are empty: no system call is restarted.
    let me = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        libc::pthread_self()
    };
    std::thread::scope(|scope| {
        let _end = End(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: the thread is alive: it waits for this one before it leaves the scope.
                unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
                std::thread::park_timeout(Duration::from_micros(100));
            }
        });
        run()
    })
}
