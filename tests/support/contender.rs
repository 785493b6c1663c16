//! A process that takes locks again and again: the test program itself, once more. The kernel is the witness: while a
//! contender has a lock it has a file locked (flock), which ends with the process.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use consul_lock::client::{Client, shutdown};
use consul_lock::error::{Error, Status};
use consul_lock::lock::Lock;
use consul_lock::options::Options;
use serde_json::{Value as Json, json};

use super::prelude::client;
use super::stopped::stands_still;

/// Set in the process of a contender: its plan.
const PLAN: &str = "TEST_CONTENDER";

/// What a contender does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes the key alone.
    Exclusive,
    /// Shares the key.
    Reader,
    /// Shares the key with a limit of two.
    Permit,
    /// Takes two keys of four below the key.
    Several,
    /// Shares the key, upgrades if it can, and downgrades.
    Changer,
    /// Takes so many shares at once, and keeps them until its input ends.
    Crowd(usize),
}

/// How many may share the key of those with a limit.
pub(crate) const LIMIT: &str = "2";

/// The plan of a contender.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pub(crate) key: String,
    pub(crate) role: Role,
    /// How long it has the lock each time.
    pub(crate) hold: Duration,
    pub(crate) ttl_seconds: u64,
    /// Where the witness has its files; None: the contender is stopped for longer than its lease, which no witness
    /// understands.
    pub(crate) witness: Option<PathBuf>,
}

impl Plan {
    /// The options of the contender's locks.
    fn options(&self) -> Options {
        let mut options = Options::new();
        let ttl = self.ttl_seconds.to_string();
        let mut set = |name, value: &str| options.set(name, value).expect("an option");
        set("acquire_timeout_ms", "-1");
        set("lock_timeout_seconds", &ttl);
        match self.role {
            Role::Exclusive | Role::Several => {}
            Role::Reader | Role::Changer | Role::Crowd(_) => set("mode", "share"),
            Role::Permit => {
                set("mode", "share");
                set("limit", LIMIT);
            }
        }
        options
    }

    fn to_json(&self) -> String {
        let (role, count) = match self.role {
            Role::Exclusive => ("exclusive", 0),
            Role::Reader => ("reader", 0),
            Role::Permit => ("permit", 0),
            Role::Several => ("several", 0),
            Role::Changer => ("changer", 0),
            Role::Crowd(count) => ("crowd", count),
        };
        json!({
            "address": self.address,
            "key": self.key,
            "role": role,
            "count": count,
            "hold_ms": u64::try_from(self.hold.as_millis()).expect("a short time"),
            "ttl": self.ttl_seconds,
            "witness": self.witness,
        })
        .to_string()
    }

    fn from_json(text: &str) -> Plan {
        let json: Json = serde_json::from_str(text).expect("a plan");
        let text = |name: &str| json[name].as_str().expect(name).to_owned();
        let number = |name: &str| json[name].as_u64().expect(name);
        Plan {
            address: text("address"),
            key: text("key"),
            role: match json["role"].as_str() {
                Some("exclusive") => Role::Exclusive,
                Some("reader") => Role::Reader,
                Some("permit") => Role::Permit,
                Some("several") => Role::Several,
                Some("changer") => Role::Changer,
                Some("crowd") => Role::Crowd(usize::try_from(number("count")).expect("a count")),
                other => panic!("{other:?}"),
            },
            hold: Duration::from_millis(number("hold_ms")),
            ttl_seconds: number("ttl"),
            witness: json["witness"].as_str().map(PathBuf::from),
        }
    }
}

/// In the process of a contender: contends, and answers true when it is over.
///
/// `if has_contended() { return; }` is the first line of a test that starts contenders.
pub(crate) fn has_contended() -> bool {
    let Ok(plan) = std::env::var(PLAN) else {
        return false;
    };
    let plan = Plan::from_json(&plan);
    let client = client(&plan.address, &[]);
    if let Role::Crowd(count) = plan.role {
        crowd(&plan, &client, count);
    } else {
        contend(&plan, &client);
    }
    drop(client);
    let _ = shutdown(Duration::from_secs(10));
    true
}

