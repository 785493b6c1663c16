//! The locks below a prefix, from the rows of Consul and the list of its sessions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consul_lock::client::{Client, Query, in_path};
use consul_lock::error::{Error, Status};
use serde_json::{Value as Json, json};

use crate::paint::Paint;
use crate::party::{self, Program};
use crate::when;

/// The pattern of the library, where no other one is set.
const PATTERN: &str = "locks/ephemeral/%s";

/// A blocking query of a process that is gone stays in the agent for so long.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// Which keys are listed.
#[derive(Clone, Debug)]
pub struct Place {
    /// What stands before the name of a lock, and behind it.
    before: String,
    behind: String,
    /// What a full key begins with.
    prefix: String,
}

impl Place {
    pub fn new(pattern: Option<&str>, prefix: &str) -> Place {
        let pattern = pattern.unwrap_or(PATTERN);
        let (before, behind) = pattern.split_once("%s").unwrap_or((pattern, ""));
        Place {
            before: before.to_owned(),
            behind: behind.to_owned(),
            prefix: format!("{before}{prefix}"),
        }
    }

    /// The name of a lock, as programs say it. None: the key is no lock of this pattern.
    fn name_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        let name = key.strip_prefix(&self.before)?.strip_suffix(&self.behind)?;
        (!name.is_empty()).then_some(name)
    }
}

/// A session that holds or shares a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    session: String,
    name: Option<String>,
    node: Option<String>,
    token: u64,
    since: Option<i64>,
}

/// One lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    key: String,
    name: String,
    exclusive: Option<Holding>,
    sharers: Vec<Holding>,
    /// How many may share the lock.
    limit: Option<u64>,
    waiting: usize,
}

/// The locks at one instant, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Listing {
    pub rows: Vec<Row>,
    place: Place,
    index: u64,
}

/// What a key below a prefix is.
enum Kind<'a> {
    Lock(&'a str),
    Share(&'a str),
    Ticket(&'a str),
}

impl Kind<'_> {
    fn of(key: &str) -> Kind<'_> {
        let slot = |rest: &str| {
            let digits = rest.len() == 3 && rest.bytes().all(|b| b.is_ascii_hexdigit());
            digits && !rest.bytes().any(|b| b.is_ascii_uppercase())
        };
        for (folder, kind) in [
            ("/.fifo/", Kind::Ticket as fn(_) -> _),
            ("/.share/slot/", Kind::Share as fn(_) -> _),
            ("/.share/", Kind::Share as fn(_) -> _),
        ] {
            if let Some((lock, rest)) = key.rsplit_once(folder)
                && slot(rest)
            {
                return kind(lock);
            }
        }
        Kind::Lock(key)
    }
}

/// Reads listings, and remembers the names of sessions.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    place: Place,
    /// Name and node of each session.
    names: HashMap<String, (String, String)>,
}

impl Reader {
    pub fn new(client: Client, place: Place) -> Reader {
        Reader {
            client,
            place,
            names: HashMap::new(),
        }
    }

    /// The locks as they are now.
    pub fn now(&mut self) -> Result<Listing, Error> {
        self.read(None)
    }

    /// The locks at the next change, or after a while.
    pub fn next(&mut self, before: &Listing) -> Result<Listing, Error> {
        self.read(Some(before.index))
    }

    fn read(&mut self, since: Option<u64>) -> Result<Listing, Error> {
        let prefix = &self.place.prefix;
        let what = format!("could not list the locks below \"{prefix}\"");
        let path = format!("/v1/kv/{}?recurse=", in_path(prefix));
        let query = match since {
            None => Query::Get(&path),
            Some(index) => Query::Watch {
                path: &path,
                index,
                wait: LONGEST_QUERY,
            },
        };
        let reply = self.client.ask(&query).map_err(|mut error| {
            // The library reads 32 MB of one reply.
            if error.status == Status::Rejected {
                error.message += "; name a longer PREFIX";
            }
            error
        })?;
        let rows: Vec<Json> = match reply.status {
            200 => serde_json::from_slice(&reply.body).unwrap_or_default(),
            404 => Vec::new(),
            403 => {
                let mut error = reply.error(&what);
                error.message += &format!(
                    "; the token needs key:list on \"{prefix}\" (this Consul has acl.enable_key_list_policy), as \
                     with key_prefix \"{prefix}\" {{ policy = \"list\" }} (docs/acl.md)"
                );
                return Err(error);
            }
            _ => return Err(reply.error(&what)),
        };
        // A 404 of another server has no index.
        let index = reply.index.ok_or_else(|| {
            let why = format!("{what}: unexpected reply (is that a Consul agent?)");
            Error::new(Status::Rejected, why)
        })?;
        let sessions = rows.iter().filter_map(session_of);
        if sessions.clone().any(|id| !self.names.contains_key(id)) {
            self.read_names()?;
        }
        Ok(Listing {
            rows: self.rows(&rows),
            place: self.place.clone(),
            index,
        })
    }

