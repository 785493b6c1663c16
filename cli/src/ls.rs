//! `consul-lock ls [PREFIX]`: the locks below a prefix.

mod listing;
mod screen;
mod table;

use clap::{Arg, ArgAction, ArgMatches, Command};
use consul_lock::client::Client;
use consul_lock::error::{Error, Status};
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use self::listing::{Listing, Place, Reader};
use self::screen::Screen;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::{connection, key, output, signals};

/// The time between two listings of --watch.
const AT_LEAST: Duration = Duration::from_millis(250);

/// The pause before another try after a failure.
const PAUSE: Duration = Duration::from_secs(1);

pub fn command() -> Command {
    let prefix = Arg::new("prefix")
        .value_name("PREFIX")
        .help("What the keys of the locks begin with")
        .default_value("")
        .hide_default_value(true);
    let watch = Arg::new("watch")
        .long("watch")
        .short('w')
        .help("Show the list again at each change, until a signal ends the command")
        .action(ArgAction::SetTrue);
    Command::new("ls")
        .about("List the locks that are held, shared or waited for")
        .long_about(
            "Lists the locks below a prefix that are held, shared or waited for, with their holders and the number of \
             sessions that wait. Reads only, by one request for the keys and one for the names of the sessions.\n\n\
             Consul leaves out the keys that the token may not read, and refuses the list with \
             acl.enable_key_list_policy unless the token has the right key:list for the prefix.\n\n\
             With --watch, a terminal shows the list as it is now; into a pipe goes a new list for each change, with \
             an empty line between. --json prints one object for each lock, and with --watch one object for each list.",
        )
        .after_help(
            "Examples:\n  \
             consul-lock ls\n  \
             consul-lock ls --watch deploy/\n  \
             consul-lock ls --json | jq -r 'select(.waiting > 0).name'",
        )
        .arg(prefix)
        .arg(watch)
        .arg(key::pattern())
        .args(connection::flags())
}

pub fn main(matches: &ArgMatches) -> Exit {
    let as_json = matches.get_flag("json");
    let listed = begin(matches).and_then(|(client, place)| {
        let mut reader = Reader::new(client, place);
        if matches.get_flag("watch") {
            return watch(&mut reader, as_json);
        }
        let listing = reader.now()?;
        if as_json {
            let lines: Vec<String> = listing
                .rows
                .iter()
                .map(|row| row.json().to_string())
                .collect();
            return Ok(all_of(&lines));
        }
        if listing.rows.is_empty() {
            output::say(listing.nothing());
            return Ok(Exit::Ok);
        }
        Ok(all_of(&listing.text(Paint::new())))
    });
    listed.unwrap_or_else(|error| output::failed(&error))
}

/// Prints the lines, of which there may be none.
fn all_of(lines: &[String]) -> Exit {
    if lines.is_empty() {
        return Exit::Ok;
    }
    output::print(lines.join("\n")).map_or_else(|exit| exit, |_| Exit::Ok)
}

fn begin(matches: &ArgMatches) -> Result<(Client, Place), Error> {
    key::set_pattern(matches)?;
    let pattern = matches.get_one::<String>("pattern").map(String::as_str);
    let prefix = matches
        .get_one::<String>("prefix")
        .map_or("", String::as_str);
    let place = Place::new(pattern, prefix);
    // Consul would send the request to the list of another prefix.
    if let Some(why) = place.problem() {
        let prefix = place.prefix.escape_debug();
        let message = format!("the prefix \"{prefix}\" cannot be listed: {why}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok((connection::client(matches)?, place))
}

/// Shows the list at each change.
fn watch(reader: &mut Reader, as_json: bool) -> Result<Exit, Error> {
    let mut screen = Screen::new(as_json);
    let restores = screen.clone();
    signals::end_on_signal(move |_| restores.leave());
    let outcome = keep_watching(reader, &mut screen, as_json);
    screen.leave();
    outcome
}

fn keep_watching(reader: &mut Reader, screen: &mut Screen, as_json: bool) -> Result<Exit, Error> {
    let mut listing = reader.now()?;
    let mut shown: Option<Listing> = None;
    let mut trouble = None;
    loop {
        let begun = Instant::now();
        let is_new = shown
            .as_ref()
            .is_none_or(|shown| shown.rows != listing.rows);
        let goes_on = match (is_new, as_json) {
            // The ages of the locks go on.
            _ if screen.is_on() => screen.draw(&listing, trouble.as_deref()),
            (false, _) => Ok(true),
            (true, true) => output::print(object(&listing)),
            (true, false) => screen.append(&listing),
        };
        match goes_on {
            Ok(true) => {}
            Ok(false) => return Ok(Exit::Ok),
            Err(exit) => return Ok(exit),
        }
        shown = Some(listing.clone());
        match reader.next(&listing) {
            Ok(next) => (listing, trouble) = (next, None),
            Err(error) if error.status == Status::Unavailable => {
                if trouble.is_none() && !screen.is_on() {
                    output::say(format!("{}; the command tries again", error.message));
                }
                trouble = Some(error.message);
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
        thread::sleep(AT_LEAST.saturating_sub(begun.elapsed()));
    }
}

/// A list of --watch as one object.
fn object(listing: &Listing) -> serde_json::Value {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let locks: Vec<_> = listing.rows.iter().map(listing::Row::json).collect();
    json!({"at": now, "locks": locks})
}
