//! ONE table of all options: name, place, kind, default, environment, text. The parser below,
//! `docs/OPTIONS.md` and `abi/api.json` are made from it.

use std::fmt;

use crate::client::Client;
use crate::error::{Error, Status};

/// Where an option may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the options that a lock is made from.
    Lock,
    /// On the options that a client is made from.
    Client,
    /// As a process-wide default, for locks that do not say otherwise.
    Default,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, both bounds included. As text: decimal digits, with an optional minus.
    Int {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Yes or no, in one of the words that Go's `strconv.ParseBool` knows: 1, t, T, TRUE, true, True,
    /// 0, f, F, FALSE, false, False. As a number: 1 or 0.
    Bool,
    /// UTF-8 text without control characters, at most 4096 bytes.
    Text {
        /// Whether the empty text means something.
        may_be_empty: bool,
    },
    /// Text with exactly one `%s`, at most 4096 bytes.
    Pattern,
    /// Any bytes.
    Bytes {
        /// How many at most.
        max: usize,
    },
}

impl Kind {
    /// The name of the kind in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Int { .. } => "int",
            Kind::Bool => "bool",
            Kind::Text { .. } => "text",
            Kind::Pattern => "pattern",
            Kind::Bytes { .. } => "bytes",
        }
    }

    /// The range of the kind, in words.
    pub fn range(self) -> String {
        match self {
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Bool => {
                "true or false (or 1, t, T, TRUE, True, 0, f, F, FALSE, False)".to_owned()
            }
            Kind::Text { may_be_empty } => {
                let least = if may_be_empty { "at most" } else { "1 to" };
                format!("{least} {MAX_TEXT} bytes of text without control characters")
            }
            Kind::Pattern => {
                format!(
                    "text with exactly one %s and no control characters, at most {MAX_TEXT} bytes"
                )
            }
            Kind::Bytes { max } => format!("at most {max} bytes"),
        }
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, the same in every language.
    pub name: &'static str,
    /// Where it may be set.
    pub places: &'static [Place],
    /// What it takes.
    pub kind: Kind,
    /// What holds when nobody sets it, as people read it.
    pub default: &'static str,
    /// The environment variable that is read when nobody sets it.
    pub env: Option<&'static str>,
    /// Its value never appears in a message.
    pub secret: bool,
    /// What it does.
    pub doc: &'static str,
}

/// The longest text, in bytes.
const MAX_TEXT: usize = 4096;

/// The longest stored value, in bytes: a transaction over 512 KiB, base64 and all, is not answered
/// by Consul but cut off.
pub const MAX_VALUE: usize = 390_000;

