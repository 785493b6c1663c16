//! What the arguments of `run` ask for.

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgMatches;
use consul_lock::error::Error;
use consul_lock::options::{Options, TABLE, ValueKind};

use crate::key;
use crate::when::{duration, shown};

/// How much earlier than the lease this process ends the command's group by KILL.
pub const MARGIN: Duration = Duration::from_millis(500);

/// What to do when the lock is lost while the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// End the command.
    Kill,
    /// Let the command run, and say so.
    Ignore,
}

/// What the arguments ask for.
pub struct Plan {
    /// The keys, as the arguments name them.
    pub keys: Vec<String>,
    /// The options of the lock.
    pub options: Options,
    /// The program, and its arguments.
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// The TTL of the lock.
    pub ttl: Duration,
    /// The time between TERM and KILL.
    pub kill_after: Duration,
    pub on_lost: OnLost,
    /// The exit status if the lock was not acquired, in place of the usual one.
    pub conflict_exit: Option<u8>,
    pub renews: bool,
    pub verbose: bool,
}

/// What is wrong with the arguments.
#[derive(Debug)]
pub struct Misuse(pub String);

impl From<Error> for Misuse {
    fn from(error: Error) -> Misuse {
        Misuse(error.message)
    }
}

impl Plan {
    /// The plan of the arguments.
    pub fn new(matches: &ArgMatches) -> Result<Plan, Misuse> {
        let (key, program, arguments) = words(matches)?;
        let also = matches.get_many::<String>("also").into_iter().flatten();
        let ttl = ttl(matches)?;
        let mut plan = Plan {
            keys: std::iter::once(&key).chain(also).cloned().collect(),
            options: Options::new(),
            program,
            arguments,
            ttl,
            kill_after: kill_after(matches, ttl)?,
            on_lost: match matches.get_one::<String>("on-lost").map(String::as_str) {
                Some("ignore") => OnLost::Ignore,
                _ => OnLost::Kill,
            },
            conflict_exit: matches.get_one("conflict-exit").copied(),
            renews: !matches.get_flag("no-renew"),
            verbose: matches.get_flag("verbose"),
        };
        let options = &mut plan.options;
        options.set("acquire_timeout_ms", &wait_ms(matches)?.to_string())?;
        options.set("lock_timeout_seconds", &ttl.as_secs().to_string())?;
        options.set("auto_renew", if plan.renews { "true" } else { "false" })?;
        if matches.get_flag("shared") {
            options.set("mode", "share")?;
        }
        if let Some(slots) = matches.get_one::<i64>("slots") {
            options.set_int("limit", *slots)?;
        }
        if let Some(value) = matches.get_one::<OsString>("value") {
            options.set_bytes("value", value.as_encoded_bytes())?;
        }
        key::set_pattern(matches)?;
        Ok(plan)
    }

    /// The keys, for a message that puts them between two quotes.
    pub fn label(&self) -> String {
        self.keys.join("\", \"")
    }
}

/// KEY, and the command: a `--` directly after KEY is dropped, and no other word is touched.
fn words(matches: &ArgMatches) -> Result<(String, OsString, Vec<OsString>), Misuse> {
    let mut words = matches.get_many::<OsString>("words").into_iter().flatten();
    let key = words
        .next()
        .ok_or_else(|| Misuse("KEY is missing".to_owned()))?;
    let key = key
        .to_str()
        .ok_or_else(|| Misuse(format!("KEY {key:?} is not UTF-8")))?;
    let mut words: Vec<OsString> = words.cloned().collect();
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    if words.is_empty() {
        return Err(Misuse(format!("CMD is missing after KEY \"{key}\"")));
    }
    if !matches.get_flag("shell") {
        let program = words.remove(0);
        return Ok((key.to_owned(), program, words));
    }
    // The words after the first are $0, $1 and so on, as of `sh -c`.
    words.insert(0, "-c".into());
    Ok((key.to_owned(), "/bin/sh".into(), words))
}

/// The smallest, the largest and the usual number of an option of the library.
fn range(name: &str) -> (u64, u64, u64) {
    let row = TABLE.iter().find(|row| row.name == name);
    let usual = row.map_or(0, |row| row.default.to_string().parse().unwrap_or(0));
    match row.map(|row| row.kind) {
        Some(ValueKind::Int { min, max }) => (
            u64::try_from(min).unwrap_or(0),
            u64::try_from(max).unwrap_or(0),
            usual,
        ),
        _ => (0, 0, usual),
    }
}

/// `--wait`, as the library's option.
fn wait_ms(matches: &ArgMatches) -> Result<i64, Misuse> {
    let Some(text) = matches.get_one::<String>("wait") else {
        return Ok(0);
    };
    if text == "forever" {
        return Ok(-1);
    }
    let wrong = |why: String| Misuse(format!("--wait {text}: {why}"));
    let wait = duration(text).map_err(wrong)?;
    let (_, longest, _) = range("acquire_timeout_ms");
    // A wait that rounds to nothing would be no wait.
    let ms = wait.as_nanos().div_ceil(1_000_000);
    match i64::try_from(ms) {
        Ok(ms) if ms <= i64::try_from(longest).unwrap_or(0) => Ok(ms),
        _ => {
            let longest = shown(Duration::from_millis(longest));
            Err(wrong(format!(
                "it is longer than {longest}; \"forever\" has no limit"
            )))
        }
    }
}

