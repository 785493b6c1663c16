//! The command, and the processes that it starts.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::rc::Rc;

use consul_lock::clock::Time;
use consul_lock::lock::Lock;
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout};

use super::events::Before;
use super::guard::Guard;
use super::plan::{MARGIN, OnLost, Plan};
use super::processes::{Earlier, Process, are_shown};
use super::sys::{self, Prelude};

/// The group of the command, whose leader the command is.
pub struct Group {
    leader: Pid,
    /// The guard, which is none of the command's processes.
    guard: Pid,
    /// The processes below this one that are not the command's, either.
    earlier: Rc<Earlier>,
    /// How the command ended.
    pub status: Option<ExitStatus>,
}

impl Group {
    /// Starts the command under the lock. `terminal`: the terminal whose foreground it gets.
    pub fn start(
        plan: &Plan,
        lock: &Lock,
        before: &Before,
        guard: &mut Guard,
        terminal: Option<File>,
    ) -> io::Result<Group> {
        // What the command leaves behind becomes a child of this process, which sees it end.
        set_child_subreaper(true)?;
        let mut command = Command::new(&plan.program);
        command.args(&plan.arguments);
        // A newline is in no key.
        command.env("CONSUL_LOCK_KEY", lock.keys().join("\n"));
        command.env(
            "CONSUL_LOCK_TOKEN",
            lock.fencing_token().unwrap_or_default().to_string(),
        );
        command.env("CONSUL_LOCK_SESSION", lock.session_id().unwrap_or_default());
        match lock.slot() {
            Some(slot) => command.env("CONSUL_LOCK_SLOT", slot.to_string()),
            // That of an outer `consul-lock run`.
            None => command.env_remove("CONSUL_LOCK_SLOT"),
        };
        let end = Time::now() + lock.remaining().saturating_sub(MARGIN / 2);
        let until = (plan.on_lost == OnLost::Kill).then_some(end);
        let prelude = Prelude {
            guard: guard.way()?,
            until,
            mask: before.mask,
            child_signal: before.child_signal,
            terminal,
        };
        sys::prepare(&mut command, prelude);
        let child = command.spawn()?;
        let leader = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        guard.was_told(leader, until);
        // The other end of a stream sees when the command closes the stream. The standard error stays, for messages.
        if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
            let _ = dup2_stdin(&nothing);
            let _ = dup2_stdout(&nothing);
        }
        Ok(Group {
            leader,
            guard: guard.id(),
            earlier: guard.earlier(),
            status: None,
        })
    }

    /// The group; also the pid of its leader.
    pub fn id(&self) -> Pid {
        self.leader
    }

    /// Sends a signal to each process of the group.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        killpg(self.leader, signal)
    }

    /// Sends a signal to each process of the group, and to those that have left the group, as `timeout` and the jobs of
    /// a shell do, and not the session.
    pub fn signal_all(&self, signal: Signal) -> Result<(), Errno> {
        let mut outcome = match self.signal(signal) {
            Err(Errno::ESRCH) => Ok(()),
            outcome => outcome,
        };
        for process in self
            .left()
            .into_iter()
            .filter(|process| process.group != self.leader)
        {
            if kill(process.id, signal) == Err(Errno::EPERM) {
                outcome = Err(Errno::EPERM);
            }
        }
        outcome
    }

    /// The command has ended, and left no process.
    pub fn has_ended(&self) -> bool {
        let is_empty = || match are_shown() {
            true => self.left().is_empty(),
            false => killpg(self.leader, None) == Err(Errno::ESRCH),
        };
        self.status.is_some() && is_empty()
    }

    /// The processes of the command that live.
    fn left(&self) -> Vec<Process> {
        match self.earlier.are_alone(self.guard) {
            true => Vec::new(),
            false => self.earlier.of_command(self.guard),
        }
    }

    /// Takes in what happened to the children of this process. Answers the signal that stopped the command, if that
    /// is the last that happened to the command.
    pub fn look(&mut self, guard: &mut Guard) -> Option<i32> {
        let mut stop = None;
        while let Some((pid, status)) = sys::next_change() {
            if pid != self.leader {
                if status.stopped_signal().is_none() && !status.continued() {
                    guard.saw_end_of(pid);
                }
                continue;
            }
            stop = status.stopped_signal();
            if stop.is_none() && !status.continued() {
                self.status = Some(status);
            }
        }
        stop
    }
}
