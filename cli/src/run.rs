//! `consul-lock run`: takes a lock, runs a command while the lock is held, and gives the lock back.

mod child;
mod events;
mod guard;
mod help;
mod life;
mod plan;
mod processes;
mod release;
mod report;
mod sys;
mod terminal;
mod words;
mod writer;

use std::mem::ManuallyDrop;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Instant;

use clap::ArgMatches;
use consul_lock::client::Client;
use consul_lock::error::{Error, Status};
use consul_lock::lock::Lock;
use nix::errno::Errno;
use nix::sys::signal::Signal;

pub use self::help::command;

use self::child::Group;
use self::events::{Before, Event, Events, PASSED_ON, take_signals};
use self::guard::Guard;
use self::life::{Ended, Life, loss};
use self::plan::{Misuse, OnLost, Plan};
use self::release::{Released, clean_up, release};
use self::report::{Place, Report};
use self::terminal::{Terminal, To, default_action};
use self::words::{say, session_name};
use self::writer::end_standard_error;
use crate::connection;
use crate::exit::Exit;

/// Runs the command that the arguments name, under the lock that they name.
pub fn main(matches: &ArgMatches) -> Exit {
    let place = match report_place(matches) {
        Ok(place) => place,
        Err(Misuse(text)) => {
            say(text);
            end_standard_error();
            return Exit::Usage;
        }
    };
    let mut report = Report::new(place);
    let outcome = match Run::new(matches) {
        Ok(run) => run.through(&mut report),
        Err((text, exit)) => {
            report.note("error", text.clone());
            say(text);
            Outcome::new("failed", exit)
        }
    };
    report.note("outcome", outcome.word);
    report.note("exit", outcome.exit.number());
    end_standard_error();
    report.write();
    if let Some(to) = outcome.interrupt {
        default_action(Signal::SIGINT, to);
    }
    outcome.exit
}

/// How a run ended.
struct Outcome {
    word: &'static str,
    exit: Exit,
    /// A person has pressed Ctrl-C. A shell that runs a script ends the script only if its child ends by SIGINT, and
    /// only if the shell gets SIGINT, too.
    interrupt: Option<To>,
}

impl Outcome {
    fn new(word: &'static str, exit: Exit) -> Outcome {
        Outcome {
            word,
            exit,
            interrupt: None,
        }
    }
}

fn report_place(matches: &ArgMatches) -> Result<Option<Place>, Misuse> {
    if let Some(number) = matches.get_one::<i32>("status-fd") {
        let wrong = |error| Misuse(format!("--status-fd {number}: {error}"));
        let file = sys::inherited(*number).map_err(wrong)?;
        return Ok(Some(Place::Descriptor(file)));
    }
    let wants_json = matches.get_flag("json");
    Ok(wants_json.then_some(Place::StandardError))
}

/// A run of a command.
struct Run {
    plan: Plan,
    before: Before,
    events: Events,
    guard: Guard,
    terminal: Option<Terminal>,
    /// Never dropped: a drop would wait for Consul once more.
    lock: ManuallyDrop<Lock>,
    _client: ManuallyDrop<Client>,
    begun: Instant,
}

/// How the wait for the lock ended.
enum Waited {
    Acquired,
    Failed(Error),
    Interrupted(Signal),
}

impl Run {
    fn new(matches: &ArgMatches) -> Result<Run, (String, Exit)> {
        let defect = |error: std::io::Error| (format!("could not start: {error}"), Exit::Internal);
        let plan = Plan::new(matches).map_err(|Misuse(text)| (text, Exit::Usage))?;
        // Before the library is used, which starts threads.
        let (before, signals) = take_signals().map_err(defect)?;
        let guard = Guard::start().map_err(defect)?;
        let events = Events::new(signals).map_err(defect)?;
        let failed = |error: Error| (error.message.clone(), Exit::of(&error));
        if plan.verbose {
            use consul_lock::log::{Level, set_callback};
            set_callback(Some(Box::new(|_, line| say(line))), Level::Info);
        }
        let client = connection::client_named(matches, &session_name(&plan)).map_err(failed)?;
        let keys: Vec<&str> = plan.keys.iter().map(String::as_str).collect();
        let lock = Lock::new_all(&keys, Some(&plan.options), Some(&client)).map_err(failed)?;
        let changed = events.ring(|_| Event::LockChanged);
        lock.set_lost_callback(Some(Box::new(changed)))
            .map_err(failed)?;
        Ok(Run {
            plan,
            before,
            events,
            guard,
            terminal: Terminal::open(),
            lock: ManuallyDrop::new(lock),
            _client: ManuallyDrop::new(client),
            begun: Instant::now(),
        })
    }

