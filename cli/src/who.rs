//! `consul-lock who KEY`: the sessions that hold a lock, and those that wait for it.

use clap::{Arg, ArgAction, ArgMatches, Command};
use consul_lock::client::{Holder, Holders, Party, Role};
use consul_lock::error::Error;
use serde_json::Value as Json;

use crate::exit::Exit;
use crate::paint::Paint;
use crate::{connection, key, output, party, when};

pub fn command() -> Command {
    let value = Arg::new("value")
        .long("value")
        .help("Show the value that the holder has stored under the key")
        .action(ArgAction::SetTrue);
    Command::new("who")
        .about("Show who holds a lock, since when, and who waits for it")
        .long_about(
            "Shows who holds a lock and who waits for it: program, host, pid, session, the fencing token, and the \
             time since when. Reads only. The names of the sessions need the right session:read.",
        )
        .after_help(
            "Exit status:\n   \
             0  the lock is held or shared\n   \
             1  the lock is free\n  \
             69  Consul gave no usable answer\n  \
             74  the standard output cannot be written\n  \
             77  the token has not the rights\n\n\
             Examples:\n  \
             consul-lock who nightly-report\n  \
             consul-lock who deploy --json | jq -r .exclusive.host\n  \
             consul-lock who --pattern '%s' service/web/leader    # the key of another program",
        )
        .args(key::args())
        .arg(value)
        .args(connection::flags())
}

pub fn main(matches: &ArgMatches) -> Exit {
    match holders(matches) {
        Ok(holders) => {
            let with_value = matches.get_flag("value");
            let printed = match matches.get_flag("json") {
                true => output::print(json(&holders, with_value)),
                false => output::print(text(&holders, with_value, Paint::new())),
            };
            match (printed, is_held(&holders)) {
                (Err(exit), _) => exit,
                (Ok(_), true) => Exit::Ok,
                (Ok(_), false) => Exit::No,
            }
        }
        Err(error) => output::failed(&error),
    }
}

fn holders(matches: &ArgMatches) -> Result<Holders, Error> {
    let key = key::of(matches)?;
    connection::client(matches)?.holders(key)
}

/// A session holds or shares the key.
pub fn is_held(holders: &Holders) -> bool {
    holders.all.iter().any(|party| party.role != Role::Waiter)
}

/// The object of `consul_lock_holders_json`, with the state, and with program, host and pid of each session.
pub fn json(holders: &Holders, with_value: bool) -> Json {
    let mut json: Json = serde_json::from_str(&holders.json()).unwrap_or_default();
    for name in ["exclusive", "sharers", "line"] {
        match json.get_mut(name) {
            Some(Json::Array(sessions)) => {
                for session in sessions {
                    party::complete(session, with_value);
                }
            }
            Some(session) => party::complete(session, with_value),
            None => {}
        }
    }
    let is = |role| holders.all.iter().any(|party| party.role == role);
    let state = match (is(Role::Exclusive), is(Role::Sharer)) {
        (true, _) => "held",
        (false, true) => "shared",
        (false, false) => "free",
    };
    if let Some(json) = json.as_object_mut() {
        json.insert("state".to_owned(), state.into());
    }
    json
}

/// The same for people.
pub fn text(holders: &Holders, with_value: bool, paint: Paint) -> String {
    let all = &holders.all;
    let of = |role| all.iter().filter(move |party| party.role == role);
    let (exclusive, sharers, waiters) = (
        of(Role::Exclusive).next(),
        of(Role::Sharer).count(),
        of(Role::Waiter).count(),
    );
    let state = match (exclusive, sharers) {
        (Some(_), 0) => paint.yellow("held"),
        (Some(_), _) => format!(
            "{}: its next holder waits for those that share it",
            paint.yellow(party::sharing(all))
        ),
        (None, 0) => paint.green("free"),
        (None, _) => paint.yellow(party::sharing(all)),
    };
    let mut lines = vec![format!("{} is {state}", paint.bold(&holders.key))];
    for party in of(Role::Exclusive).chain(of(Role::Sharer)) {
        lines.extend(holder(party, with_value, paint));
    }
    if waiters > 0 {
        let verb = if waiters == 1 { "waits" } else { "wait" };
        lines.push(format!("{waiters} {verb} in line:"));
    }
    for (number, party) in of(Role::Waiter).enumerate() {
        let title = party::title(party.holder.name.as_deref());
        let wish = party::wish(party);
        lines.push(format!("  {}. {}, {wish}", number + 1, paint.bold(title)));
        lines.push(detail("session", &party::session(&party.holder), paint));
    }
    if all.iter().any(|party| party.holder.name.is_none()) {
        let why = "Names are missing: the token lacks session:read, the session has ended, or there are more than 64.";
        lines.push(paint.dim(why));
    }
    lines.join("\n")
}

fn holder(party: &Party, with_value: bool, paint: Paint) -> Vec<String> {
    let holder = &party.holder;
    let title = paint.bold(party::title(holder.name.as_deref()));
    let slot = party.slot().map(|slot| format!(", slot {slot}"));
    let mut lines = vec![format!("  {title}{}", slot.unwrap_or_default())];
    let mut add = |name, text: &str| lines.push(detail(name, text, paint));
    if let Some(since) = holder.since {
        add("since", &when::since(since));
    }
    add("session", &party::session(holder));
    add("token", &holder.fencing_token.to_string());
    if with_value {
        add("value", &value(holder));
    }
    lines
}

fn detail(name: &str, text: &str, paint: Paint) -> String {
    format!("     {} {text}", paint.dim(format!("{name:<8}")))
}

/// The stored value in one line that does no harm to a terminal.
fn value(holder: &Holder) -> String {
    let bytes = holder.value.0.as_slice();
    match std::str::from_utf8(bytes) {
        Ok("") => "(empty)".to_owned(),
        Ok(text) => {
            let shown = |c: char| match c {
                '"' | '\'' | '\\' => c.to_string(),
                c => c.escape_debug().to_string(),
            };
            text.chars().map(shown).collect()
        }
        Err(_) => format!("{} bytes that are no text (--json has them)", bytes.len()),
    }
}
