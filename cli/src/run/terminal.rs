//! The terminal, and job control: the command has the foreground as if the shell had started it.

use std::fs::File;
use std::io::IsTerminal as _;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Pid, getpgrp, getpid, tcgetpgrp, tcsetpgrp};

/// The controlling terminal of this process.
pub struct Terminal(File);

impl Terminal {
    /// The terminal; None: this process has none, as under cron.
    pub fn open() -> Option<Terminal> {
        File::open("/dev/tty").ok().map(Terminal)
    }

    /// The process group of the shell's job, to which this process belongs, has the foreground.
    pub fn is_ours(&self) -> bool {
        self.belongs_to(getpgrp())
    }

    /// The group has the foreground.
    pub fn belongs_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0) == Ok(group)
    }

    /// The terminal, if the command is to have the foreground from its start: its input is the terminal, and its
    /// output does not go to another program of the same job, which may need the keyboard itself, as a pager does.
    pub fn for_command(&self) -> Option<File> {
        let output =
            fstat(std::io::stdout()).map_or(0, |output| output.st_mode & SFlag::S_IFMT.bits());
        let to_program = output == SFlag::S_IFIFO.bits();
        if !std::io::stdin().is_terminal() || to_program || !self.is_ours() {
            return None;
        }
        self.0.try_clone().ok()
    }

    /// Gives the foreground to a group. SIGTTOU is blocked, so that the call works from the background.
    pub fn give_to(&self, group: Pid) {
        let _ = tcsetpgrp(&self.0, group);
    }

    /// Takes the foreground back, if the group has it. Answers whether it had.
    pub fn take_from(&self, group: Pid) -> bool {
        let had = self.belongs_to(group);
        if had {
            self.give_to(getpgrp());
        }
        had
    }
}

/// The processes that get a signal of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The shell's job, of which this process is one.
    Job,
    /// This process.
    This,
}

/// Does to the shell's job or to this process what a signal does by default. For a stop this returns when the
/// job is continued.
pub fn default_action(signal: Signal, to: To) {
    let mut alone = SigSet::empty();
    alone.add(signal);
    let mut before = SigSet::empty();
    if sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&alone), Some(&mut before)).is_ok() {
        let _ = match to {
            To::Job => killpg(getpgrp(), signal),
            To::This => kill(getpid(), signal),
        };
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}