/// Every option there is.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "acquire_timeout_ms",
        places: &[Place::Lock, Place::Default],
        kind: Kind::Int {
            min: -1,
            max: 86_400_000,
        },
        default: "0",
        env: None,
        secret: false,
        doc: "How long an acquire waits for a lock that somebody else holds, in milliseconds. \
              0: exactly one attempt. -1: until cancelled.",
    },
    Spec {
        name: "lock_timeout_seconds",
        places: &[Place::Lock, Place::Default],
        kind: Kind::Int {
            min: 10,
            max: 86_400,
        },
        default: "180",
        env: None,
        secret: false,
        doc: "The life of a lock that is never released, in seconds: the TTL of its session. \
              Choose it longer than the work under the lock can take. Consul may keep the lock up \
              to twice as long; the holder must never count on that.",
    },
    Spec {
        name: "value",
        places: &[Place::Lock],
        kind: Kind::Bytes { max: MAX_VALUE },
        default: "what the value generator gives, else a JSON object with `locked_at`",
        env: None,
        secret: true,
        doc: "What is stored under the key while the lock is held. Others can read it: it tells \
              them who works, and is no place for a secret.",
    },
    Spec {
        name: "fair",
        places: &[Place::Lock],
        kind: Kind::Bool,
        default: "true",
        env: None,
        secret: false,
        doc: "Whether a waiting acquire stands in line with the other processes, first come first \
              served, for 3 Raft writes and a time that does not grow with the waiters. false: all \
              who wait try when the lock is given back, and luck decides; for two or three \
              contenders that must never wait `queue_grace_ms` for one that died.",
    },
    Spec {
        name: "queue_grace_ms",
        places: &[Place::Lock],
        kind: Kind::Int {
            min: 10,
            max: 60_000,
        },
        default: "300",
        env: None,
        secret: false,
        doc: "How long whoever is first in line may leave the lock free before the next one passes \
              it, in milliseconds; 20 round trips to Consul if that is more. Whoever is passed \
              loses its place, and nothing else.",
    },
    Spec {
        name: "lock_key_pattern",
        places: &[Place::Default],
        kind: Kind::Pattern,
        default: "locks/ephemeral/%s",
        env: None,
        secret: false,
        doc: "Where lock keys live in Consul's KV store. The one `%s` becomes the key of the \
              lock; any other `%` stands for itself. All programs that share a lock need the same \
              pattern.",
    },
    Spec {
        name: "address",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "127.0.0.1:8500",
        env: Some("CONSUL_HTTP_ADDR"),
        secret: false,
        doc: "Where Consul's HTTP API is: `host:port` or `http://host:port`. Best the agent on \
              the same machine.",
    },
    Spec {
        name: "token",
        places: &[Place::Client],
        kind: Kind::Text { may_be_empty: true },
        default: "none",
        env: Some("CONSUL_HTTP_TOKEN"),
        secret: true,
        doc: "The ACL token to send. It needs `session:write` on the agent's node and `key:write` \
              on the lock keys. Empty: send none, even if the environment has one. Never logged.",
    },
    Spec {
        name: "datacenter",
        places: &[Place::Client],
        kind: Kind::Text {
            may_be_empty: false,
        },
        default: "the agent's own",
        env: None,
        secret: false,
        doc: "The datacenter in which the locks live. Locks in two datacenters know nothing of \
              each other.",
    },
    Spec {
        name: "connect_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "2000",
        env: None,
        secret: false,
        doc: "How long to try to connect, in milliseconds.",
    },
    Spec {
        name: "request_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "10000",
        env: None,
        secret: false,
        doc: "How long one request may take, in milliseconds; also the limit of an acquire with \
              `acquire_timeout_ms` 0. An agent without a leader takes over 7 seconds to say so.",
    },
    Spec {
        name: "release_timeout_ms",
        places: &[Place::Client],
        kind: Kind::Int {
            min: 1,
            max: 600_000,
        },
        default: "2000",
        env: None,
        secret: false,
        doc: "How long a release, or a free that releases, waits for Consul's confirmation, in \
              milliseconds. After that the library goes on in the background.",
    },
];

/// A parsed value.
#[derive(Clone)]
enum Parsed {
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// A process-wide default, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultSetting {
    /// `lock_key_pattern`.
    LockKeyPattern(String),
    /// `acquire_timeout_ms`.
    AcquireTimeoutMs(i64),
    /// `lock_timeout_seconds`.
    LockTimeoutSeconds(u64),
}

/// The options of a client that were set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// `address`.
    pub address: Option<String>,
    /// `token`; empty: none, whatever the environment says.
    pub token: Option<String>,
    /// `datacenter`.
    pub datacenter: Option<String>,
    /// `connect_timeout_ms`.
    pub connect_timeout_ms: Option<u64>,
    /// `request_timeout_ms`.
    pub request_timeout_ms: Option<u64>,
    /// `release_timeout_ms`.
    pub release_timeout_ms: Option<u64>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| Hidden))
            .field("datacenter", &self.datacenter)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("request_timeout_ms", &self.request_timeout_ms)
            .field("release_timeout_ms", &self.release_timeout_ms)
            .finish()
    }
}

/// The options of a lock that were set.
#[derive(Clone, Default)]
pub struct LockSettings {
    /// `acquire_timeout_ms`.
    pub acquire_timeout_ms: Option<i64>,
    /// `lock_timeout_seconds`.
    pub lock_timeout_seconds: Option<u64>,
    /// `fair`.
    pub fair: Option<bool>,
    /// `queue_grace_ms`.
    pub queue_grace_ms: Option<u64>,
    /// `value`.
    pub value: Option<Vec<u8>>,
    /// The client to use.
    pub client: Option<Client>,
}

