//! A server that follows the rules of the [`Model`] in real time, over HTTP/1.1 on loopback: one thread, one loop.
//!
//! Each answer has the header [`HEADER`], so that no client takes it for one of Consul.

mod connection;
mod http;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use self::connection::{Connection, Step};
use self::http::Message;
use crate::edition::Edition;
use crate::model::{Model, Reply, Request, Served, WatchId};
use crate::time::Time;

/// The header that names this server in each answer; the value is the version.
pub const HEADER: &str = "X-Consul-Lock-Dev";

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

/// Without a descriptor for the next connection, the server tries again after this time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// For so long a client may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(5);

/// What a server plays.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The version of Consul.
    pub edition: Edition,
    /// The name of the only agent's node.
    pub node: String,
    /// How many seconds pass in the model in one second.
    pub speed: u32,
    /// The seed of session ids, and of what Consul leaves to chance.
    pub seed: u64,
}

/// A server, which listens from [`Server::bind`] on and answers in [`Server::run`].
pub struct Server {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    waker: Arc<Waker>,
    model: Model,
    speed: u32,
    begin: Instant,
    connections: HashMap<Token, Connection>,
    /// The connections that wait for the answer to a blocking query.
    parked: HashMap<WatchId, Token>,
    /// The connections that have had their last answer, and when they end, in that order.
    lingering: VecDeque<(Instant, Token)>,
    last_token: usize,
    lacks_descriptors: bool,
    scratch: Vec<u8>,
}

/// Ends [`Server::run`] from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Waker>);

impl Stopper {
    /// Has [`Server::run`] return.
    pub fn stop(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Server {
    /// Listens on an address of loopback; port 0: a free port. Any other address is an error: the server asks for no
    /// token and so must not be reached from another machine.
    pub fn bind(address: SocketAddr, settings: &Settings) -> io::Result<Server> {
        if !address.ip().is_loopback() {
            let why = "the server asks for no token, so it listens on loopback only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(registry, WAKER)?);
        let mut model = Model::new(settings.seed);
        model.set_edition(settings.edition);
        model.set_node(&settings.node);
        model.set_peers(0);
        Ok(Server {
            address: listener.local_addr()?,
            poll,
            listener,
            waker,
            model,
            speed: settings.speed.max(1),
            begin: Instant::now(),
            connections: HashMap::new(),
            parked: HashMap::new(),
            lingering: VecDeque::new(),
            last_token: WAKER.0,
            lacks_descriptors: false,
            scratch: vec![0; 64 * 1024],
        })
    }

    /// The address, with the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What ends [`Server::run`] from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.waker))
    }

    /// Serves until `goes_on` is false, which the server asks at least once in each `interval`, or until the
    /// [`Stopper`] ends it.
    pub fn run(&mut self, interval: Duration, mut goes_on: impl FnMut() -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while goes_on() && self.turn(&mut events, interval)? {}
        Ok(())
    }

    /// Waits for what comes next, at most for the interval, and serves it. False: the [`Stopper`] ends the server.
    fn turn(&mut self, events: &mut Events, interval: Duration) -> io::Result<bool> {
        match self.poll.poll(events, Some(self.patience(interval))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            done => done?,
        }
        if self.lacks_descriptors {
            self.accept()?;
        }
        for event in &*events {
            match event.token() {
                LISTENER => self.accept()?,
                WAKER => return Ok(false),
                token => self.hear(token, event),
            }
        }
        self.model.advance(self.now());
        self.answer_woken();
        self.end_lingering();
        Ok(true)
    }

    /// The time in the model.
    fn now(&self) -> Time {
        let elapsed = self.begin.elapsed().saturating_mul(self.speed);
        Time(0) + elapsed
    }

    /// How long the loop may wait for the network.
    fn patience(&self, interval: Duration) -> Duration {
        let mut patience = interval;
        if self.lacks_descriptors {
            patience = patience.min(ACCEPT_AGAIN);
        }
        if let Some((end, _)) = self.lingering.front() {
            patience = patience.min(end.saturating_duration_since(Instant::now()));
        }
        if let Some(next) = self.model.next_event_at() {
            let ahead = Duration::from_nanos(next.0.saturating_sub(self.now().0));
            patience = patience.min(ahead / self.speed);
        }
        patience
    }

    fn accept(&mut self) -> io::Result<()> {
        self.lacks_descriptors = false;
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    self.last_token += 1;
                    let token = Token(self.last_token);
                    let both = Interest::READABLE | Interest::WRITABLE;
                    // An answer must not wait for the client's acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    self.poll.registry().register(&mut stream, token, both)?;
                    self.connections.insert(token, Connection::new(stream));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // No descriptor is free: the client waits until another one has gone.
                Err(_) => {
                    self.lacks_descriptors = true;
                    return Ok(());
                }
            }
        }
    }

    /// A connection has bytes, has room for bytes, or has ended.
    fn hear(&mut self, token: Token, event: &Event) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        if event.is_readable() || event.is_read_closed() {
            connection.read(&mut self.scratch, event.is_read_closed());
        }
        if event.is_write_closed() || event.is_error() {
            connection.hang_up();
        }
        self.serve(token);
    }

    /// Answers what a connection has asked, up to a blocking query.
    fn serve(&mut self, token: Token) {
        loop {
            let Some(connection) = self.connections.get_mut(&token) else {
                return;
            };
            match connection.next() {
                Step::Wait if connection.read_on(&mut self.scratch) => {}
                Step::Wait => break,
                Step::End => return self.end(token),
                Step::Linger => {
                    connection.linger(&mut self.scratch);
                    self.lingering.push_back((Instant::now() + LINGER, token));
                }
                Step::Refuse(reply) => connection.answer(&reply),
                Step::Serve(message) => self.ask_model(token, &message),
            }
        }
        if let Some(connection) = self.connections.get_mut(&token)
            && connection.flush().is_err()
        {
            self.end(token);
        }
    }

    fn ask_model(&mut self, token: Token, message: &Message) {
        let request = Request {
            method: &message.method,
            target: &message.target,
            body: &message.body,
        };
        let served = if message.has_namespace {
            Served::Reply(self.model.refuse_namespace())
        } else {
            self.model.handle(self.now(), &request)
        };
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        match served {
            Served::Reply(reply) => connection.answer(&reply),
            Served::Parked(watch) => {
                connection.park(watch);
                self.parked.insert(watch, token);
            }
        }
    }

    /// Answers the blocking queries that something woke. Their connections may have asked more meanwhile.
    fn answer_woken(&mut self) {
        loop {
            let woken: Vec<(WatchId, Reply)> = self.model.woken();
            if woken.is_empty() {
                return;
            }
            for (watch, reply) in woken {
                if let Some(token) = self.parked.remove(&watch)
                    && let Some(connection) = self.connections.get_mut(&token)
                {
                    connection.answer(&reply);
                    self.serve(token);
                }
            }
        }
    }

    /// Forgets a connection, and its blocking query.
    fn end(&mut self, token: Token) {
        let Some(mut connection) = self.connections.remove(&token) else {
            return;
        };
        if let Some(watch) = connection.parked() {
            self.parked.remove(&watch);
            self.model.forget(watch);
        }
        let _ = self.poll.registry().deregister(connection.stream());
    }

    /// Ends the connections whose clients go on sending for too long. Most have gone by themselves before.
    fn end_lingering(&mut self) {
        while let Some((end, token)) = self.lingering.front().copied()
            && end <= Instant::now()
        {
            self.lingering.pop_front();
            self.end(token);
        }
    }
}
