//! Opening one socket: to an address, to a path in the file system, and through a proxy.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::consul::interrupt::Interrupt;
use crate::consul::stream::Stream;
use crate::sys::{self, Ours};

/// The pause between two attempts to connect to a Unix socket: it does not tell when its queue has room again.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

pub(super) fn connect_to_address(
    address: &SocketAddr,
    by: Time,
    interrupt: &Interrupt,
) -> io::Result<Arc<Ours<TcpStream>>> {
    let socket = Arc::new(Ours::new(sys::begin_connect(address)?));
    // Not before: the shutdown of a socket that does not connect yet would have no effect.
    if !interrupt.attach(&socket) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    loop {
        let left = by.since(Time::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match sys::await_writable(&socket, left) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A Unix socket connects at once, or its queue is full.
pub(super) fn connect_to_path(
    path: &Path,
    by: Time,
    interrupt: &Interrupt,
) -> io::Result<Arc<Ours<TcpStream>>> {
    loop {
        match sys::connect_unix(path) {
            Ok(socket) => {
                let socket = Arc::new(Ours::new(socket));
                if !interrupt.attach(&socket) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                socket.set_nonblocking(false)?;
                return Ok(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = by.since(Time::now());
                if left.is_zero() || interrupt.is_ended() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                interrupt.pause(left.min(QUEUE_PAUSE));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Asks a proxy to connect this socket to `authority`.
pub(super) fn tunnel(socket: &Arc<Ours<TcpStream>>, authority: &str, by: Time) -> io::Result<()> {
    /// The head of a reply is shorter.
    const LONGEST: usize = 16 << 10;
    let mut stream = Stream::plain(socket.clone(), by);
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.send(head.as_bytes(), &mut None)?;
    // Byte by byte: what follows the head belongs to the connection.
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if reply.len() > LONGEST || stream.receive(&mut byte)? == 0 {
            return Err(io::Error::other(
                "the proxy does not answer as an HTTP proxy",
            ));
        }
        reply.extend_from_slice(&byte);
    }
    let reply = String::from_utf8_lossy(&reply);
    let status = reply.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let shown: String = status
        .chars()
        .filter(char::is_ascii_digit)
        .take(3)
        .collect();
    Err(io::Error::other(format!("the proxy answers HTTP {shown}")))
}
