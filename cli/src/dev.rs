//! `consul-lock dev`: a Consul for tests. It serves the model of Consul on loopback until a signal ends it, or until
//! its parent ends.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use consul_model::server::{Server, Settings};
use consul_model::{Edition, NODE};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

use crate::agent;
use crate::exit::Exit;
use crate::output::{print, say};

/// How often the server looks whether its parent still is its parent.
const PARENT_CHECK: Duration = Duration::from_millis(250);

const LONG_ABOUT: &str = "\
A Consul for tests: it answers what locks ask for (sessions, the KV store, transactions, blocking queries) from \
memory, on loopback, ready in milliseconds. It answers any other request with the status 501 and says so.

It prints one line, CONSUL_HTTP_ADDR=127.0.0.1:PORT, when it takes requests. It ends at TERM, INT and HUP, and within \
half a second after its parent has ended: a shell that starts it in the background ends it with itself.

It is no Consul: it keeps nothing, has one server, and neither ACLs nor TLS. A token is ignored. With --real it is \
one: the command then runs a real Consul in the same way.";

pub fn command() -> Command {
    Command::new("dev")
        .about("Run a Consul for tests: in memory, on loopback, ready in milliseconds")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS:PORT")
                .help("Where to listen: an address of loopback; port 0 is a free one")
                .value_parser(value_parser!(SocketAddr))
                .default_value("127.0.0.1:0"),
        )
        .arg(
            Arg::new("speed")
                .long("speed")
                .value_name("N")
                .help("Let time pass N times as fast, so that a TTL of 10 s ends after 20 s / N")
                .value_parser(value_parser!(u32).range(1..=10_000))
                .default_value("1"),
        )
        .arg(
            Arg::new("like")
                .long("like")
                .value_name("VERSION")
                .help("The version of Consul to answer like, such as 1.8.7")
                .value_parser(edition)
                .default_value("1.22.0"),
        )
        .arg(
            Arg::new("node")
                .long("node")
                .value_name("NAME")
                .help("The name of the node that sessions are bound to")
                .default_value(NODE),
        )
        .arg(agent::option())
}

pub fn main(matches: &ArgMatches) -> Exit {
    // Before anything else: a parent that ends from now on is noticed.
    let parent = getppid();
    let Some((listen, settings)) = wanted(matches) else {
        return Exit::Internal;
    };
    if let Some(program) = agent::asked(matches) {
        return agent::serve(&program, listen, |address| announce(matches, address));
    }
    // A parent that blocks these signals would pass that on.
    let ends = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let _ = ends.into_iter().collect::<SigSet>().thread_unblock();
    let mut server = match Server::bind(listen, &settings) {
        Ok(server) => server,
        Err(error) => {
            say(format!(
                "cannot listen on {listen}: {error}{}",
                advice(&error)
            ));
            return match error.kind() {
                std::io::ErrorKind::InvalidInput => Exit::Usage,
                _ => Exit::Unavailable,
            };
        }
    };
    let address = server.address();
    if let Err(exit) = announce(matches, address) {
        return exit;
    }
    match server.run(PARENT_CHECK, || getppid() == parent) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            say(format!("cannot serve on {address} any more: {error}"));
            Exit::Internal
        }
    }
}

/// Prints the one line that says where the server listens. Where its reader has gone, no program knows the address, and
/// the command ends, too.
fn announce(matches: &ArgMatches, address: SocketAddr) -> Result<(), Exit> {
    let is_read = print(if matches.get_flag("json") {
        serde_json::json!({"CONSUL_HTTP_ADDR": address.to_string()}).to_string()
    } else {
        format!("CONSUL_HTTP_ADDR={address}")
    })?;
    is_read.then_some(()).ok_or(Exit::Unavailable)
}

fn wanted(matches: &ArgMatches) -> Option<(SocketAddr, Settings)> {
    let settings = Settings {
        node: matches.get_one::<String>("node")?.clone(),
        edition: *matches.get_one("like")?,
        speed: *matches.get_one("speed")?,
        // Two servers give different ids to their sessions.
        seed: RandomState::new().build_hasher().finish(),
    };
    Some((*matches.get_one("listen")?, settings))
}

fn edition(text: &str) -> Result<Edition, String> {
    Edition::of(text).ok_or_else(|| "not a version such as 1.8.7".to_owned())
}

/// What the caller can do.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another program has the port: leave --listen out for a free one"
        }
        std::io::ErrorKind::InvalidInput => "; give --listen 127.0.0.1:PORT",
        _ => "",
    }
}