    /// Sessions that the token may not read are not in the list, and have no name.
    fn read_names(&mut self) -> Result<(), Error> {
        let reply = self.client.ask(&Query::Get("/v1/session/list"))?;
        if reply.status == 403 {
            return Ok(());
        }
        if reply.status != 200 {
            return Err(reply.error("could not read the names of the sessions"));
        }
        let all: Vec<Json> = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |session: &Json, name| session.get(name)?.as_str().map(str::to_owned);
        let known = all.iter().filter_map(|session| {
            let about = (text(session, "Name")?, text(session, "Node")?);
            Some((text(session, "ID")?, about))
        });
        self.names = known.collect();
        Ok(())
    }

    fn rows(&self, all: &[Json]) -> Vec<Row> {
        let mut found: BTreeMap<&str, Row> = BTreeMap::new();
        for json in all {
            let (Some(key), Some(id)) = (json.get("Key").and_then(Json::as_str), session_of(json))
            else {
                continue;
            };
            let (Kind::Lock(lock) | Kind::Share(lock) | Kind::Ticket(lock)) = Kind::of(key);
            let Some(name) = self.place.name_of(lock) else {
                continue;
            };
            let row = found.entry(lock).or_insert_with(|| Row {
                key: lock.to_owned(),
                name: name.to_owned(),
                ..Row::default()
            });
            match Kind::of(key) {
                Kind::Lock(_) => row.exclusive = Some(self.holding(json, id)),
                Kind::Ticket(_) => row.waiting += 1,
                Kind::Share(_) => {
                    /// The Flags of those that share without a limit.
                    const READERS: u64 = 1_024;
                    let limit = json.get("Flags").and_then(Json::as_u64);
                    row.limit = row.limit.or(limit.filter(|limit| *limit < READERS));
                    row.sharers.push(self.holding(json, id));
                }
            }
        }
        found.into_values().collect()
    }

    fn holding(&self, row: &Json, session: &str) -> Holding {
        let about = self.names.get(session);
        Holding {
            session: session.to_owned(),
            name: about.map(|(name, _)| one_line(name)),
            node: about.map(|(_, node)| one_line(node)),
            token: row.get("ModifyIndex").and_then(Json::as_u64).unwrap_or(0),
            since: since_of(row),
        }
    }
}

fn session_of(row: &Json) -> Option<&str> {
    let session = row.get("Session")?.as_str()?;
    (!session.is_empty()).then_some(session)
}

