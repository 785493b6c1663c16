//! The outcome of a run as one line of JSON, for programs.

use std::fs::File;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::writer::Writer;

/// What is known of a run.
pub struct Report {
    line: Map<String, Json>,
    /// Where the line goes; None: nowhere.
    to: Option<Place>,
}

/// Where the line goes.
pub enum Place {
    /// To the standard error.
    StandardError,
    /// To a descriptor of the caller.
    Descriptor(File),
}

impl Report {
    pub fn new(to: Option<Place>) -> Report {
        Report {
            line: Map::new(),
            to,
        }
    }

    /// Notes a fact.
    pub fn note(&mut self, name: &str, value: impl Into<Json>) {
        self.line.insert(name.to_owned(), value.into());
    }

    /// Notes a time, in milliseconds.
    pub fn note_ms(&mut self, name: &str, time: Duration) {
        self.note(name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// Writes the line, and waits for its reader for a second at most.
    pub fn write(self) {
        let line = Json::Object(self.line).to_string() + "\n";
        let writer = match self.to {
            Some(Place::StandardError) => Writer::start(std::io::stderr()),
            Some(Place::Descriptor(file)) => Writer::start(file),
            None => return,
        };
        if let Ok(writer) = writer {
            writer.write(line);
            writer.end();
        }
    }
}
