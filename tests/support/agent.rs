//! One `consul agent` process that cannot outlive the tests.
//!
//! A shell stands between: it starts the agent and waits for the end of its own standard input,
//! the other end of which this process holds. However this process ends, be it by a `kill -9`, the
//! shell then kills the agent, its own child, and removes the folder. That also serves an agent in
//! a `static`, which Rust never drops.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::stopped::stands_still;

/// `$1` is the log, `$2` the folder to remove at the end unless told to keep it, the rest the
/// command. Only the agent keeps descriptor 3 open, so a reader of its other end sees the end of
/// the data when the agent ends.
const SHELL: &str = r#"
exec 3>&1 >/dev/null
log=$1 folder=$2
shift 2
"$@" >>"$log" 2>&1 </dev/null &
agent=$!
echo "$agent" >&3
exec 3>&-
while read -r word; do [ "$word" != keep ] || folder=; done
kill -s KILL "$agent"
wait "$agent"
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// A running agent. Dropped, it is dead.
pub(crate) struct Agent {
    pid: u32,
    shell: Child,
    /// Closed, it tells the shell to end the agent.
    leash: Option<ChildStdin>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Agent {
    /// Starts a program in `folder`, which is removed with the agent.
    pub(crate) fn start(program: &Path, args: &[String], folder: &Path) -> Agent {
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "consul-of-a-test"])
            .arg(log_file(folder))
            .arg(folder)
            .arg(program)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Out of the reach of a Ctrl-C: the shell lives to clean up.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let leash = shell.stdin.take();
        let mut told = BufReader::new(shell.stdout.take().expect("piped"));
        let mut line = String::new();
        told.read_line(&mut line).expect("the agent's pid");
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let tell = Arc::clone(&ended);
        std::thread::spawn(move || {
            let _ = told.read_to_end(&mut Vec::new());
            *tell.0.lock().expect("not poisoned") = true;
            tell.1.notify_all();
        });
        Agent {
            pid: line.trim().parse().expect("the agent's pid"),
            shell,
            leash,
            ended,
        }
    }

    /// Of the agent itself, not of the shell.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Has it ended, by itself or killed?
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.0.lock().expect("not poisoned")
    }

    /// `kill -9`; returns when it is dead. Its folder stays until the drop.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
        let ended = self.ended.0.lock().expect("not poisoned");
        let limit = Duration::from_secs(10);
        let waited = self
            .ended
            .1
            .wait_timeout_while(ended, limit, |ended| !*ended);
        let (ended, _) = waited.expect("not poisoned");
        assert!(*ended, "agent {} survives a kill -9", self.pid);
    }

    /// Kills it, and leaves its folder to the next agent.
    pub(crate) fn kill_and_keep_folder(&mut self) {
        self.kill();
        let leash = self.leash.as_mut().expect("not dropped");
        leash.write_all(b"keep\n").expect("a shell that listens");
    }

    /// Stops the agent without ending it: connections stay open, the kernel accepts more, and no
    /// request gets an answer.
    /// Returns when it stands still.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
        stands_still(self.pid);
    }

    /// Has it go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// The pid is that of a child that the shell has not waited for: no other process can have it.
    fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "sh", name])
            .arg(self.pid.to_string())
            .status();
        assert!(
            status.expect("a shell").success(),
            "cannot signal {}",
            self.pid
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.shell.wait();
    }
}

/// `CONSUL_BIN`, else what `scripts/get-consul` finds or gets.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("CONSUL_BIN") {
            let binary = PathBuf::from(binary);
            // A plain name is looked up on the PATH; a path is not that of the agent's folder.
            return if binary.components().count() > 1 {
                std::path::absolute(&binary).expect("a path")
            } else {
                binary
            };
        }
        let script = super::root().join("scripts/get-consul");
        let found = Command::new(&script).stderr(Stdio::inherit()).output();
        let found = found.expect("get-consul");
        assert!(found.status.success(), "{} found none", script.display());
        String::from_utf8_lossy(&found.stdout).trim().into()
    })
}

/// Major and minor version of the Consul that the tests run against.
pub(crate) fn version() -> (u32, u32) {
    static VERSION: OnceLock<(u32, u32)> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let output = Command::new(binary()).arg("version").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        // Consul v1.8.7+dfsg1
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text.split_once('v').map_or("", |(_, rest)| rest);
        let mut numbers = numbers.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => panic!("{} says its version as: {text}", binary().display()),
        }
    })
}

/// The command `consul-lock` that TEST_CONSUL_DEV names. Where a test needs no settings of Consul, it then runs beside
/// `consul-lock dev` instead of a real Consul.
pub(crate) fn stand_in() -> Option<PathBuf> {
    let command = PathBuf::from(std::env::var_os("TEST_CONSUL_DEV")?);
    Some(std::path::absolute(command).expect("a path"))
}

/// What every agent of a test gets: no port but those that are asked for, nothing that leaves
/// loopback, and no Raft write of its own accord while others are counted.
pub(crate) fn common_args(node: &str) -> Vec<String> {
    let mut args: Vec<String> = [
        "agent",
        "-client=127.0.0.1",
        "-dns-port=-1",
        "-https-port=-1",
        "-grpc-port=-1",
        "-serf-wan-port=-1",
        "-log-level=err",
        "-hcl=disable_update_check = true",
        "-hcl=disable_coordinates = true",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("-node={node}"));
    if version() >= (1, 14) {
        args.push("-grpc-tls-port=-1".to_owned());
    }
    args
}

/// A new folder for an agent's files.
pub(crate) fn temporary_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("consul_lock-test-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    // Left by a process of the same number whose machine was switched off.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// Where an agent's output goes.
fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// The end of an agent's log, for the text of a failure.
pub(crate) fn log(folder: &Path) -> String {
    let text = fs::read(log_file(folder)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
