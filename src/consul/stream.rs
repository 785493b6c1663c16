//! The bytes of one connection, plain or through TLS, with a deadline for every read and write.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;

use super::address::Address;
use super::tls::Tls;
use crate::clock::Time;
use crate::sys::{self, Ours};

/// An open connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Timed,
    tls: Option<Box<ClientConnection>>,
}

/// A socket with a deadline for reads and writes. A Unix socket is a `TcpStream` here, too: the system calls are
/// those of any stream socket.
#[derive(Debug)]
struct Timed {
    socket: Arc<Ours<TcpStream>>,
    by: Time,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Stream {
    /// A connection without TLS.
    pub(super) fn plain(socket: Arc<Ours<TcpStream>>, by: Time) -> Stream {
        let socket = Timed {
            socket,
            by,
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        };
        Stream { socket, tls: None }
    }

    /// The same connection with TLS, after the handshake.
    pub(super) fn secure(mut self, tls: &Tls, address: &Address) -> io::Result<Stream> {
        let name = tls.name_at(address).map_err(io::Error::other)?;
        let connection = ClientConnection::new(tls.config(), name);
        let mut connection = Box::new(connection.map_err(io::Error::other)?);
        // The library writes a request at once, and bounds its size.
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            // This also sends the alert that tells the other side of a failure.
            connection.complete_io(&mut self.socket)?;
        }
        self.tls = Some(connection);
        Ok(self)
    }

    /// The certificate of the other side, in DER.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        let sent = self.tls.as_ref()?.peer_certificates()?;
        sent.first().map(|first| first.to_vec())
    }

    pub(super) fn socket(&self) -> &Arc<Ours<TcpStream>> {
        &self.socket.socket
    }

    /// Whether neither the peer nor the program has closed the connection, and there are no unexpected bytes from
    /// Consul. A program that closes all descriptors may have given the number to a socket of its own. A request
    /// with a token must not go there.
    pub(super) fn is_quiet(&mut self) -> bool {
        let empty = self.tls.as_mut().is_none_or(|tls| {
            let state = tls.process_new_packets();
            state.is_ok_and(|s| s.plaintext_bytes_to_read() == 0 && !s.peer_has_closed())
        });
        empty && self.socket().is_open() && sys::is_quiet(self.socket())
    }

    /// Reads and writes end at this instant from now on.
    pub(super) fn set_deadline(&mut self, by: Time) {
        self.socket.by = by;
    }

    /// Sends all bytes. `sent` becomes the instant before the first byte left this machine.
    pub(super) fn send(&mut self, bytes: &[u8], sent: &mut Option<Time>) -> io::Result<()> {
        let Stream { socket, tls } = self;
        let Some(tls) = tls else {
            let mut rest = bytes;
            *sent = Some(Time::now());
            while !rest.is_empty() {
                let written = socket.write(rest).inspect_err(|_| {
                    if rest.len() == bytes.len() {
                        *sent = None;
                    }
                })?;
                rest = rest.get(written..).unwrap_or_default();
            }
            return Ok(());
        };
        tls.writer().write_all(bytes)?;
        *sent = Some(Time::now());
        let mut written = 0;
        while tls.wants_write() {
            written += tls.write_tls(socket).inspect_err(|_| {
                if written == 0 {
                    *sent = None;
                }
            })?;
        }
        Ok(())
    }

    /// Sends what the socket takes at once, by one system call that does not wait. Some: the instant before, and how many of
    /// the bytes this connection has taken; those that TLS keeps leave with the next [`Stream::receive`]. None: not one
    /// byte left this machine, and the connection serves no more (TLS may keep bytes).
    pub(super) fn send_at_once(&mut self, bytes: &[u8]) -> Option<(Time, usize)> {
        let mut socket = AtOnce(&self.socket.socket);
        let before;
        let (left, taken) = match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(bytes).ok()?;
                before = Time::now();
                (tls.write_tls(&mut socket).ok()?, bytes.len())
            }
            None => {
                before = Time::now();
                let left = socket.write(bytes).ok()?;
                (left, left)
            }
        };
        (left > 0).then_some((before, taken))
    }

    /// Reads what there is, or waits for a byte. 0: the other side has ended the connection.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(into);
        };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            while tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
            tls.read_tls(&mut self.socket)?;
            if let Err(error) = tls.process_new_packets() {
                // The alert tells the other side of the failure, if that side still reads.
                let _ = tls.write_tls(&mut self.socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// A socket on which no write waits.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match sys::send_at_once(self.0, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.by.since(Time::now());
        if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(left)
        }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.left()?;
            if differs(self.read_timeout, left) {
                self.socket.set_read_timeout(Some(left))?;
                self.read_timeout = left;
            }
            match (&**self.socket).read(into) {
                Err(error) if again(&error) => {}
                result => return result,
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let left = self.left()?;
            if differs(self.write_timeout, left) {
                self.socket.set_write_timeout(Some(left))?;
                self.write_timeout = left;
            }
            match (&**self.socket).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if again(&error) => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a signal ended the call, or a time-out of the socket, which may be a little too short: the deadline
/// decides. Linux does not restart a read with a time-out, even under SA_RESTART (signal(7)).
fn again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Whether the socket needs another time-out. A short time-out only makes the library look at the deadline more
/// often, and one that is a little too long ends the request that much later. Leaving both alone saves a system call
/// for every request.
fn differs(set: Duration, wanted: Duration) -> bool {
    /// No request ends later than this after its deadline.
    const LATE: Duration = Duration::from_millis(20);
    set > wanted + (wanted / 50).min(LATE) || set < wanted.min(Duration::from_secs(1)) / 2
}
