//! Options by name: what the [`TABLE`] says of each, a parser, and what was set.

mod table;

use std::fmt;

use crate::error::{Error, Status};
use crate::memory;
pub use table::TABLE;

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
    /// What was given never appears in a message: it is a secret, or there may be one in it.
    pub secret: bool,
    /// What it does.
    pub doc: &'static str,
}

/// The longest text, in bytes.
const MAX_TEXT: usize = 4096;

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

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Option(&'static str),
    Variable(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Option(name) => write!(f, "option {name}"),
            Source::Variable(name) => f.write_str(name),
        }
    }
}

/// One setting of a client.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

impl<T> Setting<T> {
    /// It cannot be followed. `why` names no secret.
    pub(crate) fn wrong(&self, why: impl fmt::Display) -> Error {
        wrong(self.source, &why.to_string())
    }
}

/// What a client is made from: its options, and the environment for what they leave out.
#[derive(Clone, Default)]
pub struct ClientSettings {
    set: Vec<(&'static Spec, Source, Parsed)>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.set.iter().map(|(spec, _, value)| (*spec, value)))
    }
}

impl ClientSettings {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.set.iter().any(|(spec, ..)| spec.name == name)
    }

    /// Takes over what a variable of the environment says.
    pub(crate) fn take(
        &mut self,
        spec: &'static Spec,
        variable: &'static str,
        value: &str,
    ) -> Result<(), Error> {
        let source = Source::Variable(variable);
        let parsed = parse(spec, value).map_err(|why| wrong(source, &why))?;
        self.set.push((spec, source, parsed));
        Ok(())
    }

    pub(crate) fn text(&self, name: &str) -> Option<Setting<String>> {
        self.setting(name, |value| match value {
            Parsed::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    pub(crate) fn bool(&self, name: &str) -> Option<Setting<bool>> {
        self.setting(name, |value| match value {
            Parsed::Bool(yes) => Some(*yes),
            _ => None,
        })
    }

    pub(crate) fn unsigned(&self, name: &str) -> Option<u64> {
        let number = self.setting(name, |value| match value {
            Parsed::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        });
        number.map(|number| number.value)
    }

    fn setting<T>(&self, name: &str, read: impl Fn(&Parsed) -> Option<T>) -> Option<Setting<T>> {
        let (_, source, value) = self.set.iter().find(|(spec, ..)| spec.name == name)?;
        let source = *source;
        read(value).map(|value| Setting { value, source })
    }
}

/// The options of a lock that were set.
#[derive(Clone, Default)]
pub struct LockSettings {
    /// `acquire_timeout_ms`.
    pub acquire_timeout_ms: Option<i64>,
    /// `lock_timeout_seconds`.
    pub lock_timeout_seconds: Option<u64>,
    /// `monitor`.
    pub monitor: Option<bool>,
    /// `fair`.
    pub fair: Option<bool>,
    /// `queue_grace_ms`.
    pub queue_grace_ms: Option<u64>,
    /// `value`.
    pub value: Option<Vec<u8>>,
    /// `auto_renew`.
    pub auto_renew: Option<bool>,
    /// `max_lifetime_seconds`; 0: none.
    pub max_lifetime_seconds: Option<u64>,
}

impl fmt::Debug for LockSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockSettings")
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("lock_timeout_seconds", &self.lock_timeout_seconds)
            .field("monitor", &self.monitor)
            .field("fair", &self.fair)
            .field("queue_grace_ms", &self.queue_grace_ms)
            .field("value", &self.value.as_ref().map(|_| Hidden))
            .field("auto_renew", &self.auto_renew)
            .field("max_lifetime_seconds", &self.max_lifetime_seconds)
            .finish()
    }
}

/// Options as a Debug text shows them: without secrets.
fn show<'a>(
    f: &mut fmt::Formatter<'_>,
    set: impl Iterator<Item = (&'static Spec, &'a Parsed)>,
) -> fmt::Result {
    let mut map = f.debug_map();
    for (spec, value) in set {
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
    refusal: Option<Error>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.set.iter().map(|(spec, value)| (*spec, value)))
    }
}

impl Options {
    /// No option set.
    pub fn new() -> Options {
        Options::default()
    }

