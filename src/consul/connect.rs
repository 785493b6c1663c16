//! Opening a connection to the first address that can be reached: by name, through a socket in the file system,
//! through a proxy, with or without TLS.

mod socket;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::address::{Address, Destination};
use super::credentials::{CredentialSettings, Credentials};
use super::errand::Wait;
use super::http::Failure;
use super::interrupt::Interrupt;
use super::names::{self, Names};
use super::stream::Stream;
use super::tls::{self, Rotating, Tls, TlsSettings};
use crate::clock::Time;
use crate::lockorder::{Mutex, Rank};
use crate::sys::{self, Ours};
use socket::{connect_to_address, connect_to_path, tunnel};

/// For how long an address that failed comes after the others.
const SET_ASIDE: Duration = Duration::from_secs(10);

/// How to reach Consul: configuration.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The addresses in the order in which they are tried; never empty.
    pub(crate) addresses: Vec<Address>,
    /// The setting that the addresses come from, in words: what to change when no agent is there.
    pub(crate) origin: String,
    /// For addresses that want TLS: the settings of TLS, and the first TLS that was made.
    pub(crate) tls: Option<(Arc<TlsSettings>, Tls)>,
    pub(crate) credentials: CredentialSettings,
    pub(crate) proxy: Option<Address>,
    /// How long connecting to one address may take, from when the address is known.
    pub(crate) connect_timeout: Duration,
}

impl Endpoint {
    /// The addresses, for messages.
    pub(crate) fn shown(&self) -> String {
        let shown: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        shown.join(", ")
    }
}

/// The endpoint as one process uses it.
#[derive(Debug)]
pub(crate) struct Route {
    endpoint: Endpoint,
    credentials: Credentials,
    tls: Option<Rotating>,
    names: OnceCell<Arc<Names>>,
    /// When each address failed last.
    failed: Mutex<Vec<Option<Time>>>,
}

/// A connection that was opened.
#[derive(Debug)]
pub(super) struct Connected {
    /// The index of its address in the route.
    pub(super) at: usize,
    pub(super) stream: Stream,
    /// The TLS of the connection.
    pub(super) tls: Option<Arc<Tls>>,
}

