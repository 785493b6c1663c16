//! `consul-lock`, the command: runs a program under a lock, says who holds a lock, and ends a session by hand.
//!
//! Each subcommand is a module with `command()`, its description for clap, and `main()`, what it does. From the
//! descriptions come the help, the man pages and the completions.

mod agent;
mod connection;
mod dev;
mod doctor;
mod exit;
mod free;
#[cfg(test)]
#[path = "../../fuzz/command/mod.rs"]
mod fuzzing;
mod generate;
mod key;
mod ls;
mod output;
mod paint;
mod party;
mod run;
mod signals;
mod wait;
mod when;
mod who;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::exit::Exit;

/// A subcommand: its description, and what it does.
type Subcommand = (fn() -> Command, fn(&ArgMatches) -> Exit);

const SUBCOMMANDS: &[Subcommand] = &[
    (run::command, run::main),
    (who::command, who::main),
    (ls::command, ls::main),
    (wait::command, wait::main),
    (free::command, free::main),
    (doctor::command, doctor::main),
    (dev::command, dev::main),
    (generate::command, generate::main),
];

const EXAMPLES: &str = "\
Examples:
  consul-lock run --wait 10m deploy/web ./deploy.sh   # one deploy at a time
  consul-lock who deploy/web                          # who deploys, and who waits
  consul-lock doctor                                  # is this machine fit for locks?
  consul-lock dev                                     # a Consul for tests

consul-lock finds Consul as the consul command does: by CONSUL_HTTP_ADDR and its kind, or by the options of each \
command.";

fn command() -> Command {
    let json = Arg::new("json")
        .long("json")
        .help("Print JSON, one object a line, instead of text")
        .action(ArgAction::SetTrue)
        .global(true);
    Command::new("consul-lock")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Distributed ephemeral locks on Consul")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLES)
        .arg(json)
        .subcommands(SUBCOMMANDS.iter().map(|(command, _)| command()))
}

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let printed = error.print();
            if error.use_stderr() {
                return Exit::Usage.into();
            }
            return output::written("", printed)
                .map_or_else(|exit| exit, |_| Exit::Ok)
                .into();
        }
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Exit::Usage.into();
    };
    let of_name = |(command, _): &&Subcommand| command().get_name() == name;
    match SUBCOMMANDS.iter().find(of_name) {
        Some((_, main)) => main(matches).into(),
        None => Exit::Internal.into(),
    }
}

#[cfg(test)]
mod tests {
    /// clap finds options that contradict each other only where a command is used.
    #[test]
    fn the_descriptions_are_sound() {
        super::command().debug_assert();
    }
}
