//! A request in bytes. Head and body leave in one write.

use std::io::{self, Write as _};
use std::sync::Arc;

use crate::consul::connect::Route;
use crate::consul::credentials::Token;
use crate::consul::http::{HttpRequest, Method};

/// A connection keeps that much of the memory for requests. Those of the algorithm are shorter, unless a value is
/// large.
const KEPT: usize = 4 << 10;

/// What the head of a request has beside the target and the lines that stay the same.
const MOST_ELSE: usize = 128;

/// The request that a connection sends.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// What every head has after its target, for one address and one token.
    lines: Vec<u8>,
    /// The index of the address, and the token.
    of: Option<(usize, Token)>,
}

impl Output {
    /// Writes head and body of a request to this address, with this token. The error is of the kind `OutOfMemory`, or
    /// says in words why no request has this form.
    pub(super) fn write(
        &mut self,
        request: &HttpRequest,
        route: &Route,
        at: usize,
        token: &Token,
    ) -> io::Result<()> {
        if !is_target(&request.target) {
            return Err(unfit(
                "its path has a character that must be percent-encoded",
            ));
        }
        let is_same = |(to, with): &(usize, Token)| *to == at && Arc::ptr_eq(with, token);
        if !self.of.as_ref().is_some_and(is_same) {
            self.write_lines(route, at, token)?;
        }
        let room = self.longest(request, route.prefix(at));
        let bytes = &mut self.bytes;
        bytes.clear();
        reserve(bytes, room)?;
        bytes.extend_from_slice(match request.method {
            Method::Get => b"GET ",
            Method::Put => b"PUT ",
            #[cfg(test)]
            Method::Delete => b"DELETE ",
        });
        bytes.extend_from_slice(route.prefix(at).as_bytes());
        bytes.extend_from_slice(request.target.as_bytes());
        bytes.extend_from_slice(&self.lines);
        if request.method == Method::Put {
            let body = request.body.as_deref().unwrap_or_default();
            bytes.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
            write!(bytes, "{}", body.len())?;
            bytes.extend_from_slice(b"\r\n\r\n");
            bytes.extend_from_slice(body);
        } else {
            bytes.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// The most bytes that this request takes: what one write to the socket sends.
    pub(super) fn longest(&self, request: &HttpRequest, prefix: &str) -> usize {
        let body = request.body.as_ref().map_or(0, Vec::len);
        MOST_ELSE + prefix.len() + request.target.len() + self.lines.len() + body
    }

    fn write_lines(&mut self, route: &Route, at: usize, token: &Token) -> io::Result<()> {
        self.of = None;
        let credentials = route.credentials();
        let secrets = [
            ("X-Consul-Token", token.as_ref().as_ref()),
            ("Authorization", credentials.basic()),
        ];
        let mut lines = format!(
            " HTTP/1.1\r\nHost: {}\r\nUser-Agent: libconsul_lock/{}\r\n",
            route.authority(at),
            env!("CARGO_PKG_VERSION")
        );
        for (name, secret) in secrets {
            let Some(secret) = secret else { continue };
            if !secret.0.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
                return Err(unfit("the token is no header (does it have a line break?)"));
            }
            lines += &format!("{name}: {}\r\n", secret.0);
        }
        self.lines = lines.into_bytes();
        self.of = Some((at, token.clone()));
        Ok(())
    }

    /// The bytes of the request that was written last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much memory it has now.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.lines.capacity()
    }

    /// Gives the memory of a large request back.
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }
}

/// Whether the line of a request can have this path and query: nothing in it ends the line, or a part of the line.
fn is_target(target: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    target.starts_with('/') && target.bytes().all(fits)
}

fn unfit(why: &str) -> io::Error {
    let why = format!("the request cannot be sent: {why}");
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// The host may have no memory for what may be large.
pub(super) fn reserve(bytes: &mut Vec<u8>, more: usize) -> io::Result<()> {
    let reserved = bytes.try_reserve_exact(more);
    reserved.map_err(|_| io::ErrorKind::OutOfMemory.into())
}