impl Route {
    /// A route with no connection yet.
    pub(crate) fn new(endpoint: Endpoint) -> Arc<Route> {
        Arc::new(Route {
            credentials: Credentials::new(endpoint.credentials.clone()),
            tls: endpoint
                .tls
                .as_ref()
                .map(|(source, first)| Rotating::new(source, first)),
            names: OnceCell::new(),
            failed: Mutex::new(Rank::Leaf, vec![None; endpoint.addresses.len()]),
            endpoint,
        })
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The beginning of all paths at the address of that index.
    pub(super) fn prefix(&self, at: usize) -> &str {
        let address = self.endpoint.addresses.get(at);
        address.map_or("", |address| &address.prefix)
    }

    /// The header `Host` for the address of that index.
    pub(super) fn authority(&self, at: usize) -> String {
        let address = self.endpoint.addresses.get(at);
        address.map(Address::authority).unwrap_or_default()
    }

    /// The address of that index, for messages.
    pub(super) fn address(&self, at: usize) -> String {
        let address = self.endpoint.addresses.get(at);
        address.map(Address::to_string).unwrap_or_default()
    }

    /// All addresses, for messages.
    pub(crate) fn shown(&self) -> String {
        self.endpoint.shown()
    }

    /// The agent at this address cannot be reached, or cannot serve: others come first for a while.
    pub(crate) fn note_failure(&self, at: usize) {
        if let Some(failed) = self.failed.lock().get_mut(at) {
            *failed = Some(Time::now());
        }
    }

    /// Whether the address failed lately, and another one did not.
    pub(crate) fn is_set_aside(&self, at: usize) -> bool {
        if self.endpoint.addresses.len() == 1 {
            return false;
        }
        let now = Time::now();
        let failed = self.failed.lock();
        let lately = |failed: &Option<Time>| failed.is_some_and(|then| now.since(then) < SET_ASIDE);
        failed.get(at).is_some_and(lately) && !failed.iter().all(lately)
    }

    /// Tries the addresses in their order.
    pub(super) fn connect(&self, by: Time, interrupt: &Interrupt) -> Result<Connected, Failure> {
        let all = self.endpoint.addresses.iter().enumerate();
        let (aside, first): (Vec<_>, Vec<_>) = all.partition(|(at, _)| self.is_set_aside(*at));
        let mut whys = Vec::new();
        let (mut refused, mut starved, mut none_listens) = (true, false, false);
        let order = first.into_iter().chain(aside);
        for ((at, address), untried) in order.zip((1..=self.endpoint.addresses.len()).rev()) {
            // An address that swallows packets leaves the others their share of the time.
            let by = share(by, untried);
            let (opened, tls) = self.open_with_newest(address, by, untried == 1, interrupt);
            let error = match opened {
                Ok(stream) => return Ok(Connected { at, stream, tls }),
                Err(_) if interrupt.is_ended() => {
                    return Err(Failure::NotSent("interrupted".to_owned()));
                }
                Err(error) => error,
            };
            starved |= sys::is_starved(&error);
            none_listens |= matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            );
            self.note_failure(at);
            let of_tls = tls.zip(tls::error_in(&error));
            refused &= of_tls
                .as_ref()
                .is_some_and(|(_, error)| tls::is_final(error));
            let why = of_tls.map_or_else(|| explain(&error), |(tls, error)| tls.explain(error));
            whys.push(match self.endpoint.addresses.len() {
                1 => why,
                _ => format!("{address}: {why}"),
            });
        }
        let mut why = whys.join("; ");
        if none_listens {
            why += &match &self.endpoint.proxy {
                Some(proxy) => {
                    format!("; is the proxy running at {proxy}? (the address is option proxy)")
                }
                None => {
                    let origin = &self.endpoint.origin;
                    format!("; is a Consul agent running there? (the address is {origin})")
                }
            };
        }
        Err(if refused {
            Failure::Refused(why)
        } else if starved {
            Failure::NoResources(format!("this process gets no connection: {why}"))
        } else {
            Failure::NotSent(why)
        })
    }

    /// Opens a connection, once more if one side refuses the other and the files of TLS were replaced.
    fn open_with_newest(
        &self,
        address: &Address,
        by: Time,
        last: bool,
        interrupt: &Interrupt,
    ) -> (io::Result<Stream>, Option<Arc<Tls>>) {
        let files = Wait::for_files(by, interrupt);
        let open = |tls: Option<&Arc<Tls>>| self.open(address, tls, by, last, interrupt);
        let Some(rotating) = self.tls.as_ref().filter(|_| address.tls) else {
            return (open(None), None);
        };
        let used = rotating.current(files);
        match open(Some(&used)) {
            Err(error)
                if tls::error_in(&error).is_some_and(tls::is_final)
                    && rotating.has_newer(&used, files) =>
            {
                let newer = rotating.current(files);
                (open(Some(&newer)), Some(newer))
            }
            opened => (opened, Some(used)),
        }
    }

    /// Whether the files have other certificates than `used`, with which one side refused the other.
    pub(super) fn has_newer_tls(&self, used: &Arc<Tls>, by: Time, interrupt: &Interrupt) -> bool {
        let wait = Wait::for_files(by, interrupt);
        self.tls
            .as_ref()
            .is_some_and(|rotating| rotating.has_newer(used, wait))
    }

