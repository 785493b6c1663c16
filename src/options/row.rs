//! What the table says of one option.

use std::fmt;

/// Where an option may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionPlace {
    /// On the options that a lock is made from.
    Lock,
    /// On the options that a client is made from.
    Client,
    /// As a process-wide default, for locks that do not say otherwise.
    Default,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A whole number, both bounds included. As text: decimal digits, with an optional minus.
    Int {
        /// The smallest number.
        min: i64,
        /// The largest number.
        max: i64,
    },
    /// True or false, in one of the words that Go's `strconv.ParseBool` knows: 1, t, T, TRUE, true,
    /// True, 0, f, F, FALSE, false, False. As a number: 1 or 0.
    Bool,
    /// UTF-8 text without control characters, at most 4096 bytes.
    Text {
        /// Whether the empty text means something.
        may_be_empty: bool,
    },
    /// One of these words.
    Choice {
        /// The words.
        of: &'static [&'static str],
    },
    /// Text with exactly one `%s`, at most 4096 bytes.
    Pattern,
    /// Any bytes.
    Bytes {
        /// The largest number of bytes.
        max: usize,
    },
}

/// The longest text, in bytes.
pub(super) const MAX_TEXT: usize = 4096;

impl ValueKind {
    /// The name of the kind in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            ValueKind::Int { .. } => "int",
            ValueKind::Bool => "bool",
            ValueKind::Text { .. } | ValueKind::Choice { .. } => "text",
            ValueKind::Pattern => "pattern",
            ValueKind::Bytes { .. } => "bytes",
        }
    }

    /// The range of the kind, in words.
    pub fn range(self) -> String {
        match self {
            ValueKind::Int { min, max } => format!("a whole number from {min} to {max}"),
            ValueKind::Bool => {
                "true or false (or 1, t, T, TRUE, True, 0, f, F, FALSE, False)".to_owned()
            }
            ValueKind::Text { may_be_empty } => {
                let least = if may_be_empty { "at most" } else { "1 to" };
                format!("{least} {MAX_TEXT} bytes of text without control characters")
            }
            ValueKind::Choice { of } => of.join(" or "),
            ValueKind::Pattern => format!(
                "text with exactly one %s and no control characters, at most {MAX_TEXT} bytes"
            ),
            ValueKind::Bytes { max } => format!("at most {max} bytes"),
        }
    }
}

/// The value of an option that neither the caller nor the environment sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// A number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(&'static str),
    /// No value of the option itself; the text says what holds instead.
    Absent(&'static str),
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DefaultValue::Int(number) => number.fmt(f),
            DefaultValue::Bool(yes) => yes.fmt(f),
            DefaultValue::Text(text) | DefaultValue::Absent(text) => f.write_str(text),
        }
    }
}

/// One option: a row of the table.
#[derive(Clone, Copy, Debug)]
pub struct OptionRow {
    /// The name of the option, the same in every language.
    pub name: &'static str,
    /// Where the option may be set.
    pub places: &'static [OptionPlace],
    /// What values the option takes.
    pub kind: ValueKind,
    /// The value of an option that is not set.
    pub default: DefaultValue,
    /// The environment variable that the library reads when the option is not set.
    pub env: Option<&'static str>,
    /// The value never appears in a message: it is a secret, or may contain one.
    pub secret: bool,
    /// What the option does.
    pub doc: &'static str,
}