    /// Runs the command, from the wait for the lock to its release.
    fn through(mut self, report: &mut Report) -> Outcome {
        report.note("keys", self.lock.keys());
        let waited = self.wait();
        report.note_ms("waited_ms", self.begun.elapsed());
        match waited {
            Waited::Acquired => {}
            Waited::Failed(error) => return self.was_not_acquired(&error, report),
            Waited::Interrupted(signal) => {
                report.note("signal", signal as i32);
                clean_up(&self.events, Some(signal));
                let by_person = signal == Signal::SIGINT && self.has_foreground();
                return Outcome {
                    interrupt: by_person.then_some(To::This),
                    ..Outcome::new("interrupted", of_signal(signal as i32))
                };
            }
        }
        let held = Instant::now();
        report.note("token", self.lock.fencing_token());
        report.note("session", self.lock.session_id());
        if let Some(slot) = self.lock.slot() {
            report.note("slot", slot);
        }
        let ended = match self.run_command() {
            Ok(ended) => ended,
            Err(error) => return self.could_not_run(&error, report),
        };
        report.note_ms("held_ms", held.elapsed());
        self.guard.dismiss();
        report.note("command_exit", ended.status.code());
        report.note("command_signal", ended.status.signal());
        if let Some(loss) = ended.loss {
            report.note("loss", loss.text());
        }
        let is_told = ended.loss.is_some();
        let released = release(&self.plan, &self.lock, &self.events, is_told);
        report.note("released", released == Released::Yes);
        let is_lost = ended.loss.is_some() || released == Released::Lost;
        if is_lost && self.plan.on_lost == OnLost::Kill {
            return Outcome::new("lost", Exit::Lost);
        }
        let interrupted = ended.status.signal() == Some(Signal::SIGINT as i32);
        let to = match ended.had_terminal {
            true => Some(To::Job),
            false => self.has_foreground().then_some(To::This),
        };
        Outcome {
            interrupt: to.filter(|_| interrupted),
            ..Outcome::new("ended", of_command(ended.status))
        }
    }

    /// The shell's job, to which this process belongs, has the foreground of the terminal.
    fn has_foreground(&self) -> bool {
        self.terminal.as_ref().is_some_and(Terminal::is_ours)
    }

    fn was_not_acquired(&self, error: &Error, report: &mut Report) -> Outcome {
        report.note("error", error.message.clone());
        let is_taken = error.status == Status::NotAcquired;
        // A status of 0 says that this is as it should be: cron sends no mail.
        if self.plan.verbose || !is_taken || self.plan.conflict_exit != Some(0) {
            say(error);
        }
        clean_up(&self.events, None);
        match (Exit::of(error), self.plan.conflict_exit) {
            (Exit::NotAcquired, Some(number)) => Outcome::new("not acquired", Exit::Of(number)),
            (exit @ Exit::NotAcquired, None) => Outcome::new("not acquired", exit),
            (exit, _) => Outcome::new("failed", exit),
        }
    }

    fn could_not_run(&mut self, error: &std::io::Error, report: &mut Report) -> Outcome {
        self.guard.dismiss();
        let loss = loss(&self.plan, &self.lock, self.lock.remaining(), false);
        let outcome = if let Some((loss, _)) = loss {
            loss.say(&self.plan, "the command was not started");
            report.note("loss", loss.text());
            Outcome::new("lost", Exit::Lost)
        } else {
            let program = self.plan.program.to_string_lossy();
            let (why, exit) = why_not_run(error);
            let text = format!("could not run {program}: {why}");
            report.note("error", text.clone());
            say(text);
            Outcome::new("failed", exit)
        };
        let _ = release(&self.plan, &self.lock, &self.events, loss.is_some());
        outcome
    }

