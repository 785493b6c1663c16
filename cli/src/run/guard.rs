//! The guard: a second process that ends the command's group when this one cannot.
//!
//! The parent-death signal of the kernel reaches the command alone, and not what the command has started. It also
//! does not help while this process is stopped and renews nothing. So a small process, forked before anything else is
//! done, holds the reading end of a pipe. It kills the group when the pipe ends, which is when this process dies,
//! however that happens; and at the instant that this process has told it, which is a moment before the lease ends. At
//! that instant the guard also kills what has left the group, which it finds below this process.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::rc::Rc;
use std::time::Duration;

use consul_lock::clock::Time;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_name;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, close, getpid, setpgid};

use super::processes::Earlier;
use super::sys;

/// A message: the group as four bytes, 0 for none, and eight bytes with the instant, 0 for none.
const MESSAGE: usize = 12;

/// How often the guard looks for what it has to kill, and the time between two looks. A process of another user stays.
const ROUNDS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The guard, as this process sees it.
pub struct Guard {
    pid: Pid,
    earlier: Rc<Earlier>,
    pipe: PipeWriter,
    told: (i32, u64),
    has_ended: bool,
}

impl Guard {
    /// Starts the guard. This process has one thread so far.
    pub fn start() -> io::Result<Guard> {
        let earlier = Rc::new(Earlier::note());
        let (reader, writer) = io::pipe()?;
        let writer_number = writer.as_raw_fd();
        let pid = sys::fork_and_run(|| {
            let _ = close(writer_number);
            stand(reader, &earlier);
        })?;
        Ok(Guard {
            pid,
            earlier,
            pipe: writer,
            told: (0, 0),
            has_ended: false,
        })
    }

    /// Its pid.
    pub fn id(&self) -> Pid {
        self.pid
    }

    /// The processes that were below this one before the guard.
    pub fn earlier(&self) -> Rc<Earlier> {
        self.earlier.clone()
    }

    /// The instant has come: the guard has killed the group, or is about to.
    pub fn has_acted(&self) -> bool {
        let (_, until) = self.told;
        until != 0 && Time::now().0 >= until
    }

    /// Has the guard kill the group at an instant, or when this process dies.
    pub fn watch(&mut self, group: Pid, until: Option<Time>) {
        self.tell(group.as_raw(), until.map_or(0, |until| until.0));
    }

    fn tell(&mut self, group: i32, until: u64) {
        if self.told == (group, until) {
            return;
        }
        self.told = (group, until);
        // A guard that an operator has killed hears nothing. The parent-death signal is left.
        let _ = self.pipe.write_all(&message(group, until));
    }

    /// The way to the guard for the command, which introduces itself before it starts its program: else this process
    /// could be stopped or killed before it has told the guard of the command.
    pub fn way(&self) -> io::Result<PipeWriter> {
        self.pipe.try_clone()
    }

    /// The command has introduced itself.
    pub fn was_told(&mut self, group: Pid, until: Option<Time>) {
        self.told = (group.as_raw(), until.map_or(0, |until| until.0));
    }

    /// A child of this process has ended.
    pub fn saw_end_of(&mut self, child: Pid) {
        self.has_ended |= child == self.pid;
    }

    /// Ends the guard: the group has ended.
    pub fn dismiss(&mut self) {
        self.tell(0, 0);
        if !std::mem::replace(&mut self.has_ended, true) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}

/// Introduces this process to the guard. Allocates nothing: the process has just been forked.
pub fn introduce(mut way: &PipeWriter, until: Option<Time>) -> io::Result<()> {
    way.write_all(&message(
        getpid().as_raw(),
        until.map_or(0, |until| until.0),
    ))
}

fn message(group: i32, until: u64) -> [u8; MESSAGE] {
    let [a, b, c, d] = group.to_ne_bytes();
    let [e, f, g, h, i, j, k, l] = until.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// What the guard does.
fn stand(reader: PipeReader, earlier: &Earlier) {
    // No signal that is meant for the command or for this program ends the guard, except KILL.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let _ = set_name(c"lock-guard");
    close_all_but(&reader);
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    if let Ok(timer) = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags) {
        watch(reader, &timer, earlier);
    }
}

/// Waits for the end of the pipe, and for the instant.
fn watch(mut reader: PipeReader, timer: &TimerFd, earlier: &Earlier) {
    let mut group = None;
    loop {
        let mut sources =
            [reader.as_fd(), timer.as_fd()].map(|source| PollFd::new(source, PollFlags::POLLIN));
        match poll(&mut sources, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return end(group, earlier),
            Ok(_) => {}
        }
        // The pipe comes first: a lease that was extended is not over.
        let [pipe, _] = sources.map(|source| source.any().unwrap_or(true));
        if !pipe {
            end(group.take(), earlier);
            let _ = timer.unset();
            continue;
        }
        let mut message = [0; MESSAGE];
        if reader.read_exact(&mut message).is_err() {
            return end(group, earlier);
        }
        let [a, b, c, d, rest @ ..] = message;
        let number = i32::from_ne_bytes([a, b, c, d]);
        group = (number > 0).then(|| Pid::from_raw(number));
        let _ = match u64::from_ne_bytes(rest) {
            0 => timer.unset(),
            until => {
                let at = Expiration::OneShot(Duration::from_nanos(until).into());
                timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
        };
    }
}

/// Kills the group, and the processes of the command that have left the group. When the parent of the guard has died,
/// its orphans are below another process, and the group alone can be found.
fn end(group: Option<Pid>, earlier: &Earlier) {
    let Some(group) = group else {
        return;
    };
    let _ = killpg(group, Signal::SIGKILL);
    // More than once: a process may have been forked, or may have lost its parent, while the guard looked.
    for _ in 0..ROUNDS {
        let left = earlier.of_command(getpid());
        if left.is_empty() {
            return;
        }
        for process in left {
            let _ = kill(process.id, Signal::SIGKILL);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Closes what this process has inherited: a reader of a pipe waits until its last writer has closed it.
fn close_all_but(kept: &PipeReader) {
    let kept = kept.as_raw_fd();
    let numbers: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(open) => {
            let names = open.flatten().map(|entry| entry.file_name());
            names
                .filter_map(|name| name.to_str()?.parse().ok())
                .collect()
        }
        // No /proc.
        Err(_) => (0..1024).collect(),
    };
    for number in numbers.into_iter().filter(|number| *number != kept) {
        let _ = close(number);
    }
}
