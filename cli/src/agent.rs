//! A real Consul for tests: `consul-lock dev --real` starts `consul agent -dev` on free ports of loopback, and ends
//! the agent with itself. No file is left, however it ends.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, value_parser};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, getpid, getppid};

use crate::exit::Exit;
use crate::output;

/// How long an agent may take until it takes sessions.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an agent is asked whether it takes sessions, in milliseconds.
const ASK_EVERY_MS: u16 = 50;
/// How often the end of the parent is looked for, in milliseconds. A parent-death signal is of no use: the kernel sends
/// it when the parent's thread ends that started this process, and programs of several threads start theirs anywhere.
const LOOK_EVERY_MS: u16 = 200;

/// The option `--real`.
pub fn option() -> Arg {
    Arg::new("real")
        .long("real")
        .value_name("PROGRAM")
        .help("Run a real Consul instead, as `consul agent -dev` [CONSUL_BIN]")
        .long_help(
            "Run a real Consul instead of the model: `PROGRAM agent -dev` on free ports. PROGRAM is $CONSUL_BIN, else \
             `consul` on the PATH, where the option has no value.",
        )
        .value_parser(value_parser!(PathBuf))
        .num_args(0..=1)
        .require_equals(true)
        .conflicts_with_all(["speed", "like", "node"])
}

/// The program of the option `--real`. None: the option is absent.
pub fn asked(matches: &ArgMatches) -> Option<PathBuf> {
    let mut given = matches.get_many::<PathBuf>("real")?;
    let program = given.next().cloned();
    let named = || std::env::var_os("CONSUL_BIN").filter(|name| !name.is_empty());
    Some(
        program
            .or_else(|| named().map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("consul")),
    )
}

/// Runs an agent until a signal, or the end of the parent, ends this process. `listen` is an address of loopback, whose
/// port 0 is a free one. `announce` tells the address when the agent takes sessions; an error ends both.
pub fn serve(
    program: &Path,
    listen: SocketAddr,
    announce: impl Fn(SocketAddr) -> Result<(), Exit>,
) -> Exit {
    if !listen.ip().is_loopback() {
        output::say(format!(
            "cannot listen on {listen}, which is not loopback; give --listen 127.0.0.1:PORT"
        ));
        return Exit::Usage;
    }
    match attempt(program, listen, announce) {
        Ok(exit) => exit,
        Err(error) => {
            let program = program.display();
            output::say(format!(
                "could not run {program} agent -dev: {error}; install Consul, or name its program in CONSUL_BIN"
            ));
            Exit::Unavailable
        }
    }
}

fn attempt(
    program: &Path,
    listen: SocketAddr,
    announce: impl Fn(SocketAddr) -> Result<(), Exit>,
) -> io::Result<Exit> {
    let end = End::new()?;
    let newer = newer_options(program)?;
    let mut taken = 0;
    loop {
        let mut agent = Agent::start(program, listen, newer)?;
        match agent.until_ready(&end)? {
            State::Asked => return Ok(Exit::Ok),
            State::Ready => {
                return match announce(agent.address) {
                    Ok(()) => agent.until_end(&end).map(|()| Exit::Ok),
                    Err(exit) => Ok(exit),
                };
            }
            // Another program may take a port between the look and the start.
            State::Ended(log)
                if log.contains("address already in use") && listen.port() == 0 && taken < 5 =>
            {
                taken += 1;
            }
            State::Ended(log) => {
                return Err(io::Error::other(format!(
                    "it takes no sessions, and says: {log}"
                )));
            }
        }
    }
}

/// What ends this process: a signal, or the end of its parent.
struct End {
    signals: SignalFd,
    parent: Pid,
}

impl End {
    fn new() -> io::Result<End> {
        let signals = [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ];
        let signals: SigSet = signals.into_iter().collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None)?;
        Ok(End {
            signals: SignalFd::new(&signals)?,
            parent: getppid(),
        })
    }

    /// Whether this process is to end; waits for that, so many milliseconds at most.
    fn within(&self, milliseconds: u16) -> io::Result<bool> {
        let mut signal = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let found = poll(&mut signal, PollTimeout::from(milliseconds))?;
        Ok(found > 0 || getppid() != self.parent)
    }
}

