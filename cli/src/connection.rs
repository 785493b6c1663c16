//! The options of the connection: one flag for each option of a client, made from the library's own table.

use clap::{Arg, ArgAction, ArgMatches};
use consul_lock::client::Client;
use consul_lock::error::Error;
use consul_lock::options::{OptionPlace, OptionRow, Options, TABLE, ValueKind};

/// The options of a client that are flags. The token and the password are none: every user of the machine sees the
/// arguments of a program. `--token-file`, CONSUL_HTTP_TOKEN and CONSUL_HTTP_AUTH take their place.
fn rows() -> impl Iterator<Item = &'static OptionRow> {
    let of_client = |row: &&OptionRow| row.places.contains(&OptionPlace::Client);
    let in_arguments = |row: &&OptionRow| !matches!(row.name, "token" | "http_auth");
    TABLE.iter().filter(of_client).filter(in_arguments)
}

/// The flags, for a command that speaks to Consul.
pub fn flags() -> impl Iterator<Item = Arg> {
    rows().map(|row| {
        let sentence = row.doc.split_inclusive(". ").next().unwrap_or(row.doc);
        let variable = row.env.map(|name| format!(" [{name}]")).unwrap_or_default();
        Arg::new(row.name)
            .long(row.name.replace('_', "-"))
            .value_name(match row.kind {
                ValueKind::Int { .. } => "NUMBER",
                ValueKind::Bool => "BOOL",
                _ => "TEXT",
            })
            .help(format!("{}{variable}", sentence.trim_end()))
            .help_heading("Connection")
            .hide_short_help(!matches!(row.name, "address" | "token_file"))
            .action(ArgAction::Set)
            .allow_hyphen_values(matches!(row.kind, ValueKind::Int { .. }))
    })
}

/// The text of an option of a client, from its flag or its variable. The library checks the text itself.
pub fn value(matches: &ArgMatches, name: &str) -> Option<String> {
    let flag = rows().any(|row| row.name == name);
    let flag = flag.then(|| matches.get_one::<String>(name).cloned());
    flag.flatten().or_else(|| {
        let row = TABLE.iter().find(|row| row.name == name)?;
        std::env::var(row.env?).ok().filter(|text| !text.is_empty())
    })
}

/// The client that the flags and the environment describe.
pub fn client(matches: &ArgMatches) -> Result<Client, Error> {
    make(matches, Options::new())
}

/// As [`client`], with a name for its sessions unless a flag has one.
pub fn client_named(matches: &ArgMatches, session_name: &str) -> Result<Client, Error> {
    let mut options = Options::new();
    options.set("session_name", session_name)?;
    make(matches, options)
}

fn make(matches: &ArgMatches, mut options: Options) -> Result<Client, Error> {
    for row in rows() {
        if let Some(value) = matches.get_one::<String>(row.name) {
            options.set(row.name, value)?;
        }
    }
    Client::new(Some(&options))
}
