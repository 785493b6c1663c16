//! How a list of locks is shown: as a table, or as objects.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::listing::{Holding, Listing, Row};
use crate::paint::Paint;
use crate::party::{self, Program, one_line};
use crate::when;

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
