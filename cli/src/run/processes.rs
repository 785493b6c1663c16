//! The processes below this one, as /proc shows them.

use nix::unistd::{Pid, getpgrp, getpid, getsid};

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub id: Pid,
    parent: Pid,
    pub group: Pid,
    session: Pid,
    /// When it started, by the clock of the system.
    start: u64,
    /// A zombie does not.
    lives: bool,
}

/// The processes that were below this one before it started anything, by pid and by the time of their start: a pid may
/// be another process's later. A shell that has started something in its background, and then this program in its own
/// place (`exec`), leaves its children to this process.
pub struct Earlier {
    this: Pid,
    session: Pid,
    group: Pid,
    processes: Vec<(Pid, u64)>,
}

impl Earlier {
    /// Notes what is below this process now.
    pub fn note() -> Earlier {
        let this = getpid();
        let mut earlier = Earlier {
            this,
            session: getsid(None).unwrap_or(this),
            group: getpgrp(),
            processes: Vec::new(),
        };
        let all = all();
        earlier.processes = earlier
            .below(&all, this)
            .into_iter()
            .map(|process| (process.id, process.start))
            .collect();
        earlier
    }

    /// The living processes that the command has started and that are still its own: all below the process that noted
    /// the earlier ones, without those, the guard, and what is below them, and without the processes that have made a
    /// session of their own, as a daemon does. The guard may ask, too.
    pub fn of_command(&self, guard: Pid) -> Vec<Process> {
        let mut own = self.below(&all(), guard);
        own.retain(|process| process.lives && process.session == self.session);
        own
    }

    fn below(&self, all: &[Process], guard: Pid) -> Vec<Process> {
        let mut found: Vec<Process> = Vec::new();
        let mut parents = vec![self.this];
        while let Some(parent) = parents.pop() {
            let children = all.iter().filter(|process| process.parent == parent);
            for child in children.filter(|child| child.id != guard && !self.has(child)) {
                parents.push(child.id);
                found.push(*child);
            }
        }
        found
    }

    /// The process is one of the earlier ones, or an orphan of one of them: the command has a group of its own.
    fn has(&self, process: &Process) -> bool {
        let is_orphan = process.parent == self.this && process.group == self.group;
        self.processes.contains(&(process.id, process.start))
            || (is_orphan && !self.processes.is_empty())
    }

    /// The command has left no process below this one. False also where the system does not say it.
    pub fn are_alone(&self, guard: Pid) -> bool {
        // Orphans become children of the first thread.
        let this = self.this;
        let children = std::fs::read_to_string(format!("/proc/{this}/task/{this}/children"));
        let is_other = |child: &str| {
            let Ok(child) = child.parse() else {
                return false;
            };
            child == guard.as_raw() || look_at(child).is_some_and(|process| self.has(&process))
        };
        children.is_ok_and(|children| children.split_whitespace().all(is_other))
    }
}

/// The system shows the processes.
pub fn are_shown() -> bool {
    look_at(getpid().as_raw()).is_some()
}

/// All processes.
fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(look_at).collect()
}

fn look_at(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // 1234 (any name) S parent group session ...
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?;
    let mut number = || words.next()?.parse().ok().map(Pid::from_raw);
    Some(Process {
        id: Pid::from_raw(pid),
        parent: number()?,
        group: number()?,
        session: number()?,
        // The 22nd word of the line; the next one is the 7th.
        start: words.nth(15)?.parse().ok()?,
        lives: !matches!(state, "Z" | "X"),
    })
}
