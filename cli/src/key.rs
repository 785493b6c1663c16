//! The key that a command is about.

use clap::{Arg, ArgMatches};
use consul_lock::defaults;
use consul_lock::error::Error;

/// The arguments for one key.
pub fn args() -> [Arg; 2] {
    let key = Arg::new("key")
        .value_name("KEY")
        .help("The key of the lock, as programs name it")
        .required(true);
    [key, pattern()]
}

/// The option for the place of keys in Consul.
pub fn pattern() -> Arg {
    Arg::new("pattern")
        .long("pattern")
        .value_name("TEXT")
        .help("Where keys stand in Consul: KEY takes the place of %s [default: locks/ephemeral/%s]")
        .long_help(
            "Where keys stand in Consul: KEY takes the place of %s, as with the option lock_key_pattern of \
             programs. With '%s' alone, KEY is the whole key. [default: locks/ephemeral/%s]",
        )
}

/// The key, once the library knows the pattern.
pub fn of(matches: &ArgMatches) -> Result<&str, Error> {
    set_pattern(matches)?;
    Ok(matches.get_one::<String>("key").map_or("", String::as_str))
}

/// Tells the library the pattern.
pub fn set_pattern(matches: &ArgMatches) -> Result<(), Error> {
    match matches.get_one::<String>("pattern") {
        Some(pattern) => defaults::set("lock_key_pattern", pattern),
        None => Ok(()),
    }
}
