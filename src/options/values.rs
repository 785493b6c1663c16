//! The options that were set, with the defaults of the table for all others.

use std::fmt;

use super::parse::{Origin, Parsed, parse, wrong};
use super::row::{DefaultValue, OptionRow};
use super::table::TABLE;
use crate::error::Error;

/// A value, and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Setting<T> {
    /// The error about a value that the library cannot use. `why` names no secret.
    pub(crate) fn wrong(&self, why: impl fmt::Display) -> Error {
        wrong(self.origin, &why.to_string())
    }
}

/// The options that were set by the caller or by the environment.
#[derive(Clone, Default)]
pub struct OptionValues(Vec<(&'static OptionRow, Origin, Parsed)>);

impl OptionValues {
    /// Sets an option. The last value of an option counts.
    pub(super) fn set(&mut self, row: &'static OptionRow, origin: Origin, value: Parsed) {
        self.0.retain(|(known, ..)| known.name != row.name);
        self.0.push((row, origin, value));
    }

    /// Takes over the value of a variable of the environment.
    pub(crate) fn take(
        &mut self,
        row: &'static OptionRow,
        variable: &'static str,
        value: &str,
    ) -> Result<(), Error> {
        let origin = Origin::Variable(variable);
        let parsed = parse(row, value).map_err(|why| wrong(origin, &why))?;
        self.set(row, origin, parsed);
        Ok(())
    }

    /// Drops the texts that are empty: neither the caller nor the environment sets such an option. The empty token
    /// stays, because it also wins over a file.
    pub(crate) fn drop_empty(&mut self) {
        let is_empty = |value: &Parsed| matches!(value, Parsed::Text(text) if text.is_empty());
        self.0
            .retain(|(row, _, value)| row.name == "token" || !is_empty(value));
    }

    /// These values, and those of `defaults` for what is not set here.
    pub(crate) fn or(&self, defaults: &OptionValues) -> OptionValues {
        let missing = defaults.0.iter().filter(|(row, ..)| !self.has(row.name));
        OptionValues(self.0.iter().chain(missing).cloned().collect())
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'static OptionRow> {
        self.0.iter().map(|(row, ..)| *row)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.rows().any(|row| row.name == name)
    }

    fn get(&self, name: &str) -> Option<(&Parsed, Origin)> {
        let set = self.0.iter().find(|(row, ..)| row.name == name);
        set.map(|(_, origin, value)| (value, *origin))
    }

    /// A text, where one was set.
    pub(crate) fn text(&self, name: &str) -> Option<Setting<String>> {
        match self.get(name)? {
            (Parsed::Text(text), origin) => Some(Setting {
                value: text.clone(),
                origin,
            }),
            _ => None,
        }
    }

    /// The bytes, where they were set.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        match self.get(name)? {
            (Parsed::Bytes(bytes), _) => Some(bytes),
            _ => None,
        }
    }

    /// A text, or the default of the table.
    pub(crate) fn text_or_default(&self, name: &'static str) -> Setting<&str> {
        let (value, origin) = match (self.get(name), default_of(name)) {
            (Some((Parsed::Text(text), origin)), _) => (text.as_str(), origin),
            (_, DefaultValue::Text(text)) => (text, Origin::Option(name)),
            _ => ("", Origin::Option(name)),
        };
        Setting { value, origin }
    }

    /// A number, or the default of the table.
    pub(crate) fn int(&self, name: &str) -> i64 {
        match (self.get(name), default_of(name)) {
            (Some((Parsed::Int(number), _)), _) => *number,
            (_, DefaultValue::Int(number)) => number,
            _ => 0,
        }
    }

    /// The same, of an option that is never negative.
    pub(crate) fn unsigned(&self, name: &str) -> u64 {
        u64::try_from(self.int(name)).unwrap_or(0)
    }

    /// True or false, or the default of the table.
    pub(crate) fn bool(&self, name: &str) -> bool {
        match (self.get(name), default_of(name)) {
            (Some((Parsed::Bool(yes), _)), _) => *yes,
            (_, default) => default == DefaultValue::Bool(true),
        }
    }
}

fn default_of(name: &str) -> DefaultValue {
    let row = TABLE.iter().find(|row| row.name == name);
    row.map_or(DefaultValue::Absent(""), |row| row.default)
}

/// Shows no secret.
impl fmt::Debug for OptionValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (row, _, value) in &self.0 {
            match value {
                Parsed::Bytes(_) => map.entry(&row.name, &format_args!("(hidden)")),
                _ if row.secret => map.entry(&row.name, &format_args!("(hidden)")),
                Parsed::Int(number) => map.entry(&row.name, number),
                Parsed::Bool(yes) => map.entry(&row.name, yes),
                Parsed::Text(text) => map.entry(&row.name, text),
            };
        }
        map.finish()
    }
}
