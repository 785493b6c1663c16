//! `consul-lock free KEY`: ends the session that holds a lock, if it still is the one that was shown.
//!
//! Consul has no operation that checks a key and ends a session at once. So the command reads the row right before,
//! from the leader, and ends the session only if that hold is the one that was shown. The command does not delete the
//! key instead, which Consul could do in one transaction: that would skip the lock-delay of the session, which keeps
//! the next holder away from a program that still runs.

use std::io::{self, IsTerminal as _, Write as _};

use clap::{Arg, ArgAction, ArgMatches, Command};
use consul_lock::client::{Client, Holders, Party, Query, Role, in_path};
use consul_lock::error::{Error, Status};
use serde_json::{Value as Json, json};

use crate::exit::Exit;
use crate::paint::Paint;
use crate::party::Program;
use crate::wait::row_of;
use crate::{connection, key, output, party, who};

pub fn command() -> Command {
    let yes = Arg::new("yes")
        .long("yes")
        .short('y')
        .help("Do not ask")
        .action(ArgAction::SetTrue);
    let session = Arg::new("session")
        .long("session")
        .value_name("ID")
        .help("End this session, and only if it holds or shares the lock");
    Command::new("free")
        .about("Take a lock away from its holder, by ending the holder's session")
        .long_about(
            "Shows the holder of a lock, asks, and ends the holder's session, if that session still holds the lock as \
             it was shown. Consul then takes away all that the session holds, also other locks.\n\n\
             The holder's program is not ended. A program that uses this library learns of the loss within a moment \
             where it watches its lock, else at its next call. Another program may go on as if it had the lock: make \
             sure that it has stopped.",
        )
        .after_help(
            "Exit status:\n   \
             0  the session was ended\n   \
             1  the lock is free, or has another holder by now, or the answer was no\n  \
             64  there is no terminal to ask on and no --yes, or several sessions share the lock\n  \
             69  Consul gave no usable answer\n  \
             74  the standard output cannot be written\n  \
             77  the token has not the rights\n\n\
             Examples:\n  \
             consul-lock free nightly-report\n  \
             consul-lock free --yes --session 8d7b… deploy    # only if it still is that one",
        )
        .args(key::args())
        .arg(session)
        .arg(yes)
        .args(connection::flags())
}

pub fn main(matches: &ArgMatches) -> Exit {
    free(matches).unwrap_or_else(|error| output::failed(&error))
}

/// A hold of a key: a session that gives the key back and takes it again has another one.
#[derive(Debug, PartialEq, Eq)]
struct Hold {
    session: String,
    create_index: u64,
    lock_index: u64,
}

fn free(matches: &ArgMatches) -> Result<Exit, Error> {
    let key = key::of(matches)?;
    let client = connection::client(matches)?;
    let holders = client.holders(key)?;
    if !who::is_held(&holders) {
        output::say(format!("{} is free: there is nothing to end", holders.key));
        return Ok(Exit::No);
    }
    let wanted = matches.get_one::<String>("session").map(String::as_str);
    let chosen = match choose(&holders, wanted) {
        Ok(chosen) => chosen,
        Err(exit) => return Ok(exit),
    };
    let (row, id) = (row_of(&holders, chosen), chosen.holder.session.to_string());
    let shown = match hold(&client, &row)? {
        Some(hold) if hold.session == id => hold,
        _ => return Ok(changed(&holders.key)),
    };
    let json = matches.get_flag("json");
    if !matches.get_flag("yes") {
        let why = match (json, io::stdin().is_terminal()) {
            (true, _) => "--json asks no question",
            (_, false) => "there is no terminal to ask on",
            (false, true) => "",
        };
        if !why.is_empty() {
            output::say(format!("{why}: --yes ends the session without a question"));
            return Ok(Exit::Usage);
        }
        let text = who::text(&holders, false, Paint::new());
        // Without the warning there is nothing to answer to.
        let shown = match output::print(format!("{text}\n\n{}", warning(chosen))) {
            Ok(shown) => shown,
            Err(exit) => return Ok(exit),
        };
        if !shown || !is_confirmed(&id) {
            output::say("nothing was changed");
            return Ok(Exit::No);
        }
    }
    if hold(&client, &row)?.as_ref() != Some(&shown) {
        return Ok(changed(&holders.key));
    }
    end(&client, &id)?;
    report(&client, &holders, &row, chosen, json)
}