/// How the wait for an agent ended.
enum State {
    /// The agent takes sessions.
    Ready,
    /// This process is to end.
    Asked,
    /// The agent has ended, or takes too long; with the end of its log.
    Ended(String),
}

struct Agent {
    process: Child,
    address: SocketAddr,
    /// A file that no folder has any more.
    log: File,
}

impl Agent {
    fn start(program: &Path, listen: SocketAddr, newer: &[&str]) -> io::Result<Agent> {
        let [free, server, lan] = free_ports()?;
        let http = if listen.port() == 0 {
            free
        } else {
            listen.port()
        };
        let log = nameless_file()?;
        let mut command = Command::new(program);
        command
            .args(["agent", "-dev", "-node=dev", "-bind=127.0.0.1"])
            .arg(format!("-client={}", listen.ip()))
            .arg(format!("-http-port={http}"))
            .arg(format!("-server-port={server}"))
            .arg(format!("-serf-lan-port={lan}"))
            .args(["-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1"])
            .arg("-log-level=warn")
            .args(newer)
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            // A Ctrl-C is for this process alone.
            .process_group(0);
        let parent = getpid();
        let die_with_parent = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above.
            if getppid() == parent {
                Ok(())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        };
        #[expect(unsafe_code, reason = "std has no other way to run code in the child")]
        // SAFETY: the closure makes system calls only, and allocates nothing.
        unsafe {
            command.pre_exec(die_with_parent)
        };
        Ok(Agent {
            process: command.spawn()?,
            address: SocketAddr::new(listen.ip(), http),
            log,
        })
    }

    fn until_ready(&mut self, end: &End) -> io::Result<State> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.process.try_wait()?.is_none() {
            if end.within(ASK_EVERY_MS)? {
                return Ok(State::Asked);
            }
            if self.takes_sessions().unwrap_or(false) {
                return Ok(State::Ready);
            }
        }
        Ok(State::Ended(self.said()?))
    }

    /// Waits until this process is to end. An agent that ends before is an error.
    fn until_end(&mut self, end: &End) -> io::Result<()> {
        while !end.within(LOOK_EVERY_MS)? {
            if self.process.try_wait()?.is_some() {
                return Err(io::Error::other(format!(
                    "it has ended, and says: {}",
                    self.said()?
                )));
            }
        }
        Ok(())
    }

    /// Whether the node has its check, and the check passes: a session is bound to both.
    fn takes_sessions(&self) -> io::Result<bool> {
        let mut connection = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET /v1/health/node/dev HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer.contains("\"passing\""))
    }

    /// The end of the log, as one line.
    fn said(&mut self) -> io::Result<String> {
        let length = self.log.metadata()?.len();
        self.log
            .seek(SeekFrom::Start(length.saturating_sub(1_000)))?;
        let mut end = Vec::new();
        self.log.read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end);
        let said = end.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(if said.is_empty() {
            "nothing".to_string()
        } else {
            said
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Switches off the port that Consul has from 1.14 on. An older Consul does not know the option.
fn newer_options(program: &Path) -> io::Result<&'static [&'static str]> {
    let help = Command::new(program).args(["agent", "-help"]).output()?;
    let known = [help.stdout, help.stderr].concat();
    let known = String::from_utf8_lossy(&known).contains("-grpc-tls-port");
    Ok(if known { &["-grpc-tls-port=-1"] } else { &[] })
}

/// A file to write to that is gone with this process.
fn nameless_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("consul-lock-dev-{}-{}", getpid(), random()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// Ports of loopback that were free for TCP and UDP a moment ago. They are below the range from which systems take the
/// ports of outgoing connections.
fn free_ports() -> io::Result<[u16; 3]> {
    let mut found = Vec::new();
    for _ in 0..1_000 {
        let port = 12_000 + u16::try_from(random() % 20_000).unwrap_or_default();
        let at = (Ipv4Addr::LOCALHOST, port);
        if !found.contains(&port) && TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            found.push(port);
        }
        if let [first, second, third] = found[..] {
            return Ok([first, second, third]);
        }
    }
    Err(io::Error::other("no port of 127.0.0.1 is free"))
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}