/// Not by `println`, which belongs to the test and not to the process.
fn say(line: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

/// Becomes true when the input of this process ends.
fn end_of_input() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let tell = ended.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        tell.store(true, Ordering::SeqCst);
    });
    ended
}

fn contend(plan: &Plan, client: &Client) {
    let is_over = end_of_input();
    let mut turn = std::process::id();
    say("ready");
    while !is_over.load(Ordering::SeqCst) {
        turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let places = match plan.role {
            Role::Several => {
                let first = turn >> 8 & 3;
                vec![first, (first + 1 + (turn >> 16) % 3) & 3]
            }
            _ => Vec::new(),
        };
        let keys: Vec<String> = match &places[..] {
            [] => vec![plan.key.clone()],
            places => places
                .iter()
                .map(|place| format!("{}/{place}", plan.key))
                .collect(),
        };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let lock = Lock::new_all(&keys, Some(&plan.options()), Some(client)).expect("a lock");
        let told = Box::new(|reason| say(&format!("lost {reason:?}")));
        lock.set_lost_callback(Some(told)).expect("a callback");
        let begun = Instant::now();
        if let Err(error) = lock.acquire() {
            failed("acquire", &error);
            continue;
        }
        say(&format!("has after {}", begun.elapsed().as_millis()));
        let files = plan.witness.as_deref();
        let witnessed = files.map(|files| enter(files, plan, &lock, &places));
        stay(plan, &is_over);
        if plan.role == Role::Changer {
            drop(witnessed);
            change(plan, &lock);
        } else {
            drop(witnessed);
        }
        if let Err(error) = lock.release() {
            failed("release", &error);
        } else {
            say("gone");
        }
    }
}

