//! The addresses that the names of hosts stand for. A look-up of the C library cannot be interrupted, and takes 5 s
//! by default for each nameserver that does not answer. So a look-up is an [`Errand`]: one at a time for each name,
//! shared by all clients of the process.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use super::errand::{Errand, Undone, Wait};
use crate::clock::Time;
use crate::fork::OfProcess;
use crate::lockorder::{Mutex, Rank};

/// How long an answer is used before the name is looked up again.
const FRESH: Duration = Duration::from_secs(10);

/// How long an answer is used where there is no newer one: a nameserver that fails must not cost a lock.
const USABLE: Duration = Duration::from_secs(600);

/// How long a caller waits for a newer answer where there is an older one.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many names the process remembers. The one that was wanted longest ago goes first.
const MOST: usize = 64;

/// The names that this process knows.
pub(super) fn of_this_process() -> Arc<Names> {
    static NAMES: OfProcess<Names> = OfProcess::new();
    NAMES.get()
}

/// The function that asks for the addresses of a name.
type Ask = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The names that are known, and the function that asks for more.
pub(super) struct Names {
    ask: Arc<Ask>,
    known: Mutex<HashMap<String, Arc<Name>>>,
}

type LookUp = Result<Vec<SocketAddr>, String>;

#[derive(Debug)]
struct Name {
    asking: Arc<Errand<LookUp>>,
    answer: Mutex<LastAnswer>,
}

#[derive(Debug, Default)]
struct LastAnswer {
    addresses: Vec<SocketAddr>,
    at: Time,
    wanted: Time,
    /// No address of the answer could be reached.
    doubted: bool,
}

impl Default for Name {
    fn default() -> Name {
        Name {
            asking: Arc::default(),
            answer: Mutex::new(Rank::Leaf, LastAnswer::default()),
        }
    }
}

impl Default for Names {
    fn default() -> Names {
        // The caller sets the port of each address.
        Names::asking(|name| Ok((name, 0).to_socket_addrs()?.collect()))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    pub(super) fn asking(
        ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Names {
        Names {
            ask: Arc::new(ask),
            known: Mutex::new(Rank::Names, HashMap::new()),
        }
    }

    /// The addresses of a host, in the order in which they are to be tried.
    pub(super) fn look_up(
        &self,
        host: &str,
        port: u16,
        wait: Wait<'_>,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = self.name(host);
        let old = match name.known() {
            (addresses, true) => return Ok(at_port(addresses, port)),
            (addresses, false) => addresses,
        };
        let patience = match old.is_empty() {
            true => wait.patience,
            false => wait.patience.min(PATIENCE),
        };
        let asked = name.asking.run(Wait { patience, ..wait }, {
            let (name, ask, host) = (name.clone(), self.ask.clone(), host.to_owned());
            move || name.learn(ask(&host), &host)
        });
        let why = match asked {
            Ok(Ok(addresses)) => return Ok(at_port(addresses, port)),
            Err(Undone::Interrupted) => return Err(io::ErrorKind::ConnectionAborted.into()),
            _ if !old.is_empty() => return Ok(at_port(old, port)),
            Ok(Err(why)) => why,
            Err(Undone::Late) => {
                format!("the name {host} was not resolved in time (is a nameserver silent?)")
            }
            Err(Undone::NoThread(why)) => format!("the name {host} cannot be resolved: {why}"),
        };
        Err(io::Error::other(why))
    }

    /// Notes that no address of this host could be reached: the next look-up asks again.
    pub(super) fn doubt(&self, host: &str) {
        if let Some(name) = self.known.lock().get(host) {
            name.answer.lock().doubted = true;
        }
    }

    fn name(&self, host: &str) -> Arc<Name> {
        let mut known = self.known.lock();
        if !known.contains_key(host) && known.len() >= MOST {
            let wanted = |name: &Arc<Name>| name.answer.lock().wanted;
            let oldest = known.iter().min_by_key(|(_, name)| wanted(name));
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                known.remove(&oldest);
            }
        }
        let name = known.entry(host.to_owned()).or_default();
        name.answer.lock().wanted = Time::now();
        name.clone()
    }
}

impl Name {
    /// The last answer, if it can still be used, and whether it is new enough.
    fn known(&self) -> (Vec<SocketAddr>, bool) {
        let answer = self.answer.lock();
        let age = Time::now().since(answer.at);
        match answer.addresses.is_empty() || age > USABLE {
            true => (Vec::new(), false),
            false => (answer.addresses.clone(), age <= FRESH && !answer.doubted),
        }
    }

    fn learn(&self, answer: io::Result<Vec<SocketAddr>>, host: &str) -> LookUp {
        let addresses = answer.map_err(|error| match host.split_once('%') {
            Some((_, zone)) => format!("{host}: {error} (is there an interface {zone}?)"),
            None => error.to_string(),
        })?;
        if addresses.is_empty() {
            return Err(format!("the name {host} has no address"));
        }
        let mut known = self.answer.lock();
        *known = LastAnswer {
            addresses: addresses.clone(),
            at: Time::now(),
            doubted: false,
            ..*known
        };
        Ok(addresses)
    }
}

fn at_port(mut addresses: Vec<SocketAddr>, port: u16) -> Vec<SocketAddr> {
    for address in &mut addresses {
        address.set_port(port);
    }
    addresses
}
