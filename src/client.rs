//! The client: how to reach Consul, and everything that its locks share.

mod environment;
mod program;
mod settings;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::callbacks::Completion;
use crate::clock::Time;
pub use crate::core::Holder;
use crate::core::messages::Key;
use crate::core::{Config, Done};
use crate::error::{Error, Status};
use crate::fork::{self, Generation};
use crate::lockorder::{Mutex, Rank};
use crate::options::{OptionPlace, Options};
use crate::runtime::{Handle, Runtime};
use crate::threads::{HOST_STACK, thread};
use crate::{defaults, key, sys};
use settings::Settings;

/// A connection setting and the runtime behind it; cheap to clone (reference counted).
///
/// A client is configuration: after a fork it works in the child, too, with threads and connections
/// of the child's own.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// Made when it is first used in a process. Only touched inside [`fork::shared`].
    runtime: Mutex<Option<Arc<Handle>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.settings.endpoint.shown())
            .field("datacenter", &self.settings.scope.datacenter)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client from the client's options, and the environment (docs/OPTIONS.md) for what they
    /// leave out. Reads the files that these name, and sends nothing.
    ///
    /// INVALID_OPTION or INVALID_ENVIRONMENT when something is wrong: the message names the option or
    /// the variable.
    pub fn new(options: Option<&Options>) -> Result<Client, Error> {
        let none = Options::new();
        let values = options.unwrap_or(&none).values_for(OptionPlace::Client)?;
        let mut values = values.clone();
        environment::complete(&mut values)?;
        Ok(Client(Arc::new(Inner {
            settings: Settings::new(&values)?,
            runtime: Mutex::new(Rank::Client, None),
        })))
    }

    /// Who holds the lock on `key` (put into `lock_key_pattern`), asked of Consul; None: nobody.
    /// Blocks for two reads, at most `request_timeout_ms`.
    pub fn holder(&self, key: &str) -> Result<Option<Holder>, Error> {
        self.runtime().who(key_of(key)?).map(holder_in)
    }

    /// As [`Client::holder`], without waiting: `done` is told, exactly once. On failure (a key that is
    /// refused, NO_RESOURCES) nothing was asked, and `done` is not told.
    pub fn holder_start(&self, key: &str, done: Completion<Option<Holder>>) -> Result<(), Error> {
        self.runtime()
            .who_start(key_of(key)?, done.through(holder_in))
    }

    /// What this process did with it until now: a JSON object, described in docs/guide.md.
    pub fn stats(&self) -> String {
        self.runtime().stats()
    }

    /// This process's runtime.
    pub(crate) fn runtime(&self) -> Arc<Handle> {
        if let Some(runtime) = self.with_runtime(|runtime| runtime.clone()) {
            return runtime;
        }
        // Made outside: nothing that takes time, or asks the system, happens while a fork waits.
        let settings = &self.0.settings;
        let config = Config {
            address: settings.endpoint.shown(),
            identity: identity(settings.session_name.as_deref()),
            request_timeout: settings.request_timeout,
            release_timeout: settings.release_timeout,
            lock_delay: !settings.scope.lock_delay.is_zero(),
            flags: settings.scope.flags,
            session_node: settings.session_node.clone(),
            connections: settings.max_connections,
            seed: sys::random(),
        };
        let runtime = Runtime::new(settings.endpoint.clone(), settings.scope.clone(), config);
        let made = Handle::new(&runtime);
        // Another thread may have been faster.
        self.with_runtime(|place| {
            let first = place.get_or_insert_with(|| {
                register(&runtime);
                made.clone()
            });
            first.clone()
        })
    }

    /// Shows the place of this process's runtime. A parent's is taken out of it before.
    fn with_runtime<T>(&self, look: impl FnOnce(&mut Option<Arc<Handle>>) -> T) -> T {
        let _inside = fork::shared();
        let mut place = self.0.runtime.lock();
        // The parent's is only forgotten here.
        place.take_if(|runtime| !runtime.generation.is_current());
        look(&mut place)
    }
}

/// The client of locks that are given none.
struct DefaultClient {
    /// What the host has set.
    set: Option<Client>,
    /// The one made from the environment. A failure is not kept: the next lock tries again.
    from_environment: Option<Client>,
}

fn with_default<T>(change: impl FnOnce(&mut DefaultClient) -> T) -> T {
    /// Only touched inside [`fork::shared`].
    static DEFAULT: Mutex<DefaultClient> = Mutex::new(
        Rank::Process,
        DefaultClient {
            set: None,
            from_environment: None,
        },
    );
    let _inside = fork::shared();
    change(&mut DEFAULT.lock())
}