/// `--ttl`.
fn ttl(matches: &ArgMatches) -> Result<Duration, Misuse> {
    let (least, most, usual) = range("lock_timeout_seconds");
    let Some(text) = matches.get_one::<String>("ttl") else {
        return Ok(Duration::from_secs(usual));
    };
    let ttl = duration(text).map_err(|why| Misuse(format!("--ttl {text}: {why}")))?;
    let is_whole = ttl.subsec_nanos() == 0;
    if !is_whole || !(least..=most).contains(&ttl.as_secs()) {
        let [least, most] = [least, most].map(|s| shown(Duration::from_secs(s)));
        return Err(Misuse(format!(
            "--ttl {text}: a TTL is whole seconds from {least} to {most}"
        )));
    }
    Ok(ttl)
}

/// `--kill-after`: a third of the TTL at most. The library renews the lease at a third of the TTL, and TERM comes while
/// the lease has `kill_after` left: a renewal that fails must have time for another one before.
fn kill_after(matches: &ArgMatches, ttl: Duration) -> Result<Duration, Misuse> {
    let most = ttl / 3;
    match matches.get_one::<String>("kill-after") {
        None => Ok(Duration::from_secs(5).min(most)),
        Some(text) => {
            let wrong = |why: String| Misuse(format!("--kill-after {text}: {why}"));
            let time = duration(text).map_err(wrong)?;
            if time > most {
                let most = shown(most);
                return Err(wrong(format!(
                    "it is longer than {most}, a third of --ttl; raise --ttl, too"
                )));
            }
            Ok(time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let words = ["run"].into_iter().chain(words.split(' '));
        let matches = super::super::command().try_get_matches_from(words);
        let matches = matches.map_err(|error| error.to_string())?;
        Plan::new(&matches).map_err(|Misuse(text)| text)
    }

    #[test]
    fn no_word_after_the_key_is_eaten() {
        let cases = [
            ("k cmd", "cmd"),
            ("k -- cmd", "cmd"),
            ("-- k cmd", "cmd"),
            ("-- k -- cmd", "cmd"),
            ("k cmd -v --wait 3", "cmd -v --wait 3"),
            ("k -v", "-v"),
            ("k --wait", "--wait"),
            ("k --help", "--help"),
            ("k -- -- cmd", "-- cmd"),
            ("k -- cmd -- x", "cmd -- x"),
            ("k cmd -- x", "cmd -- x"),
            ("k cmd x -- -- y", "cmd x -- -- y"),
            ("-w 3 -v k -E 5", "-E 5"),
            ("--shell k true", "/bin/sh -c true"),
            ("k --shell true", "--shell true"),
        ];
        for (words, command) in cases {
            let plan = plan(words).unwrap_or_else(|error| panic!("{words}: {error}"));
            let all = std::iter::once(&plan.program).chain(&plan.arguments);
            let all: Vec<&str> = all.map(|word| word.to_str().expect("UTF-8")).collect();
            assert_eq!(all.join(" "), command, "{words}");
            assert_eq!(plan.keys, ["k"], "{words}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused_by_their_names() {
        let cases = [
            ("k", "CMD"),
            ("k --", "CMD"),
            ("--wait soon k true", "--wait soon"),
            ("--wait 25h k true", "--wait 25h: it is longer than 1day"),
            (
                "--ttl 5s k true",
                "--ttl 5s: a TTL is whole seconds from 10s to 1day",
            ),
            ("--ttl 10500ms k true", "--ttl 10500ms"),
            (
                "--kill-after 4s --ttl 10s k true",
                "--kill-after 4s: it is longer than 3s",
            ),
            ("--slots 0 k true", "--slots"),
            ("--no-such k true", "--no-such"),
            ("--on-lost cry k true", "cry"),
            ("--also b --shared k true", "--shared"),
            ("--conflict-exit 256 k true", "256"),
        ];
        for (words, part) in cases {
            let Err(error) = plan(words) else {
                panic!("{words} is accepted");
            };
            assert!(error.contains(part), "{words}: {error}");
        }
    }

    #[test]
    fn the_time_before_kill_is_a_third_of_the_ttl_at_most() {
        let of = |words: &str| {
            plan(words)
                .unwrap_or_else(|error| panic!("{error}"))
                .kill_after
        };
        assert_eq!(of("k true"), Duration::from_secs(5));
        assert_eq!(of("--ttl 12s k true"), Duration::from_secs(4));
        assert_eq!(of("--ttl 30s -k 10 k true"), Duration::from_secs(10));
        assert_eq!(of("-k 0 k true"), Duration::ZERO);
    }
}
