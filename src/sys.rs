//! Calls of the C library: besides `src/ffi` the only place with `unsafe`.
#![allow(unsafe_code)]

use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

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

/// Sends one byte without waiting, and without the signal of a socket whose other end is closed.
pub(crate) fn send_byte(socket: &UnixStream) {
    let byte = [0_u8; 1];
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the descriptor is open while `socket` is borrowed, and there is one byte to read.
    unsafe { libc::send(socket.as_raw_fd(), byte.as_ptr().cast(), byte.len(), flags) };
}

/// Whether the other end of a socket pair is open; also true where the system does not say it.
pub(crate) fn has_peer(socket: &UnixStream) -> bool {
    let mut asked = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: 0,
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
    // SAFETY: the handlers are functions of this library, which is never unmapped (-z nodelete).
    unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
}

unsafe extern "C" {
    // glibc and musl; the libc crate does not declare it.
    #[link_name = "secure_getenv"]
    fn c_secure_getenv(name: *const libc::c_char) -> *const libc::c_char;
}

/// A variable of the environment. None: the variable is not set, or the program is a setuid program, which must
/// not trust its environment.
pub(crate) fn secure_getenv(name: &str) -> Option<Vec<u8>> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is NUL-terminated. A setenv of another thread may change the text, as with every
    // reader of the environment; the text is copied at once.
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

/// The bytes that the C library takes from the stack of each thread: glibc puts the thread-local variables of the
/// host and of its libraries there, which may be megabytes.
pub(crate) fn stack_overhead() -> usize {
    minimal_stack().unwrap_or_else(|| thread_locals() + (64 << 10))
}

/// The same by glibc, with the least that a thread needs; None: another C library, or another glibc.
fn minimal_stack() -> Option<usize> {
    // SAFETY: the name is NUL-terminated.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__pthread_get_minstack".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: glibc's function of that name takes attributes and gives a size; the attributes live from
    // before until after the call.
    unsafe {
        type Minimum = unsafe extern "C" fn(*const libc::pthread_attr_t) -> libc::size_t;
        let minimum: Minimum = std::mem::transmute(found);
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_attr_init(&raw mut attributes) != 0 {
            return None;
        }
        let size = minimum(&raw const attributes);
        libc::pthread_attr_destroy(&raw mut attributes);
        Some(size)
    }
}

/// The size of the thread-local variables that each thread has from its start.
fn thread_locals() -> usize {
    unsafe extern "C" fn add(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        sum: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the C library gives an object with its headers, and `sum` back as it was given.
        unsafe {
            let (object, sum) = (&*object, &mut *sum.cast::<usize>());
            for number in 0..usize::from(object.dlpi_phnum) {
                let header = &*object.dlpi_phdr.add(number);
                if header.p_type == libc::PT_TLS {
                    let size = header.p_memsz.saturating_add(header.p_align);
                    *sum = sum.saturating_add(usize::try_from(size).unwrap_or(0));
                }
            }
        }
        0
    }
    let mut sum = 0_usize;
    // SAFETY: `add` is such a function, and `sum` lives until the call returns.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut sum).cast()) };
    sum
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
    let socket = unconnected(family)?;
    let descriptor = socket.as_raw_fd();
    let result = match address {
        std::net::SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: `raw` is an address of this family and of the length given.
            unsafe { libc::connect(descriptor, (&raw const raw).cast(), length_of(&raw)) }
        }
        std::net::SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
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
    let mut raw = libc::sockaddr_un {
        sun_family: libc::AF_UNIX as libc::sa_family_t,
        sun_path: [0; 108],
    };
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays 0.
    if bytes.len() >= raw.sun_path.len() || bytes.contains(&0) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let socket = unconnected(libc::AF_UNIX)?;
    let descriptor = socket.as_raw_fd();
    // SAFETY: `raw` is an address of this family and of the length given.
    match unsafe { libc::connect(descriptor, (&raw const raw).cast(), length_of(&raw)) } {
        0 => Ok(socket),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A socket in non-blocking mode that is not connected.
fn unconnected(family: libc::c_int) -> std::io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers.
    let descriptor = unsafe { libc::socket(family, kind, 0) };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and only this socket owns it.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_room_for_what_the_c_library_puts_there() {
        let least = thread_locals();
        // This program has thread-local variables, and no megabytes of them.
        assert!((1..1 << 20).contains(&least), "{least}");
        let all = stack_overhead();
        assert!((least..2 << 20).contains(&all), "{all}, {least}");
    }
}