impl fmt::Debug for LockSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockSettings")
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("lock_timeout_seconds", &self.lock_timeout_seconds)
            .field("fair", &self.fair)
            .field("queue_grace_ms", &self.queue_grace_ms)
            .field("value", &self.value.as_ref().map(|_| Hidden))
            .field("client", &self.client.is_some())
            .finish()
    }
}

/// Stands in a Debug text for what must not be seen.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A set of options for locks or for a client. Remembers its first refusal: who ignores the
/// outcome of a setter still never runs with a default that was not asked for.
#[derive(Clone, Default)]
pub struct Options {
    set: Vec<(&'static Spec, Parsed)>,
    client: Option<Client>,
    refusal: Option<Error>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (spec, value) in &self.set {
            match value {
                _ if spec.secret => map.entry(&spec.name, &Hidden),
                Parsed::Int(n) => map.entry(&spec.name, n),
                Parsed::Bool(yes) => map.entry(&spec.name, yes),
                Parsed::Text(text) => map.entry(&spec.name, text),
                Parsed::Bytes(_) => map.entry(&spec.name, &Hidden),
            };
        }
        map.finish()
    }
}

impl Options {
    /// No option set.
    pub fn new() -> Options {
        Options::default()
    }

    /// Sets an option from text. The last setting of an option counts.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let parsed = settable(name).and_then(|spec| Ok((spec, parse(spec, value)?)));
        self.store(parsed)
    }

    /// Sets an option that is a number.
    pub fn set_int(&mut self, name: &str, value: i64) -> Result<(), Error> {
        let parsed = settable(name).and_then(|spec| match spec.kind {
            Kind::Int { min, max } if (min..=max).contains(&value) => {
                Ok((spec, Parsed::Int(value)))
            }
            Kind::Bool if value == 0 || value == 1 => Ok((spec, Parsed::Bool(value == 1))),
            Kind::Int { .. } | Kind::Bool => Err(wrong_value(spec, &value.to_string())),
            _ => Err(wrong_kind(spec, "a number")),
        });
        self.store(parsed)
    }

    /// Sets an option that is bytes.
    pub fn set_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let parsed = settable(name).and_then(|spec| match spec.kind {
            Kind::Bytes { max } if value.len() <= max => Ok((spec, Parsed::Bytes(value.to_vec()))),
            Kind::Bytes { .. } => Err(too_long(spec, value.len())),
            _ => Err(wrong_kind(spec, "bytes")),
        });
        self.store(parsed)
    }

    /// The client that a lock with these options uses.
    pub fn set_client(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// Remembers a refusal, unless there is one already.
    pub fn refuse(&mut self, error: &Error) {
        self.refusal.get_or_insert_with(|| error.clone());
    }

    /// The first refusal of a setter.
    pub fn refusal(&self) -> Option<Error> {
        self.refusal.clone()
    }

    /// What a client is made from; the first refusal, if there was one; a refusal of what belongs
    /// elsewhere.
    pub fn client_settings(&self) -> Result<ClientSettings, Error> {
        self.all_belong_to(Place::Client)?;
        Ok(ClientSettings {
            address: self.text("address"),
            token: self.text("token"),
            datacenter: self.text("datacenter"),
            connect_timeout_ms: self.unsigned("connect_timeout_ms"),
            request_timeout_ms: self.unsigned("request_timeout_ms"),
            release_timeout_ms: self.unsigned("release_timeout_ms"),
        })
    }

    /// What a lock is made from; the first refusal, if there was one; a refusal of what belongs
    /// elsewhere.
    pub fn lock_settings(&self) -> Result<LockSettings, Error> {
        self.all_belong_to(Place::Lock)?;
        Ok(LockSettings {
            acquire_timeout_ms: self.int("acquire_timeout_ms"),
            lock_timeout_seconds: self.unsigned("lock_timeout_seconds"),
            fair: self.bool("fair"),
            queue_grace_ms: self.unsigned("queue_grace_ms"),
            value: self.bytes("value"),
            client: self.client.clone(),
        })
    }

    fn store(&mut self, parsed: Result<(&'static Spec, Parsed), Error>) -> Result<(), Error> {
        match parsed {
            Ok((spec, value)) => {
                self.set.retain(|(known, _)| known.name != spec.name);
                self.set.push((spec, value));
                Ok(())
            }
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        }
    }

    fn all_belong_to(&self, place: Place) -> Result<(), Error> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if let Some((stray, _)) = self
            .set
            .iter()
            .find(|(spec, _)| !spec.places.contains(&place))
        {
            return Err(misplaced(stray));
        }
        if self.client.is_some() && place == Place::Client {
            return Err(invalid(
                "a client cannot be given a client: that belongs to a lock",
            ));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Parsed> {
        self.set
            .iter()
            .find(|(spec, _)| spec.name == name)
            .map(|(_, value)| value)
    }

    fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Parsed::Int(n)) => Some(*n),
            _ => None,
        }
    }

    fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Parsed::Bool(yes)) => Some(*yes),
            _ => None,
        }
    }

    fn unsigned(&self, name: &str) -> Option<u64> {
        self.int(name).and_then(|n| u64::try_from(n).ok())
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Some(Parsed::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        match self.get(name) {
            Some(Parsed::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }
}

/// Checks a process-wide default.
pub fn parse_default(name: &str, value: &str) -> Result<DefaultSetting, Error> {
    let spec = find(name)?;
    if !spec.places.contains(&Place::Default) {
        return Err(misplaced(spec));
    }
    match (spec.name, parse(spec, value)?) {
        ("lock_key_pattern", Parsed::Text(text)) => Ok(DefaultSetting::LockKeyPattern(text)),
        ("acquire_timeout_ms", Parsed::Int(n)) => Ok(DefaultSetting::AcquireTimeoutMs(n)),
        ("lock_timeout_seconds", Parsed::Int(n)) => u64::try_from(n)
            .map(DefaultSetting::LockTimeoutSeconds)
            .map_err(|_| wrong_value(spec, value)),
        _ => Err(Error::new(
            Status::Internal,
            format!("the default {name} has no setting"),
        )),
    }
}

/// The option of that name, if it may be set on an options object at all.
fn settable(name: &str) -> Result<&'static Spec, Error> {
    let spec = find(name)?;
    if spec.places == [Place::Default] {
        Err(misplaced(spec))
    } else {
        Ok(spec)
    }
}

fn find(name: &str) -> Result<&'static Spec, Error> {
    TABLE
        .iter()
        .find(|spec| spec.name == name)
        .ok_or_else(|| unknown(name))
}

