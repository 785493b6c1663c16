//! `consul-lock doctor [KEY]`: checks the way to Consul, and what locks need there, one line for each check.

mod agent;
mod reach;
mod report;
mod rights;
mod settings;
mod trial;

use clap::{Arg, ArgMatches, Command};
use consul_lock::client::{Client, Query, Reply};
use consul_lock::error::Error;
use serde_json::Value as Json;

use self::report::Report;
use crate::exit::Exit;
use crate::{connection, key, signals};

pub fn command() -> Command {
    let key = Arg::new("key")
        .value_name("KEY")
        .help("Check the rights for this key [default: a scratch key]");
    Command::new("doctor")
        .about("Check the way to Consul, and the rights that locks need")
        .long_about(
            "Checks, one line each: the variables, the address, TLS, HTTP, the leader, the clock, the agent's version \
             and settings, the token, and the rights to look, to lock, to wait in line and to list. At the end the \
             command makes a session and takes a lock under a scratch key, and gives both back. Nothing is left in \
             Consul, also when a signal ends the command.\n\n\
             A line that is not ok says what to do. The command stops where the rest makes no sense. Name the KEY \
             that your programs lock when the token has rights for that key alone.",
        )
        .after_help(
            "Exit status:\n   \
             0  locks work; a warning is no failure\n   \
             1  a check failed that makes locks impossible\n  \
             74  the standard output cannot be written\n\n\
             Examples:\n  \
             consul-lock doctor\n  \
             consul-lock doctor nightly-report --token-file /run/secrets/token\n  \
             consul-lock doctor --json | jq -r 'select(.verdict != \"ok\").text'",
        )
        .arg(key)
        .arg(key::pattern())
        .args(connection::flags())
}

pub fn main(matches: &ArgMatches) -> Exit {
    signals::end_on_signal(|_| trial::wait_for_its_end());
    let mut report = Report::new(matches.get_flag("json"));
    examine(matches, &mut report);
    report.end()
}

/// What the checks share.
struct Patient<'a> {
    matches: &'a ArgMatches,
    client: Client,
    /// The key that the caller names, else a scratch key.
    key: String,
    scratch: String,
    /// `/v1/agent/self`, if the token may read it.
    agent: Option<Json>,
}

impl Patient<'_> {
    fn get(&self, path: &str) -> Result<Reply, Error> {
        self.client.ask(&Query::Get(path))
    }

    fn is_named(&self) -> bool {
        self.matches.contains_id("key")
    }
}

/// The checks in their order. None: the rest makes no sense.
fn examine(matches: &ArgMatches, report: &mut Report) -> Option<()> {
    let client = settings::check(matches, report)?;
    let scratch = trial::scratch_name();
    let named = matches.get_one::<String>("key").cloned();
    let mut patient = Patient {
        matches,
        client,
        scratch: match &named {
            Some(key) => format!("{key}-{scratch}"),
            None => scratch.clone(),
        },
        key: named.unwrap_or(scratch),
        agent: None,
    };
    reach::check(&patient, report)?;
    patient.agent = agent::check(&patient, report)?;
    let knows_token = rights::token(&patient, report);
    knows_token.then_some(())?;
    let may_lock = rights::check(&patient, report);
    let ttl = trial::session(&patient, report)?;
    may_lock.then_some(())?;
    trial::lock(&patient, report, ttl);
    Some(())
}
