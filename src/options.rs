//! Options by name: what the [`TABLE`] says of each, a parser, and what was set.

mod parse;
mod row;
mod table;
mod values;

use std::fmt;

use crate::error::Error;
use crate::memory;
pub(crate) use parse::Origin;
use parse::{Parsed, find, misplaced, not_in_range, parse, refused, too_many, wrong_kind};
pub use row::{DefaultValue, OptionPlace, OptionRow, ValueKind};
pub use table::TABLE;
pub use values::OptionValues;
pub(crate) use values::Setting;

/// A set of options for locks or for a client. It remembers its first refusal: a caller that ignores
/// the outcome of a setter still never runs with a default that it did not ask for.
#[derive(Clone, Default)]
pub struct Options {
    values: OptionValues,
    refusal: Option<Error>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}

impl Options {
    /// No option set.
    pub fn new() -> Options {
        Options::default()
    }

    /// Sets an option from text. The last setting of an option counts.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let parsed = settable(name).and_then(|row| match parse(row, value) {
            Ok(value) => Ok((row, value)),
            Err(why) => Err(refused(row, why)),
        });
        self.store(parsed)
    }

    /// Sets an option that is a number, or true (1) or false (0).
    pub fn set_int(&mut self, name: &str, value: i64) -> Result<(), Error> {
        let parsed = settable(name).and_then(|row| match row.kind {
            ValueKind::Int { min, max } if (min..=max).contains(&value) => {
                Ok((row, Parsed::Int(value)))
            }
            ValueKind::Bool if value == 0 || value == 1 => Ok((row, Parsed::Bool(value == 1))),
            ValueKind::Int { .. } | ValueKind::Bool => {
                Err(refused(row, not_in_range(row, &value.to_string())))
            }
            _ => Err(wrong_kind(row, "a number")),
        });
        self.store(parsed)
    }

    /// Sets an option that is bytes.
    pub fn set_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let parsed = settable(name).and_then(|row| match row.kind {
            ValueKind::Bytes { max } if value.len() <= max => {
                memory::copy(value).map(|value| (row, Parsed::Bytes(value)))
            }
            ValueKind::Bytes { .. } => Err(refused(row, too_many(row, value.len()))),
            _ => Err(wrong_kind(row, "bytes")),
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

    /// The options that were set, for a lock or for a client. The error is the first refusal of a
    /// setter, or that of an option that belongs elsewhere.
    pub fn values_for(&self, place: OptionPlace) -> Result<&OptionValues, Error> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        match self.values.rows().find(|row| !row.places.contains(&place)) {
            Some(stray) => Err(misplaced(stray)),
            None => Ok(&self.values),
        }
    }

    fn store(&mut self, parsed: Result<(&'static OptionRow, Parsed), Error>) -> Result<(), Error> {
        let (row, value) = parsed.inspect_err(|error| self.refuse(error))?;
        self.values.set(row, Origin::Option(row.name), value);
        Ok(())
    }
}

/// The option of that name, if it may be set on an options object at all.
fn settable(name: &str) -> Result<&'static OptionRow, Error> {
    let row = find(name)?;
    if row.places == [OptionPlace::Default] {
        Err(misplaced(row))
    } else {
        Ok(row)
    }
}

/// Sets a process-wide default among others.
pub(crate) fn set_default(
    defaults: &mut OptionValues,
    name: &str,
    value: &str,
) -> Result<(), Error> {
    let row = find(name)?;
    if !row.places.contains(&OptionPlace::Default) {
        return Err(misplaced(row));
    }
    let value = parse(row, value).map_err(|why| refused(row, why))?;
    defaults.set(row, Origin::Option(row.name), value);
    Ok(())
}

#[cfg(test)]
mod tests;
