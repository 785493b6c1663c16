//! A descriptor that the program may have closed behind the library's back, as daemons close all that they find.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};

/// A socket of the library's. Dropping closes the descriptor, unless its number names another file by then. That
/// file is the program's, or another socket of the library's, and stays open.
#[derive(Debug)]
pub(crate) struct Ours<T: AsRawFd> {
    socket: ManuallyDrop<T>,
    identity: Option<Identity>,
}

/// What tells a file from a later one that has the same number.
type Identity = (libc::dev_t, libc::ino_t);

impl<T: AsRawFd> Ours<T> {
    pub(crate) fn new(socket: T) -> Ours<T> {
        let identity = identity(socket.as_raw_fd());
        Ours {
            socket: ManuallyDrop::new(socket),
            identity,
        }
    }

    /// The number still names the socket.
    pub(crate) fn is_open(&self) -> bool {
        identity(self.socket.as_raw_fd()) == self.identity
    }
}

impl<T: AsRawFd> Deref for Ours<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.socket
    }
}

impl<T: AsRawFd> Drop for Ours<T> {
    fn drop(&mut self) {
        if self.is_open() {
            // SAFETY: this is the only place that drops the socket, and nothing uses the socket afterwards.
            unsafe { ManuallyDrop::drop(&mut self.socket) };
        }
    }
}

/// None: the number names no file.
fn identity(descriptor: RawFd) -> Option<Identity> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: there is room for one `stat`, and a number that names no file is an error.
    if unsafe { libc::fstat(descriptor, found.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call has succeeded, so it has filled the `stat`.
    let found = unsafe { found.assume_init() };
    Some((found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Closes the descriptor as a program does that closes all, and gives the number to another file.
    fn replace(number: RawFd) -> OwnedFd {
        let (other, _) = UnixStream::pair().expect("a pair");
        // SAFETY: the number is a socket of this test's, whose owner no longer uses the socket.
        assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), number) }, number);
        // SAFETY: the number names the new file, whose owner this is from now on.
        unsafe { OwnedFd::from_raw_fd(number) }
    }

    #[test]
    fn a_socket_is_closed() {
        let (socket, other) = UnixStream::pair().expect("a pair");
        let ours = Ours::new(socket);
        assert!(ours.is_open() && crate::sys::has_peer(&other));
        drop(ours);
        assert!(!crate::sys::has_peer(&other));
    }

    #[test]
    fn a_file_that_took_the_number_stays_open() {
        let (socket, _other) = UnixStream::pair().expect("a pair");
        let ours = Ours::new(socket);
        let taken = replace(ours.as_raw_fd());
        assert!(!ours.is_open());
        drop(ours);
        assert!(taken.as_fd().try_clone_to_owned().is_ok(), "it is open");
    }
}
