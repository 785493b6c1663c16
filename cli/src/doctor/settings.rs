//! The variables of the environment, and the files that the options name.

use clap::ArgMatches;
use consul_lock::client::Client;
use consul_lock::options::TABLE;
use serde_json::json;

use super::Report;
use crate::{connection, key};

/// The client. None: its settings are wrong.
pub fn check(matches: &ArgMatches, report: &mut Report) -> Option<Client> {
    let set = TABLE.iter().filter_map(|row| {
        let name = row.env?;
        // The library takes an empty variable as none.
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(match row.secret {
            true => format!("{name} (set)"),
            false => format!("{name}={}", value.to_string_lossy().escape_debug()),
        })
    });
    let set: Vec<String> = set.collect();
    let text = match set.is_empty() {
        true => "none of CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and the like is set".to_owned(),
        false => set.join(", "),
    };
    report.ok("variables", &text, json!({"variables": set}));
    let made = key::set_pattern(matches).and_then(|()| connection::client(matches));
    match made {
        Ok(client) => Some(client),
        Err(error) => {
            let advice = "correct that option, variable or file (docs/OPTIONS.md)";
            report.fail("settings", &error.message, advice, json!({}));
            None
        }
    }
}
