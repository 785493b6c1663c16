//! Programs that take and give back locks as they are told, by the contract of
//! benches/peers/README.md.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How the bench starts a program. The address and the key come behind the words.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) words: Vec<OsString>,
    /// The arguments behind address and key.
    pub(crate) more: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Program {
    /// A program, or the script that it runs. A name without a slash is looked for on the PATH.
    pub(crate) fn at(name: &str, program: &Path, script: Option<&Path>) -> Program {
        let words = [Some(program), script].into_iter().flatten();
        for file in words.clone().filter(|word| word.components().count() > 1) {
            let what = file.display();
            assert!(file.exists(), "{what} is not there: see scripts/bench");
        }
        Program {
            name: name.to_owned(),
            words: words.map(Into::into).collect(),
            more: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With a variable of the environment.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Program {
        self.environment.push((name, value.into()));
        self
    }
}

/// A line that a program prints. Instants are those of [`super::clock`].
#[derive(Debug)]
pub(crate) enum Said {
    Ready,
    /// When acquire was called and when it returned.
    Acquired {
        contender: usize,
        begun: u64,
        at: u64,
    },
    /// When release was called and when it returned.
    Released {
        contender: usize,
        begun: u64,
        at: u64,
    },
    /// The time of each cycle in µs.
    Cycles(Vec<f64>),
    Failed {
        contender: usize,
        why: String,
    },
    /// How many HTTP requests the contender has sent so far.
    Requests {
        contender: usize,
        count: u64,
    },
    /// The program has ended.
    Gone,
}

/// Contenders in one or more processes. A drop kills the processes; [`super::servers::Servers::sweep`] then removes their
/// sessions.
pub(crate) struct Crowd {
    processes: Vec<Process>,
    threads: usize,
    program: Program,
    place: (String, String),
    said: Receiver<Said>,
    tell: Sender<Said>,
}

struct Process {
    child: Child,
    stdin: ChildStdin,
}

impl Crowd {
    /// Starts the processes and waits until all are ready.
    pub(crate) fn gather(
        program: &Program,
        address: &str,
        key: &str,
        processes: usize,
        threads: usize,
    ) -> Crowd {
        let (tell, said) = channel();
        let mut crowd = Crowd {
            processes: Vec::new(),
            threads,
            program: program.clone(),
            place: (address.to_owned(), key.to_owned()),
            said,
            tell,
        };
        for number in 0..processes {
            let process = crowd.start(number);
            crowd.processes.push(process);
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut ready = 0;
        while ready < processes {
            match crowd.next(deadline) {
                Some(Said::Ready) => ready += 1,
                other => panic!("{}: {other:?} instead of \"ready\"", program.name),
            }
        }
        crowd
    }

    /// How many contenders there are.
    pub(crate) fn size(&self) -> usize {
        self.processes.len() * self.threads
    }

    pub(crate) fn pid(&self, contender: usize) -> u32 {
        self.processes[contender / self.threads].child.id()
    }

    /// Has a contender take the lock that often, and hold it that long each time.
    pub(crate) fn turns(&mut self, contender: usize, hold_ms: u64, count: usize) {
        let name = contender % self.threads;
        self.write(
            contender / self.threads,
            &format!("turns {name} {hold_ms} {count}\n"),
        );
    }

    /// Has a process take and give back its lock that often, as fast as it can.
    pub(crate) fn cycles(&mut self, process: usize, count: usize) -> Vec<f64> {
        self.write(process, &format!("cycles {count}\n"));
        match self.next(Instant::now() + Duration::from_secs(60)) {
            Some(Said::Cycles(times)) if times.len() == count => times,
            other => panic!("{}: {other:?} instead of cycles", self.program.name),
        }
    }

    fn write(&mut self, process: usize, line: &str) {
        let written = self.processes[process].stdin.write_all(line.as_bytes());
        // The listener of a process that has ended reports the end, too.
        if let Err(error) = written {
            eprintln!("{}: {error}", self.program.name);
        }
    }

    /// The next line of any process; None: no line came before the deadline.
    pub(crate) fn next(&self, deadline: Instant) -> Option<Said> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.said.recv_timeout(left) {
            Ok(said) => Some(said),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
        }
    }

    /// Kills the process of a contender with SIGKILL, as a crash would end it.
    pub(crate) fn kill(&mut self, contender: usize) {
        let child = &mut self.processes[contender / self.threads].child;
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// Starts another process in the place of a killed one. The new one says when it is ready.
    pub(crate) fn replace(&mut self, contender: usize) {
        let number = contender / self.threads;
        self.processes[number] = self.start(number);
    }

    /// The most memory that a process has had, in MB.
    pub(crate) fn peak_memory(&self, process: usize) -> f64 {
        peak_memory(self.processes[process].child.id())
    }

    fn start(&self, number: usize) -> Process {
        let (address, key) = &self.place;
        let mut child = Command::new(&self.program.words[0])
            .args(&self.program.words[1..])
            .args([address, key])
            .args(&self.program.more)
            .envs(
                self.program
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.name));
        let stdin = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (tell, first) = (self.tell.clone(), number * self.threads);
        let listen = move || {
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(understand(&line, first));
            }
            let _ = tell.send(Said::Gone);
        };
        let small = std::thread::Builder::new().stack_size(128 << 10);
        small.spawn(listen).expect("a thread");
        Process { child, stdin }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
        }
        for process in &mut self.processes {
            let _ = process.child.wait();
        }
    }
}

