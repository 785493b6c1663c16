//! `consul-lock generate DIR`: writes the man pages and the completions of the shells, as they lie below PREFIX/share.
//! `make` calls this subcommand, which no help lists.

mod pages;

use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::{Generator, Shell};

use crate::exit::Exit;
use crate::output;

/// The shells, and the folders below PREFIX/share in which they look for completions.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
];

pub fn command() -> Command {
    let folder = Arg::new("folder")
        .value_name("DIR")
        .help("The folder for man/man1 and for the completions")
        .value_parser(value_parser!(PathBuf))
        .required(true);
    Command::new("generate")
        .about("Write the man pages and the completions of bash, zsh and fish")
        .hide(true)
        .arg(folder)
}

pub fn main(matches: &ArgMatches) -> Exit {
    let Some(folder) = matches.get_one::<PathBuf>("folder") else {
        return Exit::Usage;
    };
    match write(&crate::command(), folder) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            output::say(format!(
                "could not write the man pages and the completions below {}: {error}",
                folder.display()
            ));
            Exit::Config
        }
    }
}

fn write(command: &Command, folder: &Path) -> Result<(), Error> {
    let manual = folder.join("man/man1");
    fs::create_dir_all(&manual)?;
    for (name, page) in pages::all(command)? {
        fs::write(manual.join(name), page)?;
    }
    for (shell, place) in SHELLS {
        let name = command.get_name();
        let folder = folder.join(place);
        fs::create_dir_all(&folder)?;
        // The hidden subcommand would be among the words that a shell offers.
        let mut shown = without_hidden(command);
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut shown, name, &mut script);
        // bash-completion loads the file that has the name of the command.
        let file = match shell {
            Shell::Bash => name.to_string(),
            _ => shell.file_name(name),
        };
        fs::write(folder.join(file), script)?;
    }
    Ok(())
}

/// The command with those subcommands only that its help lists.
fn without_hidden(command: &Command) -> Command {
    let shown: Vec<Command> = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .cloned()
        .collect();
    let arguments = command.get_arguments().cloned();
    Command::new(command.get_name().to_string())
        .version(
            command
                .get_version()
                .map(str::to_string)
                .unwrap_or_default(),
        )
        .disable_help_subcommand(true)
        .args(arguments)
        .subcommands(shown)
}
