//! The command as a process: what goes in, what comes out, and how it ends.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, Signal, kill};
use nix::unistd::Pid;

use super::consul::{Consul, until};
use super::stopped::stands_still;

/// How long a process may take for what it is expected to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable by which the processes are known that a command has started, and those that these have started.
const MARK: &str = "TEST_MARK";

/// `consul-lock ARGS`, with the Consul in its environment and no other variable for Consul.
pub(crate) fn consul_lock(consul: &Consul, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consul-lock"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(name);
        }
    }
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mark = format!("{}-{number}", std::process::id());
    command
        .args(args)
        .env(MARK, mark)
        .env("CONSUL_HTTP_ADDR", consul.address());
    command
}

/// Has the process start with the default disposition of each signal, as from a terminal. A test run under `nohup`, or in
/// the background of a shell without job control, ignores some of them, and its children would inherit that.
pub(crate) fn heeds_signals(command: &mut Command) -> &mut Command {
    let heed = || {
        for signal in Signal::iterator() {
            if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
                continue;
            }
            #[allow(unsafe_code)]
            // SAFETY: the default is no handler of this program.
            unsafe {
                nix::sys::signal::signal(signal, SigHandler::SigDfl)?;
            }
        }
        Ok(())
    };
    #[allow(unsafe_code)]
    // SAFETY: the closure makes system calls, which a child may make after a fork, and nothing else.
    unsafe {
        command.pre_exec(heed)
    }
}

/// The processes with the mark of a command, the command itself included; no zombies.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let has_mark = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    };
    pids.filter(has_mark).filter(|pid| is_alive(*pid)).collect()
}

/// The process is there, and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    // 1234 (sleep) S ...
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Sends a signal to a process that the test started. A process that is stopped stands still when this returns.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let raw = Pid::from_raw(i32::try_from(pid).expect("a pid"));
    kill(raw, signal).expect("a process of this test");
    if signal == Signal::SIGSTOP {
        stands_still(pid);
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From the start to the end.
    pub(crate) took: Duration,
    pub(crate) pid: u32,
    mark: String,
}

impl Ended {
    /// No process that it started is left, at the latest after a moment.
    #[track_caller]
    pub(crate) fn leaves_no_process(&self) {
        until(&format!("no process of {} is left", self.mark), || {
            marked(&self.mark).is_empty()
        });
    }

    /// Its exit status. It was not ended by a signal.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// It ended with this status.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

type Heard = (Arc<Mutex<Vec<u8>>>, JoinHandle<()>);

/// A process that runs, and whose output is heard. Dropped, it is dead.
pub(crate) struct Running {
    child: Child,
    pub(crate) mark: String,
    begun: Instant,
    stdin: Option<ChildStdin>,
    stdout: Option<Heard>,
    stderr: Option<Heard>,
}

fn hear(mut from: impl Read + Send + 'static) -> Heard {
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let into = heard.clone();
    let listener = thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(size @ 1..) = from.read(&mut part) {
            into.lock().expect("not poisoned").extend(&part[..size]);
        }
    });
    (heard, listener)
}

fn text(heard: Option<&Heard>) -> String {
    heard.map_or_else(String::new, |(heard, _)| {
        String::from_utf8_lossy(&heard.lock().expect("not poisoned")).into_owned()
    })
}

impl Running {
    /// Starts the command. Its input is empty, unless [`Running::start_with_input`] is used.
    pub(crate) fn start(command: &mut Command) -> Running {
        Running::spawn(command.stdin(Stdio::null()))
    }

    /// As [`Running::start`], with an input that [`Running::input`] writes.
    pub(crate) fn start_with_input(command: &mut Command) -> Running {
        Running::spawn(command.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Running {
        let begun = Instant::now();
        let mark = command.get_envs().find(|(name, _)| *name == MARK);
        let mark = mark
            .and_then(|(_, value)| value?.to_str())
            .unwrap_or_default()
            .to_owned();
        let mut child = heeds_signals(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command");
        Running {
            mark,
            begun,
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(hear),
            stderr: child.stderr.take().map(hear),
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its input, to write to or to close by a drop.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.stdin.take().expect("an input")
    }

    /// What it has written to its standard output.
    pub(crate) fn stdout(&self) -> String {
        text(self.stdout.as_ref())
    }

    /// What it has written to its standard error.
    pub(crate) fn stderr(&self) -> String {
        text(self.stderr.as_ref())
    }

    /// Waits until its standard output has these words.
    #[track_caller]
    pub(crate) fn prints(&self, words: &str) {
        let said = || self.stdout().contains(words);
        until(&format!("{words:?} on stdout; {}", self.stderr()), said);
    }

    /// Waits until its standard error has these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        until(&format!("{words:?} on stderr"), || {
            self.stderr().contains(words)
        });
    }

    /// The numbers in the first line of its standard output, as of `echo $$`.
    #[track_caller]
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.prints("\n");
        let text = self.stdout();
        let line = text.lines().next().unwrap_or_default();
        let pids = line.split_whitespace().map(|word| word.parse().ok());
        let pids: Option<Vec<u32>> = pids.collect();
        pids.unwrap_or_else(|| panic!("{text:?} are no pids"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        super::process::signal(self.pid(), signal);
    }

    /// It has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for its end, and for the end of its outputs: no process that it started may still have them.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                break status;
            }
            let said = (self.stdout(), self.stderr());
            assert!(Instant::now() < deadline, "it never ends: {said:?}");
            thread::sleep(Duration::from_millis(5));
        };
        let took = self.begun.elapsed();
        for heard in [&self.stdout, &self.stderr].into_iter().flatten() {
            let pid = self.child.id();
            until(&format!("the outputs of {pid} are closed"), || {
                heard.1.is_finished()
            });
        }
        Ended {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
            took,
            pid: self.child.id(),
            mark: self.mark.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
