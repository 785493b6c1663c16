//! The locks below a prefix, from the rows of Consul and the list of its sessions.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use consul_lock::client::{Client, Query, in_path};
use consul_lock::error::{Error, Status};
use consul_lock::options::{DefaultValue, TABLE};
use serde_json::Value as Json;

use crate::party::one_line;

/// A blocking query of a process that is gone stays in the agent for so long.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// Which keys are listed.
#[derive(Clone, Debug)]
pub struct Place {
    /// What stands before the name of a lock, and behind it.
    before: String,
    behind: String,
    /// What a full key begins with.
    pub(super) prefix: String,
}

impl Place {
    pub fn new(pattern: Option<&str>, prefix: &str) -> Place {
        let row = TABLE.iter().find(|row| row.name == "lock_key_pattern");
        let default = match row.map(|row| row.default) {
            Some(DefaultValue::Text(pattern)) => pattern,
            _ => "%s",
        };
        let pattern = pattern.unwrap_or(default);
        let (before, behind) = pattern.split_once("%s").unwrap_or((pattern, ""));
        Place {
            before: before.to_owned(),
            behind: behind.to_owned(),
            prefix: format!("{before}{prefix}"),
        }
    }

    /// Why no key of a lock begins so, in the words for keys.
    pub fn problem(&self) -> Option<&'static str> {
        let mut segments = self.prefix.split('/');
        if self.prefix.starts_with('/') {
            Some("it begins with a slash")
        } else if self.prefix.contains("//") {
            Some("it has an empty segment (//)")
        } else if segments.any(|segment| matches!(segment, "." | "..")) {
            Some("it has a segment . or .., which Consul would take for a path")
        } else {
            None
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
    pub(super) session: String,
    pub(super) name: Option<String>,
    pub(super) node: Option<String>,
    pub(super) token: u64,
    pub(super) since: Option<i64>,
}

/// One lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) exclusive: Option<Holding>,
    pub(super) sharers: Vec<Holding>,
    /// How many may share the lock.
    pub(super) limit: Option<u64>,
    pub(super) waiting: usize,
}

/// The locks at one instant, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Listing {
    pub rows: Vec<Row>,
    pub(super) place: Place,
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
            // An unknown token is a 403, too, and no right would help: "ACL not found".
            403 if has_words(&reply.body, b"Permission denied") => {
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

/// The text has these words.
fn has_words(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
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