fn parse(spec: &Spec, value: &str) -> Result<Parsed, Error> {
    let wrong = || wrong_value(spec, value);
    let plain = |value: &str| value.len() <= MAX_TEXT && !value.chars().any(char::is_control);
    match spec.kind {
        Kind::Int { min, max } => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            let number: i64 = value.parse().map_err(|_| wrong())?;
            if (min..=max).contains(&number) {
                Ok(Parsed::Int(number))
            } else {
                Err(wrong())
            }
        }
        Kind::Bool => match value {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Parsed::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Parsed::Bool(false)),
            _ => Err(wrong()),
        },
        Kind::Text { may_be_empty } if plain(value) && (may_be_empty || !value.is_empty()) => {
            Ok(Parsed::Text(value.to_owned()))
        }
        Kind::Pattern if plain(value) && value.matches("%s").count() == 1 => {
            Ok(Parsed::Text(value.to_owned()))
        }
        Kind::Text { .. } | Kind::Pattern => Err(wrong()),
        Kind::Bytes { max } if value.len() <= max => Ok(Parsed::Bytes(value.as_bytes().to_vec())),
        Kind::Bytes { .. } => Err(too_long(spec, value.len())),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Status::InvalidOption, message)
}

fn wrong_value(spec: &Spec, value: &str) -> Error {
    let range = spec.kind.range();
    if spec.secret {
        return invalid(format!(
            "option {}: the given value is not {range}",
            spec.name
        ));
    }
    invalid(format!(
        "option {}: {} is not {range}",
        spec.name,
        quoted(value)
    ))
}