    /// `last`: there is no other address to try.
    fn open(
        &self,
        address: &Address,
        tls: Option<&Arc<Tls>>,
        by: Time,
        last: bool,
        interrupt: &Interrupt,
    ) -> io::Result<Stream> {
        let from = Time::now();
        let to_host = |host: &str, port| self.connect_to_host(host, port, by, last, interrupt);
        let (socket, by) = match (&address.destination, &self.endpoint.proxy) {
            (Destination::Unix(path), _) => {
                let by = by.min(from + self.endpoint.connect_timeout);
                (connect_to_path(path, by, interrupt)?, by)
            }
            (Destination::Tcp { host, port }, None) => to_host(host, *port)?,
            (Destination::Tcp { .. }, Some(proxy)) => {
                let Destination::Tcp { host, port } = &proxy.destination else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let (socket, by) = to_host(host, *port)?;
                tunnel(&socket, &address.authority(), by)?;
                (socket, by)
            }
        };
        let stream = Stream::plain(socket, by);
        match tls {
            Some(tls) => stream.secure(tls, address),
            None => Ok(stream),
        }
    }

    /// Tries every address of the host, in the resolver's order. An address that swallows packets leaves the
    /// others their share of the time. The result has the end of the time for connecting, TLS included.
    fn connect_to_host(
        &self,
        host: &str,
        port: u16,
        by: Time,
        last: bool,
        interrupt: &Interrupt,
    ) -> io::Result<(Arc<Ours<TcpStream>>, Time)> {
        let timeout = self.endpoint.connect_timeout;
        let names = self.names.get_or_init(names::of_this_process);
        let left = by.since(Time::now());
        let addresses = names.look_up(
            host,
            port,
            Wait {
                // The time for connecting begins after the look-up.
                by: by - timeout.min(left / 4),
                patience: if last { Duration::MAX } else { timeout },
                interrupt,
            },
        )?;
        let by = by.min(Time::now() + timeout);
        let mut why = io::Error::from(io::ErrorKind::TimedOut);
        for (address, untried) in addresses.iter().zip((1..=addresses.len()).rev()) {
            match connect_to_address(address, share(by, untried), interrupt) {
                Ok(socket) => return Ok((socket, by)),
                Err(error) if interrupt.is_ended() => return Err(error),
                Err(error) => why = error,
            }
        }
        names.doubt(host);
        Err(why)
    }
}

