//! The exit statuses of the command itself. They are those of sysexits.h where that has one, so that few programs
//! under a lock use them, too. The man page and docs/command.md show this table.

use std::process::ExitCode;

use consul_lock::error::{Error, Status};

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done; `who`: the key is held.
    Ok,
    /// `who`: the key is free. `doctor`: a check failed. `free`: the holder is another one by now.
    No,
    /// The arguments are wrong.
    Usage,
    /// Consul gave no usable answer.
    Unavailable,
    /// A defect of the command or of the library. `run`: the system gives no process, descriptor or memory.
    Internal,
    /// The standard output cannot be written.
    Unwritten,
    /// Another session holds the lock, or `--wait` or `--timeout` is over. `--conflict-exit` sets another number.
    NotAcquired,
    /// The token has not the rights, or Consul refused the request.
    Denied,
    /// A variable of the environment, or a file that an option names, is wrong.
    Config,
    /// The lock was lost while the program ran, and the program was ended.
    Lost,
    /// The program cannot be executed.
    NotExecutable,
    /// There is no such program.
    NotFound,
    /// The program's own exit status, 128 and the number of the signal that ended the program or the wait, or the
    /// number of `--conflict-exit`.
    Of(u8),
}

impl Exit {
    /// The number, as the shell sees it.
    pub fn number(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::Unwritten => 74,
            Exit::NotAcquired => 75,
            Exit::Denied => 77,
            Exit::Config => 78,
            Exit::Lost => 79,
            Exit::NotExecutable => 126,
            Exit::NotFound => 127,
            Exit::Of(number) => number,
        }
    }

    /// The exit status for an error of the library.
    pub fn of(error: &Error) -> Exit {
        match error.status {
            Status::Ok => Exit::Ok,
            Status::InvalidArgument | Status::InvalidOption => Exit::Usage,
            Status::InvalidEnvironment => Exit::Config,
            Status::NotAcquired | Status::Conflict | Status::Cancelled => Exit::NotAcquired,
            Status::Lost | Status::NotHeld => Exit::Lost,
            Status::Unavailable | Status::Unconfirmed | Status::NoResources => Exit::Unavailable,
            Status::Denied | Status::Rejected => Exit::Denied,
            Status::AlreadyUsed | Status::ValueFailed | Status::Internal | Status::Forked => {
                Exit::Internal
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every exit of the command itself.
    const ALL: [Exit; 12] = [
        Exit::Ok,
        Exit::No,
        Exit::Usage,
        Exit::Unavailable,
        Exit::Internal,
        Exit::Unwritten,
        Exit::NotAcquired,
        Exit::Denied,
        Exit::Config,
        Exit::Lost,
        Exit::NotExecutable,
        Exit::NotFound,
    ];

    fn numbers(text: &str) -> Vec<u8> {
        let first = |line: &str| {
            line.trim_start_matches('|')
                .trim()
                .split(' ')
                .next()?
                .parse()
                .ok()
        };
        text.lines().filter_map(first).collect()
    }

    #[test]
    fn the_documents_have_the_same_table() {
        let all: Vec<u8> = ALL.iter().map(|exit| exit.number()).collect();
        let document = include_str!("../../docs/command.md");
        let (_, table) = document.split_once("## Exit status").expect("a table");
        let (table, _) = table.split_once("\n## ").expect("its end");
        assert_eq!(numbers(table), all);
        // Each subcommand shows those that it can end with.
        for subcommand in crate::command().get_subcommands() {
            let help = subcommand
                .get_after_long_help()
                .or(subcommand.get_after_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            let Some((_, table)) = help.split_once("Exit status:") else {
                continue;
            };
            let (table, _) = table.split_once("\n\n").expect("its end");
            let shown = numbers(table);
            assert!(!shown.is_empty(), "{}", subcommand.get_name());
            assert!(shown.iter().all(|number| all.contains(number)), "{shown:?}");
        }
    }
}