    /// Waits for the lock.
    fn wait(&self) -> Waited {
        if let Err(error) = self.lock.acquire_start(self.events.completion()) {
            return Waited::Failed(error);
        }
        let mut interrupted = None;
        loop {
            match (self.events.next(None), interrupted) {
                (Event::Done(Ok(())), None) => return Waited::Acquired,
                (Event::Done(Err(error)), None) => return Waited::Failed(error),
                (Event::Done(outcome), Some(signal)) => {
                    if outcome.is_ok() {
                        let _ = release(&self.plan, &self.lock, &self.events, false);
                    }
                    return Waited::Interrupted(signal);
                }
                (Event::Signal(Signal::SIGTSTP), _) => default_action(Signal::SIGTSTP, To::This),
                (Event::Signal(signal), None) if self.ends_wait(signal) => {
                    interrupted = Some(signal);
                    self.lock.cancel();
                }
                // A second signal does not wait for Consul.
                (Event::Signal(signal), Some(first)) if self.ends_wait(signal) => {
                    return Waited::Interrupted(first);
                }
                _ => {}
            }
        }
    }

    fn ends_wait(&self, signal: Signal) -> bool {
        PASSED_ON.contains(&signal) && !self.before.ignored.contains(signal)
    }

    /// Runs the command to the end of its group.
    fn run_command(&mut self) -> std::io::Result<Ended> {
        let terminal = self.terminal.as_ref();
        let foreground = terminal.and_then(Terminal::for_command);
        let wants_terminal = foreground.is_some();
        if loss(&self.plan, &self.lock, self.lock.remaining(), false).is_some() {
            // The answer of Consul, or this process, has taken so long.
            return Err(Errno::ETIME.into());
        }
        let started = Group::start(
            &self.plan,
            &self.lock,
            &self.before,
            &mut self.guard,
            foreground,
        );
        let group = match started {
            Ok(group) => group,
            Err(error) => {
                // A child that could not start its program had the foreground.
                if let Some(terminal) = terminal
                    && wants_terminal
                {
                    terminal.give_to(nix::unistd::getpgrp());
                }
                return Err(error);
            }
        };
        if self.plan.verbose {
            let token = self.lock.fencing_token().unwrap_or_default();
            say(format!(
                "holds the lock \"{}\", fencing token {token}; runs the command as {}",
                self.plan.label(),
                group.id()
            ));
        }
        let life = Life {
            plan: &self.plan,
            lock: &self.lock,
            events: &self.events,
            guard: &mut self.guard,
            terminal,
            group,
            wants_terminal,
        };
        Ok(life.run())
    }
}

/// Why the command could not be run, and the exit status for it.
fn why_not_run(error: &std::io::Error) -> (String, Exit) {
    let lacks = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "consul-lock has no descriptor left; raise its limit (ulimit -n)",
        Some(Errno::ENFILE) => "the system has no open file left",
        Some(Errno::EAGAIN) => {
            "the system has no process left for this user or container (ulimit -u, the limit of the cgroup)"
        }
        Some(Errno::ENOMEM) => "the system has no memory left for another process",
        _ if error.kind() == std::io::ErrorKind::NotFound => {
            return (error.to_string(), Exit::NotFound);
        }
        _ => return (error.to_string(), Exit::NotExecutable),
    };
    (format!("{lacks}: {error}"), Exit::Internal)
}

/// The exit status for how the command ended.
fn of_command(status: ExitStatus) -> Exit {
    match status.code() {
        Some(code) => Exit::Of(u8::try_from(code).unwrap_or(u8::MAX)),
        None => of_signal(status.signal().unwrap_or_default()),
    }
}

fn of_signal(number: i32) -> Exit {
    Exit::Of(u8::try_from(128 + number).unwrap_or(u8::MAX))
}