/// Stays for the time of a hold; a long one ends with the input.
fn stay(plan: &Plan, is_over: &AtomicBool) {
    let begun = Instant::now();
    loop {
        let left = plan.hold.saturating_sub(begun.elapsed());
        if left.is_zero() || (plan.hold > Duration::from_secs(5) && is_over.load(Ordering::SeqCst))
        {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

/// Upgrades the share if it can, and downgrades. The witness has no such step: so the contender is no reader while the
/// change is under way.
fn change(plan: &Plan, lock: &Lock) {
    match lock.upgrade(500) {
        Ok(()) => {
            let file = plan.witness.as_deref().map(|files| alone(files, "all"));
            thread::sleep(plan.hold);
            drop(file);
            if let Err(error) = lock.downgrade() {
                failed("downgrade", &error);
            }
        }
        Err(error) if error.status == Status::NotAcquired => {}
        Err(error) => failed("upgrade", &error),
    }
}

fn failed(what: &str, error: &Error) {
    say(&format!("failed {what} {:?}: {error}", error.status));
    thread::sleep(Duration::from_millis(20));
}

/// Locks the files of the lock. A file that another process has locked against it is an overlap.
fn enter(files: &Path, plan: &Plan, lock: &Lock, places: &[u32]) -> Vec<File> {
    match plan.role {
        Role::Exclusive => vec![alone(files, "all")],
        Role::Reader | Role::Changer | Role::Crowd(_) => vec![beside(files, "all")],
        Role::Permit => {
            let slot = lock.slot().expect("a slot");
            assert!(slot.to_string().as_str() < LIMIT, "slot {slot}");
            vec![beside(files, "all"), alone(files, &format!("slot-{slot}"))]
        }
        Role::Several => {
            let place = |place: &u32| alone(files, &format!("place-{place}"));
            places.iter().map(place).collect()
        }
    }
}

fn alone(files: &Path, name: &str) -> File {
    locked(files, name, libc::LOCK_EX)
}

fn beside(files: &Path, name: &str) -> File {
    locked(files, name, libc::LOCK_SH)
}

#[allow(unsafe_code)] // std has no flock in the oldest Rust that builds this
fn locked(files: &Path, name: &str, how: i32) -> File {
    let mut open = OpenOptions::new();
    open.create(true).write(true).truncate(false);
    let file = open.open(files.join(name)).expect("a file of the witness");
    // SAFETY: the descriptor is that of an open file.
    let taken = unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) };
    if taken != 0 {
        say(&format!("overlap at {name}"));
    }
    file
}

fn crowd(plan: &Plan, client: &Client, count: usize) {
    let is_over = end_of_input();
    let make = || Lock::new(&plan.key, Some(&plan.options()), Some(client)).expect("a lock");
    let locks: Vec<Lock> = (0..count).map(|_| make()).collect();
    say("ready");
    for lock in &locks {
        if let Err(error) = lock.acquire() {
            failed("acquire", &error);
        }
    }
    say("has all");
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    for lock in &locks {
        if let Err(error) = lock.release() {
            failed("release", &error);
        }
    }
    say("gone");
}

/// A contender that runs. Dropped, it is dead.
pub(crate) struct Contender {
    child: Child,
    /// Closed, it tells the contender to end.
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<(Instant, String)>>>,
    listener: JoinHandle<()>,
    pub(crate) plan: Plan,
}

impl Contender {
    /// Starts a contender. `test`: the test that does so, which begins with [`has_contended`].
    pub(crate) fn start<Test: Fn()>(_test: Test, plan: Plan) -> Contender {
        let name = std::any::type_name::<Test>();
        let (_, name) = name.split_once("::").expect("program::module::test");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(PLAN, plan.to_json())
            .env_remove("CONSUL_HTTP_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program, again");
        let said: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let heard = said.clone();
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let listener = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut heard = heard.lock().expect("not poisoned");
                heard.push((Instant::now(), line));
            }
        });
        Contender {
            input: child.stdin.take(),
            child,
            said,
            listener,
            plan,
        }
    }

    /// What it has said.
    pub(crate) fn lines(&self) -> Vec<String> {
        let said = self.said.lock().expect("not poisoned");
        said.iter().map(|(_, line)| line.clone()).collect()
    }

    pub(crate) fn has_said(&self, word: &str) -> bool {
        self.lines().iter().any(|line| line.starts_with(word))
    }

    /// It has a lock at this moment, as far as it said.
    pub(crate) fn is_in(&self) -> bool {
        let lines = self.lines();
        lines.last().is_some_and(|line| line.starts_with("has"))
    }

    /// How often it got the lock since an instant.
    pub(crate) fn grants_since(&self, since: Instant) -> usize {
        let said = self.said.lock().expect("not poisoned");
        let since = said.iter().filter(|(at, _)| *at >= since);
        since.filter(|(_, line)| line.starts_with("has")).count()
    }

    /// The longest wait for a lock that it got.
    pub(crate) fn longest_wait(&self) -> Duration {
        let lines = self.lines();
        let waits = lines.iter().filter_map(|line| {
            let ms = line.strip_prefix("has after ")?;
            Some(Duration::from_millis(ms.parse().ok()?))
        });
        waits.max().unwrap_or_default()
    }

    /// Stopped, it stands still when this returns.
    #[allow(unsafe_code)] // std sends no other signal than KILL
    pub(crate) fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: a child of ours that was not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        if signal == libc::SIGSTOP {
            stands_still(self.child.id());
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Tells it to end.
    pub(crate) fn end_input(&mut self) {
        drop(self.input.take());
    }

    /// Has it ended well, and has all that it said been heard?
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child of ours");
        ended.is_some_and(|status| {
            assert!(status.success(), "{status}: {:?}", self.lines());
            self.listener.is_finished()
        })
    }

    /// The witness has seen no overlap.
    #[track_caller]
    pub(crate) fn overlaps_nobody(&self) {
        let lines = self.lines();
        let overlap = lines.iter().find(|line| line.starts_with("overlap"));
        assert_eq!(overlap, None, "{:?}", self.plan);
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.kill();
    }
}