/// Sets the client of locks that are given none; None returns to the environment.
pub fn set_default_client(client: Option<Client>) {
    let before = with_default(|default| std::mem::replace(&mut default.set, client));
    drop(before);
}

/// The client of locks that are given none: the one that was set, else one made from the
/// environment on first use.
pub fn default_client() -> Result<Client, Error> {
    let known = with_default(|default| {
        let client = default.set.as_ref();
        client.or(default.from_environment.as_ref()).cloned()
    });
    if let Some(client) = known {
        return Ok(client);
    }
    // Made outside: it reads files, which may take their time, and a fork must not wait for them.
    let made = Client::new(None)?;
    // Another thread may have been faster.
    Ok(with_default(|default| {
        let first = default.from_environment.get_or_insert_with(|| made.clone());
        default.set.as_ref().unwrap_or(first).clone()
    }))
}

/// The full key of `key`, by the defaults of now.
fn key_of(key: &str) -> Result<Key, Error> {
    let pattern = defaults::snapshot()
        .values
        .text_or_default("lock_key_pattern");
    key::full(&pattern.value, key)
}

fn holder_in(done: Done) -> Option<Holder> {
    match done {
        Done::Holder(holder) => holder,
        Done::Ok => None,
    }
}

/// `consul_lock PROGRAM@HOST:PID NONCE`, or `NAME NONCE`: what the names of this process's sessions
/// begin with.
fn identity(name: Option<&str>) -> String {
    static NONCE: Mutex<Option<(Generation, u64)>> = Mutex::new(Rank::Process, None);
    let number = {
        let _inside = fork::shared();
        let mut nonce = NONCE.lock();
        let generation = Generation::current();
        match *nonce {
            Some((made_in, number)) if made_in == generation => number,
            _ => nonce.insert((generation, sys::random())).1,
        }
    };
    if let Some(name) = name {
        return format!("{name} {number:016x}");
    }
    let plain = |text: &str| -> String {
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        text.chars().map(printable).take(64).collect()
    };
    format!(
        "consul_lock {}@{}:{} {number:016x}",
        plain(&program::name()),
        plain(&sys::host_name()),
        std::process::id()
    )
}

/// The runtimes of this process, for [`shutdown`]. Only touched inside [`fork::shared`].
static RUNTIMES: Mutex<Vec<(Generation, Weak<Runtime>)>> = Mutex::new(Rank::Process, Vec::new());

fn register(runtime: &Arc<Runtime>) {
    let mut runtimes = RUNTIMES.lock();
    // A parent's must not be upgraded here: it might be dropped here.
    runtimes.retain(|(made_in, weak)| made_in.is_current() && weak.strong_count() > 0);
    runtimes.push((runtime.generation, Arc::downgrade(runtime)));
}

/// For who wants an orderly end: destroys the warm sessions of every client of this process and
/// waits for releases and undoings under way, at most `timeout`. UNCONFIRMED when some are left.
/// Clients stay usable, but keep no session warm any more.
pub fn shutdown(timeout: Duration) -> Result<(), Error> {
    let runtimes: Vec<Arc<Runtime>> = {
        let _inside = fork::shared();
        let runtimes = RUNTIMES.lock();
        let current = runtimes.iter().filter(|(made_in, _)| made_in.is_current());
        current.filter_map(|(_, weak)| weak.upgrade()).collect()
    };
    let deadline = Time::now() + timeout;
    for runtime in &runtimes {
        runtime.drain();
    }
    for runtime in &runtimes {
        if !runtime.wait_until_idle(deadline) {
            let message = "Consul did not confirm in time that everything is undone; the library \
                           goes on while the process lives, and the TTL of each session does the \
                           rest";
            return Err(Error::new(Status::Unconfirmed, message));
        }
    }
    Ok(())
}

/// As [`shutdown`], without waiting: `done` is told, exactly once, by a thread made for that. On
/// failure (NO_RESOURCES: the system gives no thread) nothing was done.
pub fn shutdown_start(timeout: Duration, done: Completion<()>) -> Result<(), Error> {
    thread(HOST_STACK, move || done.tell(shutdown(timeout))).map_err(|error| {
        let why = format!("cannot start a thread (shutdown): {error}");
        Error::new(Status::NoResources, why)
    })
}
