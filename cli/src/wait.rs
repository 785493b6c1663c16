//! `consul-lock wait KEY`: waits until a lock is free, and takes nothing.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use consul_lock::client::{Client, Holders, Party, Query, Role, in_path};
use consul_lock::error::{Error, Status};
use consul_lock::key::Key;
use serde_json::json;

use crate::exit::Exit;
use crate::{connection, key, output, party, signals, when, who};

/// A blocking query of a process that is gone stays in the agent for so long.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// The pause before another try after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The last look, at the end of the timeout, may take so long.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The time between two looks.
const AT_LEAST: Duration = Duration::from_millis(50);

pub fn command() -> Command {
    let timeout = Arg::new("timeout")
        .long("timeout")
        .value_name("DURATION")
        .help("Wait for so long at most, as in 30s or 5m [default: without limit]")
        .value_parser(when::duration);
    Command::new("wait")
        .about("Wait until a lock is free, and take nothing")
        .long_about(
            "Waits until no session holds or shares the lock, and takes nothing: when the command returns, another \
             program may already have taken the lock. To run a program under the lock, use run --wait.\n\n\
             Consul tells each change; the command does not poll. When Consul cannot be reached for a while, the \
             command says so and goes on.",
        )
        .after_help(
            "Exit status:\n   \
             0  the lock is free\n  \
             69  Consul gave no usable answer\n  \
             74  the standard output cannot be written\n  \
             75  the timeout is over\n  \
             77  the token has not the rights\n\n\
             Examples:\n  \
             consul-lock wait migration && systemctl start web\n  \
             consul-lock wait --timeout 5m nightly-report || echo still running",
        )
        .args(key::args())
        .arg(timeout)
        .args(connection::flags())
}

pub fn main(matches: &ArgMatches) -> Exit {
    signals::end_on_signal(|_| {});
    let begun = Instant::now();
    let timeout = matches.get_one::<Duration>("timeout").copied();
    let holders = match in_time(matches, begun, timeout) {
        Ok(holders) => holders,
        Err(error) => return output::failed(&error),
    };
    let is_free = !who::is_held(&holders);
    let printed = if matches.get_flag("json") {
        let mut json = who::json(&holders, false);
        if let Some(json) = json.as_object_mut() {
            let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            json.insert("waited_ms".to_owned(), json!(ms));
        }
        output::print(json)
    } else if is_free {
        output::print(format!("{} is free", holders.key))
    } else {
        Ok(true)
    };
    if let Err(exit) = printed {
        return exit;
    }
    if is_free {
        return Exit::Ok;
    }
    output::say(format!(
        "{} is not free after {}: {}",
        holders.key,
        when::shown(begun.elapsed()),
        held_by(&holders)
    ));
    Exit::NotAcquired
}

/// As [`until_free`], and not longer than that may take: a Consul that does not answer holds up no request beyond the
/// timeout.
fn in_time(
    matches: &ArgMatches,
    begun: Instant,
    timeout: Option<Duration>,
) -> Result<Holders, Error> {
    let Some(timeout) = timeout else {
        return until_free(matches, begun, None);
    };
    let (done, outcome) = mpsc::channel();
    let of_thread = matches.clone();
    thread::spawn(move || done.send(until_free(&of_thread, begun, Some(timeout))));
    let most = timeout
        .saturating_add(LAST_LOOK)
        .saturating_sub(begun.elapsed());
    outcome.recv_timeout(most).unwrap_or_else(|_| {
        let address = connection::value(matches, "address");
        // An address with a password is shown nowhere.
        let address = address.filter(|address| !address.contains('@'));
        let address = address.map_or_else(String::new, |address| format!(" at {address}"));
        let key = matches.get_one::<String>("key").map_or("", String::as_str);
        let message = format!(
            "the timeout of {} is over, and Consul{address} does not answer: whether \"{key}\" is free is not known",
            when::shown(timeout)
        );
        Err(Error::new(Status::Unavailable, message))
    })
}

/// The holders at the end: none, unless the time is over.
fn until_free(
    matches: &ArgMatches,
    begun: Instant,
    timeout: Option<Duration>,
) -> Result<Holders, Error> {
    let key = key::of(matches)?;
    let client = connection::client(matches)?;
    let left = || timeout.map_or(Duration::MAX, |most| most.saturating_sub(begun.elapsed()));
    // A wrong address or a missing right shows at once.
    let mut holders = client.holders(key)?;
    let (mut told, mut looked) = (false, begun);
    loop {
        let Some((row, index)) = row_to_watch(&holders) else {
            // The two reads of a look are not of one instant: a lock may have changed from shared to exclusive in
            // between, and is free only if the next look says so, too.
            holders = client.holders(key)?;
            if !who::is_held(&holders) {
                return Ok(holders);
            }
            continue;
        };
        if left().is_zero() {
            return Ok(holders);
        }
        // A key that changes all the time costs Consul twenty looks a second.
        thread::sleep(AT_LEAST.saturating_sub(looked.elapsed()).min(left()));
        looked = Instant::now();
        let seen = changed(&client, &row, index, left()).and_then(|has_changed| {
            // The end of a query shows nothing new.
            let look = has_changed || told || left().is_zero();
            look.then(|| client.holders(key)).transpose()
        });
        match seen {
            Ok(None) => {}
            Ok(Some(now)) => (holders, told) = (now, false),
            Err(error) if error.status == Status::Unavailable && !left().is_zero() => {
                if !std::mem::replace(&mut told, true) {
                    output::say(format!("{}; the command tries again", error.message));
                }
                thread::sleep(PAUSE.min(left()));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The row of a session that holds the key, and the index of its last change.
fn row_to_watch(holders: &Holders) -> Option<(Key, u64)> {
    let mut holding = holders.all.iter().filter(|p| p.role != Role::Waiter);
    let party = holding.next()?;
    Some((row_of(holders, party), party.holder.fencing_token))
}

/// The row in Consul by which a session holds or shares the key.
pub fn row_of(holders: &Holders, party: &Party) -> Key {
    let shared = party.want.limit().zip(party.slot);
    match shared.filter(|_| party.role == Role::Sharer) {
        Some((limit, slot)) => limit.row_of(&holders.key, slot),
        None => holders.key.clone(),
    }
}

/// Waits until the row has changed since `index`, for a while at most. False: it has not.
fn changed(client: &Client, row: &str, index: u64, most: Duration) -> Result<bool, Error> {
    let query = Query::Watch {
        path: &format!("/v1/kv/{}", in_path(row)),
        index,
        wait: most.min(LONGEST_QUERY),
    };
    let reply = client.ask(&query)?;
    match reply.status {
        200 | 404 => Ok(reply.status == 404 || reply.index != Some(index)),
        _ => Err(reply.error(&format!("could not watch the key \"{row}\""))),
    }
}

/// Who holds the key, in one line.
fn held_by(holders: &Holders) -> String {
    let all = holders.all.iter();
    let holding: Vec<String> = all
        .filter(|party| party.role != Role::Waiter)
        .map(|party| {
            let title = party::title(party.holder.name.as_deref());
            format!("{title} (session {})", party.holder.session)
        })
        .collect();
    let how = match holders.all.first().map(|party| party.role) {
        Some(Role::Sharer) => "shared by",
        _ => "held by",
    };
    match holding.as_slice() {
        [one, two, _, ..] => format!("{how} {one}, {two} and {} more", holding.len() - 2),
        few => format!("{how} {}", few.join(" and ")),
    }
}
