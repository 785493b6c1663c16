//! How a text becomes a value, and what the errors about names and values say.

use std::fmt;

use super::row::{MAX_TEXT, OptionPlace, OptionRow, ValueKind};
use super::table::TABLE;
use crate::error::{Error, Status};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Option(&'static str),
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Option(name) => write!(f, "option {name}"),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

/// A parsed value.
#[derive(Clone)]
pub(super) enum Parsed {
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn find(name: &str) -> Result<&'static OptionRow, Error> {
    TABLE
        .iter()
        .find(|row| row.name == name)
        .ok_or_else(|| unknown(name))
}

/// Reads a value from text. The error says what is wrong with it.
pub(super) fn parse(row: &OptionRow, value: &str) -> Result<Parsed, String> {
    let wrong = || not_in_range(row, value);
    let plain = |value: &str| value.len() <= MAX_TEXT && !value.chars().any(char::is_control);
    match row.kind {
        ValueKind::Int { min, max } => match whole_number(value) {
            Some(number) if (min..=max).contains(&number) => Ok(Parsed::Int(number)),
            _ => Err(wrong()),
        },
        ValueKind::Bool => match value {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Parsed::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Parsed::Bool(false)),
            _ => Err(wrong()),
        },
        ValueKind::Text { may_be_empty } if plain(value) && (may_be_empty || !value.is_empty()) => {
            Ok(Parsed::Text(value.to_owned()))
        }
        ValueKind::Choice { of } if of.contains(&value) => Ok(Parsed::Text(value.to_owned())),
        ValueKind::Pattern if plain(value) && value.matches("%s").count() == 1 => {
            Ok(Parsed::Text(value.to_owned()))
        }
        ValueKind::Text { .. } | ValueKind::Choice { .. } | ValueKind::Pattern => Err(wrong()),
        ValueKind::Bytes { max } if value.len() <= max => {
            Ok(Parsed::Bytes(value.as_bytes().to_vec()))
        }
        ValueKind::Bytes { .. } => Err(too_many(row, value.len())),
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

pub(super) fn wrong(origin: Origin, why: &str) -> Error {
    let status = match origin {
        Origin::Option(_) => Status::InvalidOption,
        Origin::Variable(_) => Status::InvalidEnvironment,
    };
    Error::new(status, format!("{origin}: {why}"))
}

pub(super) fn not_in_range(row: &OptionRow, value: &str) -> String {
    let range = row.kind.range();
    if let (ValueKind::Int { min, max }, false) = (row.kind, row.secret) {
        return match whole_number(value) {
            Some(number) => format!("must be {min} to {max}, is {number}"),
            None => format!("must be {range}, is {}", quoted(value)),
        };
    }
    if row.secret {
        format!("the given value is not {range}")
    } else {
        format!("{} is not {range}", quoted(value))
    }
}

pub(super) fn too_many(row: &OptionRow, len: usize) -> String {
    format!("{len} bytes are too many, it takes {}", row.kind.range())
}

/// The error of a setter. `why` names no secret.
pub(super) fn refused(row: &OptionRow, why: impl AsRef<str>) -> Error {
    wrong(Origin::Option(row.name), why.as_ref())
}

pub(super) fn wrong_kind(row: &OptionRow, given: &str) -> Error {
    let range = row.kind.range();
    refused(row, format!("set with {given}, but it takes {range}"))
}

pub(super) fn misplaced(row: &OptionRow) -> Error {
    let homes: Vec<&str> = row
        .places
        .iter()
        .map(|place| match place {
            OptionPlace::Lock => "a lock",
            OptionPlace::Client => "a client",
            OptionPlace::Default => "the process (consul_lock_defaults_set)",
        })
        .collect();
    let homes = homes.join(" or ");
    invalid(format!(
        "option {} cannot be set here: it is an option of {homes}",
        row.name
    ))
}

fn unknown(name: &str) -> Error {
    let mut near: Vec<(usize, &str)> = TABLE
        .iter()
        .map(|row| (distance(name, row.name), row.name))
        .filter(|(far, known)| *far <= known.len() / 3 || is_part(name, known))
        .collect();
    near.sort();
    let names: Vec<&str> = near.iter().take(3).map(|(_, known)| *known).collect();
    let hint = if names.is_empty() {
        let all: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        format!("known are {}", all.join(", "))
    } else {
        format!("did you mean {}?", names.join(" or "))
    };
    invalid(format!("there is no option {}; {hint}", quoted(name)))
}

/// Whether the caller wrote a part of a name, such as `timeout` or `ttl_seconds`.
fn is_part(given: &str, known: &str) -> bool {
    given.len() >= 4 && (known.contains(given) || given.contains(known))
}

/// The number of letters to add, drop or change that turns one name into the other.
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

/// A text for a message: in quotes, on one line, cut after 64 characters.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", shown.escape_debug())
}