    /// Sets an option from text. The last setting of an option counts.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let parsed = settable(name).and_then(|spec| Ok((spec, parse_option(spec, value)?)));
        self.store(parsed)
    }

    /// Sets an option that is a number, or yes (1) or no (0).
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
            Kind::Bytes { max } if value.len() <= max => {
                memory::copy(value).map(|value| (spec, Parsed::Bytes(value)))
            }
            Kind::Bytes { .. } => Err(too_long(spec, value.len())),
            _ => Err(wrong_kind(spec, "bytes")),
        });
        self.store(parsed)
    }

    /// Remembers a refusal, unless there is one already.
    pub fn refuse(&mut self, error: &Error) {
        self.refusal.get_or_insert_with(|| error.clone());
    }

    /// The first refusal of a setter.
    pub fn refusal(&self) -> Option<Error> {
        self.refusal.clone()
    }

    /// The options of a client that were set; the first refusal, if there was one; a refusal of what
    /// belongs elsewhere.
    pub fn client_settings(&self) -> Result<ClientSettings, Error> {
        self.all_belong_to(Place::Client)?;
        let options = self.set.iter();
        Ok(ClientSettings {
            set: options
                .map(|(spec, value)| (*spec, Source::Option(spec.name), value.clone()))
                .collect(),
        })
    }

    /// What a lock is made from; the first refusal, if there was one; a refusal of what belongs
    /// elsewhere.
    pub fn lock_settings(&self) -> Result<LockSettings, Error> {
        self.all_belong_to(Place::Lock)?;
        Ok(LockSettings {
            acquire_timeout_ms: self.int("acquire_timeout_ms"),
            lock_timeout_seconds: self.unsigned("lock_timeout_seconds"),
            monitor: self.bool("monitor"),
            fair: self.bool("fair"),
            queue_grace_ms: self.unsigned("queue_grace_ms"),
            value: self.bytes("value"),
            auto_renew: self.bool("auto_renew"),
            max_lifetime_seconds: self.unsigned("max_lifetime_seconds"),
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
        let mut set = self.set.iter();
        match set.find(|(spec, _)| !spec.places.contains(&place)) {
            Some((stray, _)) => Err(misplaced(stray)),
            None => Ok(()),
        }
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

    fn unsigned(&self, name: &str) -> Option<u64> {
        self.int(name).and_then(|n| u64::try_from(n).ok())
    }

    fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Parsed::Bool(yes)) => Some(*yes),
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
    match (spec.name, parse_option(spec, value)?) {
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

fn parse_option(spec: &'static Spec, value: &str) -> Result<Parsed, Error> {
    parse(spec, value).map_err(|why| wrong(Source::Option(spec.name), &why))
}

/// The text says what is wrong.
fn parse(spec: &Spec, value: &str) -> Result<Parsed, String> {
    let wrong = || not_in_range(spec, value);
    let plain = |value: &str| value.len() <= MAX_TEXT && !value.chars().any(char::is_control);
    match spec.kind {
        Kind::Int { min, max } => match whole_number(value) {
            Some(number) if (min..=max).contains(&number) => Ok(Parsed::Int(number)),
            _ => Err(wrong()),
        },
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
        Kind::Bytes { .. } => Err(too_many(spec, value.len())),
    }
}

/// Decimal digits with an optional minus: neither a plus nor a space, which Rust or a caller's language may allow.
fn whole_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Status::InvalidOption, message)
}

fn wrong(source: Source, why: &str) -> Error {
    let status = match source {
        Source::Option(_) => Status::InvalidOption,
        Source::Variable(_) => Status::InvalidEnvironment,
    };
    Error::new(status, format!("{source}: {why}"))
}

fn not_in_range(spec: &Spec, value: &str) -> String {
    let range = spec.kind.range();
    if let (Kind::Int { min, max }, false) = (spec.kind, spec.secret) {
        return match whole_number(value) {
            Some(number) => format!("must be {min} to {max}, is {number}"),
            None => format!("must be {range}, is {}", quoted(value)),
        };
    }
    if spec.secret {
        format!("the given value is not {range}")
    } else {
        format!("{} is not {range}", quoted(value))
    }
}

fn too_many(spec: &Spec, len: usize) -> String {
    format!("{len} bytes are too many, it takes {}", spec.kind.range())
}

fn wrong_value(spec: &'static Spec, value: &str) -> Error {
    wrong(Source::Option(spec.name), &not_in_range(spec, value))
}

fn wrong_kind(spec: &Spec, given: &str) -> Error {
    invalid(format!(
        "option {}: set with {given}, but it takes {}",
        spec.name,
        spec.kind.range()
    ))
}

fn too_long(spec: &'static Spec, len: usize) -> Error {
    wrong(Source::Option(spec.name), &too_many(spec, len))
}

fn misplaced(spec: &Spec) -> Error {
    let homes: Vec<&str> = spec
        .places
        .iter()
        .map(|place| match place {
            Place::Lock => "a lock",
            Place::Client => "a client",
            Place::Default => "the process (consul_lock_defaults_set)",
        })
        .collect();
    invalid(format!(
        "option {} cannot be set here: it is an option of {}",
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
mod tests;