fn wrong_kind(spec: &Spec, given: &str) -> Error {
    invalid(format!(
        "option {}: set with {given}, but it takes {}",
        spec.name,
        spec.kind.range()
    ))
}

fn too_long(spec: &Spec, len: usize) -> Error {
    invalid(format!(
        "option {}: {len} bytes are too many, it takes {}",
        spec.name,
        spec.kind.range()
    ))
}

fn misplaced(spec: &Spec) -> Error {
    let homes: Vec<&str> = spec
        .places
        .iter()
        .map(|place| match place {
            Place::Lock => "a lock (its options)",
            Place::Client => "a client (the options that it is made from)",
            Place::Default => "the process (consul_lock_defaults_set)",
        })
        .collect();
    invalid(format!(
        "option {} is not for this place: it belongs to {}",
        spec.name,
        homes.join(" or ")
    ))
}

fn unknown(name: &str) -> Error {
    let mut near: Vec<(usize, &str)> = TABLE
        .iter()
        .map(|spec| (distance(name, spec.name), spec.name))
        .filter(|(far, known)| *far <= known.len() / 3 || is_part(name, known))
        .collect();
    near.sort();
    let names: Vec<&str> = near.iter().take(3).map(|(_, known)| *known).collect();
    let hint = if names.is_empty() {
        let all: Vec<&str> = TABLE.iter().map(|spec| spec.name).collect();
        format!("known are {}", all.join(", "))
    } else {
        format!("did you mean {}?", names.join(" or "))
    };
    invalid(format!("there is no option {}; {hint}", quoted(name)))
}

/// Whether somebody wrote a part of a name, such as `timeout` or `ttl_seconds`.
fn is_part(given: &str, known: &str) -> bool {
    given.len() >= 4 && (known.contains(given) || given.contains(known))
}

