//! The description of `run`: its arguments, and the help that people read.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::{connection, key};

const LONG: &str = "\
Takes the lock KEY on Consul, runs CMD while the lock is held, and gives the lock back when CMD ends. Without --wait \
there is one attempt: if another session holds the lock, CMD does not run, and the exit status is 75.

The lock is renewed while CMD runs. CMD runs in a process group of its own, with the standard streams of consul-lock \
and with CONSUL_LOCK_KEY, CONSUL_LOCK_TOKEN (the fencing token), CONSUL_LOCK_SESSION and, with --slots, \
CONSUL_LOCK_SLOT in its environment. CONSUL_LOCK_KEY is the whole key, as --pattern makes it, and each key of --also \
is a line more: consul-lock who --pattern %s \"$CONSUL_LOCK_KEY\". consul-lock passes on TERM, INT, HUP, QUIT, USR1 \
and USR2 to the group.

CMD and what it starts never outlive the lock. What CMD leaves behind gets TERM when CMD ends, and KILL after \
--kill-after, before the lock is given back. When the lock is lost all of them get TERM and then KILL. When Consul \
confirms no renewal they get both before the lease ends. When consul-lock itself is stopped, a second \
process, lock-guard, kills all of them before the lease ends. When consul-lock is killed, lock-guard kills the group.

Not covered: a process with a session of its own (setsid, a daemon); a program that runs as another user (sudo): run \
consul-lock under sudo, and not sudo under consul-lock; and, if consul-lock is killed by KILL, a process that has left \
the group (timeout, the jobs of a shell with job control): no other process can find such a process then.";

const AFTER: &str = "\
Exit status:
  CMD's own; 128+N if signal N ended CMD, or ended the wait for the lock
   64  the arguments are wrong
   69  Consul gave no usable answer
   70  a defect of consul-lock, or the system gives it no process, descriptor or memory
   75  the lock was not acquired: another session holds it (--conflict-exit sets another number)
   77  the token has not the rights, or Consul refused the request
   78  a variable of the environment, or a file that an option names, is wrong
   79  the lock was lost, and CMD was ended
  126  CMD cannot be executed
  127  there is no such CMD
--json writes the outcome as a line of JSON to the standard error, and --status-fd to a descriptor. The line tells \
these statuses from the same numbers of CMD. Its fields, where they are known: outcome (ended, lost, not acquired, \
interrupted, failed), exit, keys, token, session, slot, waited_ms, held_ms, command_exit, command_signal, signal \
(which ended the wait), loss, released, error.

Job control: Ctrl-C and Ctrl-Z reach CMD, as without consul-lock. Ctrl-Z stops consul-lock, too, and then the lock is \
not renewed: continue CMD (fg, bg) well within --ttl, or the lock is lost, and CMD is killed.

Examples:
  # A nightly report, on one of several machines; silent where another machine has the lock
  consul-lock run --conflict-exit 0 report -- /usr/local/bin/report --all

  # A deploy that waits for its turn, for 10 minutes at most
  consul-lock run --wait 10m deploy/web ./deploy.sh

  # At most three at once; each knows its number
  consul-lock run --slots 3 --wait forever --shell workers 'exec worker --number \"$CONSUL_LOCK_SLOT\"'";

/// The description of `run`.
pub fn command() -> Command {
    let option =
        |name: &'static str, short: Option<char>, value: &'static str, help: &'static str| {
            let arg = Arg::new(name).long(name).value_name(value).help(help);
            match short {
                Some(short) => arg.short(short),
                None => arg,
            }
        };
    let flag = |name: &'static str, short: Option<char>, help: &'static str| {
        let arg = Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help);
        match short {
            Some(short) => arg.short(short),
            None => arg,
        }
    };
    Command::new("run")
        .about("Run a command while a lock is held")
        .long_about(LONG)
        .after_long_help(AFTER)
        .after_help("Exit statuses, job control and examples: consul-lock run --help")
        .override_usage("consul-lock run [OPTIONS] KEY [--] CMD [ARG]...")
        .arg(
            Arg::new("words")
                .value_name("KEY [--] CMD [ARG]")
                .help("The key of the lock, the command, and its arguments. No word after KEY is an option of run")
                .required(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString)),
        )
        .arg(
            option("also", None, "KEY", "Take this key, too: all keys or none. May come several times")
                .action(ArgAction::Append)
                .conflicts_with_all(["shared", "slots"]),
        )
        .arg(option(
            "wait",
            Some('w'),
            "DURATION",
            "How long to wait: 500ms, 30s, 1h30m, forever; a number alone is seconds [default: one attempt]",
        ))
        .arg(option(
            "ttl",
            Some('t'),
            "DURATION",
            "The TTL of the lock, 10s or more: how long the lock stays if this machine dies [default: 3m]",
        ))
        .arg(flag(
            "no-renew",
            None,
            "Do not renew the lock: CMD has --ttl less --kill-after and about a second, and is ended then",
        ))
        .arg(option(
            "kill-after",
            Some('k'),
            "DURATION",
            "The time between TERM and KILL, a third of --ttl at most [default: 5s]",
        ))
        .arg(
            option("on-lost", None, "WHAT", "What to do with CMD when the lock is lost")
                .value_parser(["kill", "ignore"])
                .default_value("kill"),
        )
        .arg(flag("shared", Some('s'), "Share the key with others that share it: a read lock"))
        .arg(
            option("slots", None, "N", "Share the key with at most N-1 others, with a slot number for each")
                .value_parser(value_parser!(i64).range(1..=1024)),
        )
        .arg(flag("shell", None, "CMD is a command line for /bin/sh -c"))
        .arg(
            option(
                "conflict-exit",
                Some('E'),
                "N",
                "The exit status if the lock is taken; with 0, nothing is said [default: 75]",
            )
                .value_parser(value_parser!(u8)),
        )
        .arg(
            option("value", None, "TEXT", "What Consul stores under the key; other programs can read it")
                .value_parser(value_parser!(OsString)),
        )
        .arg(key::pattern())
        .arg(
            option("status-fd", None, "N", "Write the outcome as one line of JSON to descriptor N")
                .value_parser(value_parser!(i32).range(0..)),
        )
        .arg(flag("verbose", Some('v'), "Say what happens, on the standard error"))
        .arg(
            flag(
                "json",
                None,
                "Write the outcome as one line of JSON to the standard error, beside the text",
            )
            // As the option of all subcommands, which may also come before `run`.
            .global(true),
        )
        .args(connection::flags())
}