/// `first` is the number of the process's first contender.
fn understand(line: &str, first: usize) -> Said {
    let wrong = |what| -> ! { panic!("a program says {line:?}: {what}") };
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let number = |text: &str| -> u64 { text.parse().unwrap_or_else(|_| wrong("no number")) };
    if word == "cycles" {
        let times = rest.split(' ').map(|time| number(time) as f64 / 1e3);
        return Said::Cycles(times.collect());
    }
    if word == "ready" {
        return Said::Ready;
    }
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let contender = first + number(name) as usize;
    if word == "failed" {
        let why = rest.to_owned();
        return Said::Failed { contender, why };
    }
    if word == "requests" {
        let count = number(rest);
        return Said::Requests { contender, count };
    }
    let Some((begun, at)) = rest.split_once(' ') else {
        wrong("no instants")
    };
    let (begun, at) = (number(begun), number(at));
    match word {
        "acquired" => Said::Acquired {
            contender,
            begun,
            at,
        },
        "released" => Said::Released {
            contender,
            begun,
            at,
        },
        _ => wrong("no such word"),
    }
}

/// The most memory that a process has had, in MB.
pub(crate) fn peak_memory(pid: u32) -> f64 {
    status(pid, "VmHWM:") / 1024.0
}

/// A number of /proc/PID/status.
pub(crate) fn status(pid: u32, field: &str) -> f64 {
    number_in(Path::new(&format!("/proc/{pid}/status")), field)
}

fn number_in(file: &Path, field: &str) -> f64 {
    let status = std::fs::read_to_string(file).expect("a live process");
    let line = status.lines().find(|line| line.starts_with(field));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.expect("the field").parse().expect("a number")
}

/// The nanoseconds that the threads of a process have run, and how often one of them has waited.
#[allow(dead_code)] // of benches/languages.rs alone
pub(crate) fn work(pid: u32) -> (f64, f64) {
    let (mut ran, mut waited) = (0.0, 0.0);
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("a live process") {
        let thread = thread.expect("a thread").path();
        let times = std::fs::read_to_string(thread.join("schedstat")).expect("a thread");
        ran += times
            .split_whitespace()
            .next()
            .expect("a time")
            .parse::<f64>()
            .expect("a number");
        waited += number_in(&thread.join("status"), "voluntary_ctxt_switches:");
    }
    (ran, waited)
}

/// The number of TCP connections that a process has open to `address` (`127.0.0.x:PORT`).
pub(crate) fn connections(pid: u32, address: &str) -> usize {
    let (host, port) = address.rsplit_once(':').expect("a port");
    let host: std::net::Ipv4Addr = host.parse().expect("an address");
    // As in /proc/net/tcp: the address in the machine's order of bytes, which is Linux's everywhere
    // that these benches run.
    let remote = format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(host.octets()),
        port.parse::<u16>().expect("a port")
    );
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let ours: std::collections::HashSet<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&&*remote) && fields.get(3) == Some(&"01"))
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let descriptors = Path::new("/proc").join(pid.to_string()).join("fd");
    let descriptors = std::fs::read_dir(descriptors).expect("a live process");
    let links = descriptors.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    links
        .filter(|link| ours.contains(&*link.to_string_lossy()))
        .count()
}
