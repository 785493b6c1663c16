//! The processes below this one, as /proc shows them.

use nix::unistd::{Pid, getpid, getsid};

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub id: Pid,
    parent: Pid,
    pub group: Pid,
    session: Pid,
}

/// The living processes that the command has started and that are still its own: all below this process that have not
/// made a session of their own, as a daemon does. The guard is none of them.
pub fn of_command(guard: Pid) -> Vec<Process> {
    let this = getpid();
    let session = getsid(None).unwrap_or(this);
    let all = all();
    let mut below = vec![this];
    let mut seen = 0;
    while let Some(parent) = below.get(seen).copied() {
        seen += 1;
        let children = all.iter().filter(|(process, _)| process.parent == parent);
        below.extend(
            children
                .map(|(process, _)| process.id)
                .filter(|child| *child != guard),
        );
    }
    let mut own: Vec<Process> = Vec::new();
    for (process, lives) in all {
        if lives && process.id != this && process.session == session && below.contains(&process.id)
        {
            own.push(process);
        }
    }
    own
}

/// The system shows the processes.
pub fn are_shown() -> bool {
    look_at(getpid().as_raw()).is_some()
}

/// This process has no child but the guard, and so there is no process below it. False also where the system does not
/// say it.
pub fn has_no_child_but(guard: Pid) -> bool {
    // Orphans become children of the first thread.
    let this = getpid();
    let children = std::fs::read_to_string(format!("/proc/{this}/task/{this}/children"));
    children.is_ok_and(|children| {
        let guard = guard.to_string();
        children.split_whitespace().all(|child| child == guard)
    })
}

/// All processes, and whether each lives: a zombie does not.
fn all() -> Vec<(Process, bool)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(look_at).collect()
}

fn look_at(pid: i32) -> Option<(Process, bool)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // 1234 (any name) S parent group session ...
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?;
    let mut number = || words.next()?.parse().ok().map(Pid::from_raw);
    let process = Process {
        id: Pid::from_raw(pid),
        parent: number()?,
        group: number()?,
        session: number()?,
    };
    Some((process, !matches!(state, "Z" | "X")))
}