/// How many letters to add, drop or change to turn one name into the other.
fn distance(from: &str, to: &str) -> usize {
    let longest = 64;
    let from: Vec<char> = from
        .chars()
        .take(longest)
        .flat_map(char::to_lowercase)
        .collect();
    let to: Vec<char> = to.chars().take(longest).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for ((b, diagonal), above) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(usize::MAX - 1);
            next.push(
                (diagonal + usize::from(a != b))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// A text as it stands in a message: in quotes, on one line, not endless.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<(), Error>) -> String {
        let error = result.expect_err("must be refused");
        assert_eq!(error.status, Status::InvalidOption);
        assert!(!error.message.contains('\n'));
        error.message
    }

    #[test]
    fn numbers_are_decimal_digits_with_an_optional_minus() {
        for (text, number) in [("-1", -1), ("0", 0), ("007", 7), ("86400000", 86_400_000)] {
            let mut options = Options::new();
            options.set("acquire_timeout_ms", text).expect(text);
            let settings = options.lock_settings().expect("settings");
            assert_eq!(settings.acquire_timeout_ms, Some(number), "{text}");
        }
        for text in [
            "", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "-2", "86400001", "١",
        ] {
            let message = refused(Options::new().set("acquire_timeout_ms", text));
            assert!(message.contains("acquire_timeout_ms"), "{message}");
            assert!(message.contains(&format!("\"{text}\"")), "{message}");
            assert!(message.contains("from -1 to 86400000"), "{message}");
        }
        let huge = "9".repeat(40);
        assert!(refused(Options::new().set("acquire_timeout_ms", &huge)).contains(&huge));
    }

    #[test]
    fn each_number_of_the_table_takes_its_bounds_and_nothing_beyond() {
        for spec in TABLE {
            let Kind::Int { min, max } = spec.kind else {
                continue;
            };
            let mut options = Options::new();
            options.set_int(spec.name, min).expect(spec.name);
            options.set_int(spec.name, max).expect(spec.name);
            for wrong in [min - 1, max + 1, i64::MIN, i64::MAX] {
                let message = refused(Options::new().set_int(spec.name, wrong));
                assert!(message.contains(&wrong.to_string()), "{message}");
            }
        }
    }

    #[test]
    fn each_default_that_is_a_number_is_inside_its_range() {
        for spec in TABLE {
            if let Kind::Int { min, max } = spec.kind {
                let default: i64 = spec.default.parse().expect(spec.name);
                assert!((min..=max).contains(&default), "{}", spec.name);
            }
        }
    }

    #[test]
    fn the_first_refusal_is_what_a_maker_answers() {
        let mut options = Options::new();
        let first = refused(options.set("acquire_timeout_ms", "soon"));
        refused(options.set("nonsense", "1"));
        options
            .set("acquire_timeout_ms", "5")
            .expect("a right value");
        assert_eq!(options.lock_settings().expect_err("refused").message, first);
        assert_eq!(
            options.client_settings().expect_err("refused").message,
            first
        );
    }

    #[test]
    fn an_unknown_name_lists_near_matches() {
        let message = refused(Options::new().set("aquire_timeout_ms", "1"));
        assert!(
            message.contains("did you mean acquire_timeout_ms"),
            "{message}"
        );
        let message = refused(Options::new().set("lock_timeout", "1"));
        assert!(message.contains("lock_timeout_seconds"), "{message}");
        let message = refused(Options::new().set("zzzzzzzzzz", "1"));
        assert!(message.contains("known are"), "{message}");
    }

    #[test]
    fn an_option_in_the_wrong_place_says_where_it_belongs() {
        let mut options = Options::new();
        options.set("address", "127.0.0.1:8500").expect("address");
        let message = options.lock_settings().expect_err("refused").message;
        assert!(
            message.contains("address") && message.contains("a client"),
            "{message}"
        );

        let mut options = Options::new();
        options
            .set("lock_timeout_seconds", "10")
            .expect("lock_timeout_seconds");
        let message = options.client_settings().expect_err("refused").message;
        assert!(message.contains("a lock"), "{message}");

        let message = refused(Options::new().set("lock_key_pattern", "a/%s"));
        assert!(message.contains("consul_lock_defaults_set"), "{message}");
        for name in ["value", "address", "token"] {
            let message = refused(parse_default(name, "x").map(|_| ()));
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn a_pattern_has_exactly_one_place_for_the_key() {
        for good in ["%s", "a/%s/b", "100%/%s", "%d/%s", "%%/%s"] {
            let setting = parse_default("lock_key_pattern", good).expect(good);
            assert_eq!(setting, DefaultSetting::LockKeyPattern(good.to_owned()));
        }
        for bad in ["", "a/b", "%s/%s", "%S", "a\n%s"] {
            refused(parse_default("lock_key_pattern", bad).map(|_| ()));
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut options = Options::new();
        options.set("token", "hush-hush").expect("token");
        options.set("value", "hush-hush").expect("value");
        assert!(!format!("{options:?}").contains("hush"));
        let mut options = Options::new();
        options.set("token", "hush-hush").expect("token");
        assert!(!format!("{:?}", options.client_settings()).contains("hush"));
        let mut options = Options::new();
        options.set_bytes("value", b"hush-hush").expect("value");
        assert!(!format!("{:?}", options.lock_settings()).contains("hush"));
        assert!(!refused(Options::new().set("token", "hush\nhush")).contains("hush"));
    }

    #[test]
    fn a_value_has_a_limit() {
        let mut options = Options::new();
        options
            .set_bytes("value", &vec![0; MAX_VALUE])
            .expect("the longest");
        let message = refused(options.set_bytes("value", &vec![0; MAX_VALUE + 1]));
        assert!(
            message.contains("390001") && message.contains("390000"),
            "{message}"
        );
    }

    #[test]
    fn a_setter_of_the_wrong_kind_is_refused() {
        refused(Options::new().set_int("address", 1));
        refused(Options::new().set_int("value", 1));
        refused(Options::new().set_bytes("address", b"x"));
        refused(Options::new().set("address", ""));
        refused(Options::new().set("datacenter", &"x".repeat(4097)));
        Options::new().set("token", "").expect("no token");
    }
}