/// When the holder took the lock, if the stored value says it.
fn since_of(row: &Json) -> Option<i64> {
    use base64::Engine as _;
    let value = row.get("Value")?.as_str()?;
    let value = base64::engine::general_purpose::STANDARD
        .decode(value)
        .ok()?;
    let value: Json = serde_json::from_slice(&value).ok()?;
    let time = humantime::parse_rfc3339(value.get("locked_at")?.as_str()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// A text of another program does no harm to a terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).take(200).collect()
}

impl Holding {
    fn json(&self) -> Json {
        let mut json = json!({
            "session": self.session,
            "name": self.name,
            "node": self.node,
            "fencing_token": self.token,
            "since_ms": self.since,
        });
        party::complete(&mut json, false);
        json
    }
}

impl Row {
    /// One object for the lock.
    pub fn json(&self) -> Json {
        let sharers: Vec<Json> = self.sharers.iter().map(Holding::json).collect();
        let state = match (&self.exclusive, sharers.is_empty()) {
            (Some(_), _) => "held",
            (None, false) => "shared",
            (None, true) => "free",
        };
        json!({
            "key": self.key,
            "name": self.name,
            "state": state,
            "exclusive": self.exclusive.as_ref().map(Holding::json),
            "sharers": sharers,
            "limit": self.limit,
            "waiting": self.waiting,
        })
    }

    fn holder(&self) -> String {
        let shared = match (self.sharers.len(), self.limit) {
            (0, _) => None,
            (count, Some(limit)) => Some(format!("shared by {count} of {limit}")),
            (count, None) => Some(format!("shared by {count}")),
        };
        let of = |holding: &Holding| match holding.name.as_deref() {
            Some(name) if Program::of(name).is_some() => party::title(Some(name)),
            Some(name) => format!("\"{name}\""),
            None => format!("session {}", holding.session),
        };
        match (&self.exclusive, shared) {
            (Some(_), Some(shared)) => format!("{shared}, being taken"),
            (Some(holding), None) => of(holding),
            (None, Some(shared)) => shared,
            (None, None) => "free".to_owned(),
        }
    }

    /// For how long the lock is held, by the holder's clock.
    fn age(&self) -> String {
        let all = self.exclusive.iter().chain(&self.sharers);
        let Some(since) = all.filter_map(|holding| holding.since).min() else {
            return String::new();
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let age = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
        when::shown(Duration::from_secs(age / 1000))
    }
}

impl Listing {
    /// What is said of a prefix without locks.
    pub fn nothing(&self) -> String {
        format!(
            "no lock below \"{}\" is held, shared or waited for (Consul leaves out keys that the token may not read)",
            self.place.prefix
        )
    }

    /// A table, one line for each lock.
    pub fn text(&self, paint: Paint) -> Vec<String> {
        self.fitted(usize::MAX, paint)
    }

    /// The same, with lines of so many characters at most.
    pub fn fitted(&self, columns: usize, paint: Paint) -> Vec<String> {
        let head = ["LOCK", "HOLDER", "FOR", "WAITING"].map(str::to_owned);
        let cells = |row: &Row| {
            let waiting = match row.waiting {
                0 => String::new(),
                count => count.to_string(),
            };
            [one_line(&row.name), row.holder(), row.age(), waiting]
        };
        let table: Vec<[String; 4]> = std::iter::once(head)
            .chain(self.rows.iter().map(cells))
            .collect();
        let mut widths = [0; 4];
        for line in &table {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |(number, cells): (usize, &[String; 4])| {
            let padded = cells.iter().zip(widths);
            let text: Vec<String> = padded
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let text: String = text.join("  ").trim_end().chars().take(columns).collect();
            match number {
                0 => paint.dim(text),
                _ => text,
            }
        };
        table.iter().enumerate().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_library_belong_to_their_lock() {
        let of = |key| match Kind::of(key) {
            Kind::Lock(lock) => ("lock", lock),
            Kind::Share(lock) => ("share", lock),
            Kind::Ticket(lock) => ("ticket", lock),
        };
        assert_eq!(of("a/b"), ("lock", "a/b"));
        assert_eq!(of("a/b/.fifo/00f"), ("ticket", "a/b"));
        assert_eq!(of("a/.share/3ff"), ("share", "a"));
        assert_eq!(of("a/.share/slot/000"), ("share", "a"));
        for other in ["a/.fifo/00F", "a/.fifo/0000", "a/.share/slot", "a/.fifo/"] {
            assert_eq!(of(other), ("lock", other));
        }
    }

    #[test]
    fn names_are_those_of_programs() {
        let place = Place::new(Some("service/%s/.lock"), "w");
        assert_eq!(place.prefix, "service/w");
        assert_eq!(place.name_of("service/web/.lock"), Some("web"));
        assert_eq!(place.name_of("service/web/other"), None);
        assert_eq!(Place::new(None, "a").prefix, "locks/ephemeral/a");
        assert_eq!(Place::new(Some("%s"), "").name_of("x"), Some("x"));
    }
}
