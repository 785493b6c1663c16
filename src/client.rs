//! The client: the settings for Consul, and everything that its locks share.

mod ask;
mod environment;
mod holders;
mod observer;
mod program;
mod settings;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::callbacks::Completion;
use crate::clock::Time;
use crate::core::messages::Key;
use crate::core::{Config, Done};
pub use crate::core::{Holder, Holders, Party, Role};
use crate::error::{Error, Status};
use crate::fork::{self, Generation};
use crate::lockorder::{Mutex, Rank};
use crate::options::{OptionPlace, Options};
use crate::runtime::{Handle, Runtime};
use crate::threads::{HOST_STACK, thread};
use crate::{defaults, key, sys};
pub use ask::{Peer, Query, Reply, in_path};
pub use observer::{Manner, Observer, ObserverCallback, Seen};
use settings::Settings;

/// The settings for Consul, and the runtime for them; cheap to clone (reference counted).
///
/// After a fork a client also works in the child, with threads and connections of the child's own.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientState>);

struct ClientState {
    settings: Settings,
    /// The runtime of this process, made when it is first used. Only touched inside [`fork::shared`].
    runtime: Mutex<Option<Arc<Handle>>>,
}

impl fmt::Debug for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.settings.endpoint.shown())
            .field("datacenter", &self.settings.scope.datacenter)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client from options, from the environment (docs/OPTIONS.md) for options that are not set, and
    /// from the files that these name. Sends nothing.
    ///
    /// INVALID_OPTION or INVALID_ENVIRONMENT: the message names the option or the variable.
    pub fn new(options: Option<&Options>) -> Result<Client, Error> {
        let none = Options::new();
        let values = options.unwrap_or(&none).values_for(OptionPlace::Client)?;
        let mut values = values.clone();
        environment::complete(&mut values)?;
        Ok(Client(Arc::new(ClientState {
            settings: Settings::new(&values)?,
            runtime: Mutex::new(Rank::Client, None),
        })))
    }

    /// Asks Consul for the holder of the lock on `key`, which is put into `lock_key_pattern`. None: the lock
    /// has no holder. Blocks for two reads, at most `request_timeout_ms`.
    pub fn holder(&self, key: &str) -> Result<Option<Holder>, Error> {
        self.runtime().who(key_of(key)?).map(holder_in)
    }

    /// As [`Client::holder`], without waiting: `done` gets the outcome, exactly once. On failure (a key that
    /// the library refuses, NO_RESOURCES) the library asks nothing, and `done` gets nothing.
    pub fn holder_start(&self, key: &str, done: Completion<Option<Holder>>) -> Result<(), Error> {
        self.runtime()
            .who_start(key_of(key)?, done.through(holder_in))
    }

    /// Asks Consul for all that hold the lock on `key` or wait for it. Blocks for two reads, and one for each of the
    /// first 64 sessions, at most `request_timeout_ms`.
    pub fn holders(&self, key: &str) -> Result<Holders, Error> {
        self.runtime().who_all(key_of(key)?).and_then(holders_in)
    }

    /// As [`Client::holders`], without waiting: `done` gets the outcome, exactly once. On failure as
    /// [`Client::holder_start`].
    pub fn holders_start(&self, key: &str, done: Completion<Holders>) -> Result<(), Error> {
        let done = done.through_outcome(|outcome| outcome.and_then(holders_in));
        self.runtime().who_all_start(key_of(key)?, done)
    }

    /// Tells `callback` the exclusive holder of the lock on `key`: at once, and again at each change of session or
    /// fencing token, until the observer is dropped. What `callback` is told last is the present state in the end; it
    /// may miss states in between. It is told an error while Consul refuses the key or gives no answer for
    /// `request_timeout_ms`, once, and the holder again afterwards. Those that share the key are no holders here.
    pub fn observe(
        &self,
        key: &str,
        manner: Manner,
        callback: ObserverCallback,
    ) -> Result<Observer, Error> {
        Observer::begin(self.runtime(), key_of(key)?, manner, callback)
    }

    /// The statistics of this client in this process: a JSON object, described in docs/guide.md.
    pub fn stats(&self) -> String {
        self.runtime().stats()
    }

    /// The runtime of this process.
    pub(crate) fn runtime(&self) -> Arc<Handle> {
        if let Some(runtime) = self.with_runtime(|runtime| runtime.clone()) {
            return runtime;
        }
        // Made before the mutex is taken: a fork must not wait for what takes time or asks the system.
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

    /// Shows the place of the runtime, without that of a parent process.
    fn with_runtime<T>(&self, look: impl FnOnce(&mut Option<Arc<Handle>>) -> T) -> T {
        let _inside = fork::shared();
        let mut place = self.0.runtime.lock();
        // Dropping the handle of a parent's runtime does nothing to it.
        place.take_if(|runtime| !runtime.generation.is_current());
        look(&mut place)
    }
}

