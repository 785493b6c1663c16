//! The calls of the system for which nix and std have no safe form.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, PipeWriter};
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};

use consul_lock::clock::Time;
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, tcsetpgrp};

use super::guard::introduce;

/// The caller of the program has it ignore SIGPIPE.
static IGNORED_PIPE: AtomicBool = AtomicBool::new(false);

/// Notes what SIGPIPE does: before `main`, the runtime of Rust has this process ignore it.
extern "C" fn note_pipe_signal() {
    let now = disposition(Signal::SIGPIPE);
    let is_ignored = now.is_some_and(|now| matches!(now.handler(), SigHandler::SigIgn));
    IGNORED_PIPE.store(is_ignored, Ordering::Relaxed);
}

/// The loader calls the functions of this section before the runtime of Rust starts.
// SAFETY: the section is a table of such functions. This one makes one system call, and needs no runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_PIPE_SIGNAL: extern "C" fn() = note_pipe_signal;

/// What a signal does in this process.
pub fn disposition(signal: Signal) -> Option<SigAction> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one to `now`.
    let told = unsafe { libc::sigaction(signal as i32, std::ptr::null(), now.as_mut_ptr()) };
    if told != 0 {
        return None;
    }
    // SAFETY: the call has filled `now`.
    let now = unsafe { now.assume_init() };
    let handler = match now.sa_sigaction {
        libc::SIG_IGN => SigHandler::SigIgn,
        _ => SigHandler::SigDfl,
    };
    Some(SigAction::new(handler, SaFlags::empty(), SigSet::empty()))
}

/// Has a signal do what it does by default, or nothing.
pub fn set_disposition(signal: Signal, action: &SigAction) {
    // SAFETY: the action has no handler.
    let _ = unsafe { sigaction(signal, action) };
}

/// Forks, and runs `child` in the child, which then ends.
pub fn fork_and_run(child: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: the process has one thread: `run` forks before it uses the library.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            child();
            // SAFETY: ends the process at once. What the parent registered for its own end does not run.
            unsafe { libc::_exit(0) }
        }
    }
}

/// What a child does between its fork and the start of its program.
pub struct Prelude {
    /// The signal mask of the program.
    pub mask: SigSet,
    /// What SIGCHLD does in the program.
    pub child_signal: Option<SigAction>,
    /// The terminal whose foreground the child takes.
    pub terminal: Option<File>,
    /// The way to the guard, and the instant at which the guard is to kill the child.
    pub guard: PipeWriter,
    pub until: Option<Time>,
}

/// Has the child, in a process group of its own, die with this process, introduce itself to the guard, and take the
/// terminal.
pub fn prepare(command: &mut Command, prelude: Prelude) {
    let parent = getpid();
    let before_exec = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            // The parent has died before the line above.
            return Err(Errno::ESRCH.into());
        }
        introduce(&prelude.guard, prelude.until)?;
        if prelude.until.is_some_and(|until| Time::now() >= until) {
            // This process was stopped since the lock was acquired, and the lock may be another's by now.
            return Err(Errno::ETIME.into());
        }
        if let Some(terminal) = &prelude.terminal {
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTOU);
            sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop), None)?;
            // A terminal that was hung up meanwhile is no reason not to run.
            let _ = tcsetpgrp(terminal, getpid());
        }
        if let Some(action) = &prelude.child_signal {
            set_disposition(Signal::SIGCHLD, action);
        }
        if IGNORED_PIPE.load(Ordering::Relaxed) {
            // `Command` has put back the default, which is right for all other callers.
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            set_disposition(Signal::SIGPIPE, &ignore);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&prelude.mask), None)?;
        Ok(())
    };
    command.process_group(0);
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
}

/// A child that has ended, stopped or continued.
pub fn next_change() -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // Not nix's waitpid: it has no word for a child that a real-time signal ended.
    // SAFETY: `status` is writable for the length of the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, options) };
    (pid > 0).then(|| (Pid::from_raw(pid), ExitStatus::from_raw(status)))
}

/// The descriptor of that number, which the caller of the program has opened; the children of this process do not
/// get it.
pub fn inherited(number: RawFd) -> io::Result<File> {
    // SAFETY: the call takes a number, and fails if no file is open under it.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    if number > 2 {
        // SAFETY: the file is open, and nothing else in this process knows its number.
        unsafe { libc::close(number) };
    }
    // SAFETY: the copy was made above, for this file alone.
    Ok(unsafe { File::from_raw_fd(copy) })
}