/// The end of the time for one of `untried` addresses, so that each gets the same part of the time.
fn share(by: Time, untried: usize) -> Time {
    let now = Time::now();
    now + by.since(now) / u32::try_from(untried).unwrap_or(u32::MAX)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no connection in time".to_owned(),
        io::ErrorKind::UnexpectedEof => {
            "the connection was closed during the TLS handshake".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn route(addresses: &str) -> Arc<Route> {
        Route::new(Endpoint {
            addresses: Address::parse_list(addresses).expect("addresses"),
            origin: "a test".to_owned(),
            tls: None,
            credentials: CredentialSettings::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(2),
        })
    }

    #[test]
    fn what_failed_lately_comes_last_unless_everything_did() {
        let route = route("a:1,b:1,c:1");
        let aside = |route: &Route| [0, 1, 2].map(|at| route.is_set_aside(at));
        assert_eq!(aside(&route), [false; 3]);
        route.note_failure(0);
        route.note_failure(2);
        assert_eq!(aside(&route), [true, false, true]);
        route.note_failure(1);
        assert_eq!(aside(&route), [false; 3], "then their order counts");
        route.failed.lock()[0] = Some(Time::default());
        assert_eq!(
            aside(&route),
            [false, true, true],
            "and it is over after a while"
        );
        let alone = self::route("a:1");
        alone.note_failure(0);
        assert!(!alone.is_set_aside(0));
    }

    /// A route whose names are resolved by `ask`, and what it asked.
    fn asking(
        addresses: &str,
        timeout_ms: u64,
        ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> (Arc<Route>, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Rank::Leaf, Vec::new()));
        let seen = asked.clone();
        let names = Names::asking(move |name| {
            seen.lock().push(name.to_owned());
            ask(name)
        });
        let mut route = route(addresses);
        let inner = Arc::get_mut(&mut route).expect("not shared yet");
        inner.endpoint.connect_timeout = Duration::from_millis(timeout_ms);
        inner.names.set(Arc::new(names)).expect("not set yet");
        (route, asked)
    }

    fn in_ms(ms: u64) -> Time {
        Time::now() + Duration::from_millis(ms)
    }

    fn connect(route: &Route, ms: u64) -> Result<Connected, Failure> {
        route.connect(in_ms(ms), &Interrupt::default())
    }

    /// A listener and its address.
    fn a_listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    /// A nameserver that does not answer until the test is over.
    fn silent() -> (
        mpsc::Sender<()>,
        impl Fn(&str) -> io::Result<Vec<SocketAddr>>,
    ) {
        let (end, ended) = mpsc::channel();
        let ended = Mutex::new(Rank::Leaf, ended);
        (end, move |_: &str| {
            let _ = ended.lock().recv();
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    #[test]
    fn a_nameserver_that_is_silent_costs_the_next_address_nothing() {
        let (_listener, at) = a_listener();
        let (_end, never) = silent();
        let (route, asked) = asking(&format!("name:1,{at}"), 100, never);
        let begun = Time::now();
        let connected = connect(&route, 60_000).expect("the second");
        assert_eq!(connected.at, 1);
        assert!(Time::now().since(begun) < Duration::from_secs(30));
        // The first look-up goes on: no second one begins.
        route.failed.lock()[0] = None;
        connect(&route, 60_000).expect("the second");
        assert_eq!(*asked.lock(), ["name"]);
        // The limit of connecting does not bound the look-up of an only address, which the caller can end.
        let (_end, never) = silent();
        let (route, _) = asking("name:1", 1, never);
        let interrupt = Interrupt::default();
        thread::scope(|scope| {
            let connects = scope.spawn(|| route.connect(in_ms(600_000), &interrupt));
            thread::sleep(Duration::from_millis(100));
            assert!(!connects.is_finished());
            interrupt.end();
            let why = connects.join().expect("no panic").expect_err("cancelled");
            assert_eq!(why, Failure::NotSent("interrupted".to_owned()));
        });
        let why = connect(&route, 50).expect_err("late");
        assert!(
            matches!(&why, Failure::NotSent(why) if why.contains("the name name was not resolved")),
            "{why:?}"
        );
    }

    #[test]
    fn a_refused_connection_names_the_origin_of_the_address() {
        let (listener, at) = a_listener();
        drop(listener);
        let why = connect(&route(&at.to_string()), 60_000).expect_err("no listener");
        let expected = "Connection refused (os error 111); is a Consul agent running there? (the \
                        address is a test)";
        assert_eq!(why, Failure::NotSent(expected.to_owned()));
    }

    #[test]
    fn the_look_up_is_not_charged_to_the_connecting_and_is_remembered() {
        let (_listener, at) = a_listener();
        let slow = move |_: &str| {
            thread::sleep(Duration::from_millis(300));
            Ok(vec![at])
        };
        let (route, asked) = asking(&format!("name:{}", at.port()), 100, slow);
        // An answer that is too late for the first call serves the next.
        connect(&route, 100).expect_err("late");
        connect(&route, 60_000).expect("in time");
        for _ in 0..3 {
            connect(&route, 60_000).expect("remembered");
        }
        assert_eq!(asked.lock().len(), 1);
    }

    #[test]
    fn an_old_answer_serves_where_there_is_no_newer_one_and_a_wrong_one_is_asked_for_again() {
        let (listener, at) = a_listener();
        let (route, asked) = asking(&format!("name:{}", at.port()), 10_000, {
            let first = AtomicBool::new(true);
            move |_| match first.swap(false, Ordering::Relaxed) {
                true => Ok(vec![at]),
                false => Err(io::Error::other("no nameserver")),
            }
        });
        let connect = || connect(&route, 60_000);
        connect().expect("resolved");
        drop(listener);
        assert!(format!("{:?}", connect()).contains("refused"));
        let _listener = TcpListener::bind(at).expect("the same port");
        connect().expect("by the old answer");
        assert_eq!(asked.lock().len(), 2, "it was asked for a newer one");
    }
}