/// The client of locks that are made without one.
struct DefaultClient {
    /// The client that the host has set.
    set: Option<Client>,
    /// The client from the environment. A failure is not kept: the next lock tries again.
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

/// Sets the client of locks that are made without one. None: the client from the environment.
pub fn set_default_client(client: Option<Client>) {
    let before = with_default(|default| std::mem::replace(&mut default.set, client));
    drop(before);
}

/// The client of locks that are made without one: the one that the host has set, else one that is made from
/// the environment on first use.
pub fn default_client() -> Result<Client, Error> {
    let known = with_default(|default| {
        let client = default.set.as_ref();
        client.or(default.from_environment.as_ref()).cloned()
    });
    if let Some(client) = known {
        return Ok(client);
    }
    // Made before the mutex is taken: a fork must not wait until files are read.
    let made = Client::new(None)?;
    // Another thread may have been faster.
    Ok(with_default(|default| {
        let first = default.from_environment.get_or_insert_with(|| made.clone());
        default.set.as_ref().unwrap_or(first).clone()
    }))
}

/// The full key of `key`, by the present default.
fn key_of(key: &str) -> Result<Key, Error> {
    let values = defaults::snapshot().values;
    key::full(values.text_or_default("lock_key_pattern").value, key)
}

fn holder_in(done: Done) -> Option<Holder> {
    match done {
        Done::Holder(holder) => holder,
        Done::Ok | Done::Holders(_) => None,
    }
}

fn holders_in(done: Done) -> Result<Holders, Error> {
    match done {
        Done::Holders(holders) => Ok(holders),
        Done::Ok | Done::Holder(_) => {
            let message = "a defect of libconsul_lock: another answer was asked for";
            Err(Error::new(Status::Internal, message))
        }
    }
}

/// The beginning of the names of this process's sessions: `consul_lock PROGRAM@HOST:PID NONCE`, or `NAME NONCE`.
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
    // A reference to a runtime of the parent must not be made here: the runtime might be dropped with it.
    runtimes.retain(|(made_in, weak)| made_in.is_current() && weak.strong_count() > 0);
    runtimes.push((runtime.generation, Arc::downgrade(runtime)));
}

/// Optional orderly shutdown: destroys the sessions that the clients of this process keep for reuse, and waits
/// for releases and undoings in progress, at most `timeout`. UNCONFIRMED: some are left. Clients stay usable,
/// but keep no session for reuse any more.
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
            let message = "could not shut down in time: Consul has not confirmed every release yet; the \
                           library goes on while the process lives, and the TTL of each session does \
                           the rest";
            return Err(Error::new(Status::Unconfirmed, message));
        }
    }
    Ok(())
}

/// As [`shutdown`], without waiting: a thread made for that gives `done` the outcome, exactly once. On failure
/// (NO_RESOURCES: the system gives no thread) the library does nothing.
pub fn shutdown_start(timeout: Duration, done: Completion<()>) -> Result<(), Error> {
    thread(HOST_STACK, move || done.tell(shutdown(timeout))).map_err(|error| {
        let why = format!("cannot start a thread (shutdown): {error}");
        Error::new(Status::NoResources, why)
    })
}
