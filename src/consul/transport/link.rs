//! What ureq is given: an agent for one connection, and the connection itself.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::{Connections, append};
use crate::clock::Time;
use crate::consul::stream::Stream;
use crate::lockorder::Mutex;

/// Enough for the head of any reply of Consul's. Both buffers grow where a body needs more.
const INPUT_BUFFER: usize = 16 << 10;
pub(super) const OUTPUT_BUFFER: usize = 8 << 10;

/// What the wire and the connection, which ureq owns, know of each other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// The connection that is open, and that ureq has not taken yet.
    pub(super) ready: Option<Stream>,
    pub(super) socket: Option<Arc<TcpStream>>,
    pub(super) by: Time,
    pub(super) sent: Option<Time>,
    /// The other side has said something since the connection was opened.
    pub(super) heard: bool,
    pub(super) room: usize,
    pub(super) connections: Arc<Connections>,
}

/// An agent for one connection.
pub(super) fn agent(link: &Arc<Mutex<Link>>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("libconsul_lock/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(Duration::from_secs(86_400))
        .build();
    Agent::with_parts(config, LinkConnector(link.clone()), NoResolver)
}

/// The route resolves names when it connects. ureq's own resolver would ask for every request.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Hands ureq the connection that [`Wire::perform`](super::Wire::perform) has opened.
#[derive(Debug)]
struct LinkConnector(Arc<Mutex<Link>>);

impl Connector for LinkConnector {
    type Out = LinkTransport;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<LinkTransport>, ureq::Error> {
        let mut link = self.0.lock();
        let Some(stream) = link.ready.take() else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        link.socket = Some(stream.socket().clone());
        link.connections.opened();
        Ok(Some(LinkTransport {
            buffers: LazyBuffers::new(INPUT_BUFFER, link.room),
            pending: Vec::new(),
            broken: false,
            stream,
            link: self.0.clone(),
        }))
    }
}

/// The connection, as ureq uses it.
#[derive(Debug)]
struct LinkTransport {
    buffers: LazyBuffers,
    /// Bytes of ureq that are not sent yet: head and body leave together.
    pending: Vec<u8>,
    broken: bool,
    stream: Stream,
    link: Arc<Mutex<Link>>,
}

impl LinkTransport {
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let by = self.link.lock().by;
        self.stream.set_deadline(by);
        // A lease is counted from before the first byte.
        let mut sent = None;
        let result = self.stream.send(&self.pending, &mut sent);
        self.link.lock().sent = sent;
        result?;
        self.pending.clear();
        // A large value need not stay in memory.
        self.pending.shrink_to(OUTPUT_BUFFER);
        Ok(())
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.flush()?;
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            let why = format!(
                "the head of the reply has more than {} KB (Consul sends short ones: is there a proxy?)",
                INPUT_BUFFER >> 10
            );
            return Err(io::Error::other(why));
        }
        let read = self.stream.receive(room)?;
        self.buffers.input_appended(read);
        if read > 0 {
            self.link.lock().heard = true;
        }
        Ok(read > 0)
    }
}

impl Transport for LinkTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let LinkTransport {
            buffers, pending, ..
        } = self;
        let output = buffers.output().get(..amount).unwrap_or_default();
        Ok(append(pending, output)?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let result = self.fill();
        self.broken |= !matches!(result, Ok(true));
        Ok(result?)
    }

    /// ureq asks after each reply, when its own buffer is empty. Bytes that stand in the connection then belong to
    /// no request, and would pass for the reply to the next one. Before a request, for which ureq asks, too,
    /// [`Wire::perform`](super::Wire::perform) has looked already.
    fn is_open(&mut self) -> bool {
        let answered = self.link.lock().sent.is_some();
        !self.broken && self.pending.is_empty() && (!answered || self.stream.is_quiet())
    }
}

impl Drop for LinkTransport {
    fn drop(&mut self) {
        let mut link = self.link.lock();
        link.socket = None;
        link.connections.closed();
    }
}