/// The session to end.
fn choose<'a>(holders: &'a Holders, wanted: Option<&str>) -> Result<&'a Party, Exit> {
    let holding: Vec<&Party> = holders
        .all
        .iter()
        .filter(|party| party.role != Role::Waiter)
        .collect();
    match (wanted, holding.as_slice()) {
        (Some(id), all) => {
            let chosen = all.iter().find(|party| &*party.holder.session.0 == id);
            chosen.copied().ok_or_else(|| {
                output::say(format!(
                    "session {id} does not hold {}: nothing was changed",
                    holders.key
                ));
                Exit::No
            })
        }
        (None, [one]) => Ok(one),
        (None, all) => {
            output::print(who::text(holders, false, Paint::new()))?;
            output::say(format!(
                "{} sessions have the lock: --session ID picks the one to end",
                all.len()
            ));
            Err(Exit::Usage)
        }
    }
}

/// What an operator must know before the answer.
fn warning(chosen: &Party) -> String {
    let program = chosen.holder.name.as_deref().and_then(Program::of);
    let still = match program {
        Some(program) => {
            let runs = match program.runs_here() {
                Some(true) => format!("A process {} runs on this host. ", program.pid),
                Some(false) => format!("No process {} runs on this host. ", program.pid),
                None => String::new(),
            };
            format!(
                "{runs}This does not end {} (pid {} on {}): it learns of the loss within a moment, or at its \
                 next call.",
                program.name, program.pid, program.host
            )
        }
        None => "This does not end the holder's program, which may go on as if it had the lock."
            .to_owned(),
    };
    format!("{still}\nMake sure that it has stopped.")
}

fn is_confirmed(id: &str) -> bool {
    let mut err = io::stderr();
    let _ = write!(err, "End session {id}, and all that it holds? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}

fn changed(key: &str) -> Exit {
    output::say(format!(
        "{key} has changed hands meanwhile: nothing was changed (who shows the holder)"
    ));
    Exit::No
}

/// The hold of a row, as the leader knows it.
fn hold(client: &Client, row: &str) -> Result<Option<Hold>, Error> {
    let what = || format!("could not read the key \"{row}\"");
    let path = format!("/v1/kv/{}?consistent=", in_path(row));
    let reply = client.ask(&Query::Get(&path))?;
    if reply.status == 404 {
        return Ok(None);
    }
    if reply.status != 200 {
        return Err(reply.error(&what()));
    }
    let json: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
    let unexpected = || Error::new(Status::Rejected, format!("{}: unexpected reply", what()));
    let row = json.get(0).ok_or_else(unexpected)?;
    let number = |name| row.get(name).and_then(Json::as_u64);
    let Some(session) = row.get("Session").and_then(Json::as_str) else {
        return Ok(None);
    };
    Ok(Some(Hold {
        session: session.to_owned(),
        create_index: number("CreateIndex").ok_or_else(unexpected)?,
        lock_index: number("LockIndex").ok_or_else(unexpected)?,
    }))
}

fn end(client: &Client, id: &str) -> Result<(), Error> {
    let what = format!("could not end the session {id}");
    let path = format!("/v1/session/destroy/{}", in_path(id));
    let reply = client.ask(&Query::Put(&path, "")).map_err(|error| Error {
        message: format!(
            "{what}, or did not learn of it: {} (who shows whether it still holds the lock)",
            error.message
        ),
        ..error
    })?;
    match reply.status {
        200 if reply.body.trim_ascii() == b"true" => Ok(()),
        403 => {
            let mut error = reply.error(&what);
            error.message += "; the token needs session:write on the session's node, as with session_prefix \"\" \
                 { policy = \"write\" } (docs/acl.md)";
            Err(error)
        }
        _ => Err(reply.error(&what)),
    }
}

/// Tells what has become of the lock. The session has ended, whatever this look says.
fn report(
    client: &Client,
    holders: &Holders,
    row: &str,
    chosen: &Party,
    as_json: bool,
) -> Result<Exit, Error> {
    let waits = holders.all.iter().any(|party| party.role == Role::Waiter);
    let now = hold(client, row)?.map(|hold| hold.session);
    let id = chosen.holder.session.to_string();
    let text = if as_json {
        let object = json!({
            "key": &*holders.key,
            "ended": id,
            "name": chosen.holder.name,
            "holder": now,
        });
        object.to_string()
    } else {
        in_words(chosen, now.as_deref(), waits)
    };
    let done = format!("ended session {id}, but ");
    let printed = output::print_after(&done, text);
    Ok(printed.map_or_else(|exit| exit, |_| Exit::Ok))
}

/// The end of a session, and what has become of the lock.
fn in_words(chosen: &Party, now: Option<&str>, waits: bool) -> String {
    let id = &chosen.holder.session;
    let title = party::title(chosen.holder.name.as_deref());
    let after = match (now, chosen.role) {
        (Some(next), _) => format!("session {next} has the lock now"),
        (None, Role::Sharer) => "that session does not share the lock any more".to_owned(),
        (None, _) if waits => "the first waiter gets the lock".to_owned(),
        (None, _) => {
            "the lock is free (after the lock-delay of the session, if it had one)".to_owned()
        }
    };
    format!("ended session {id} of {title}\n{after}")
}
