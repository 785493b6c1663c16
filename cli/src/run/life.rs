//! The life of the command: its signals, its stops, its end, and the end of the lock.

use std::process::ExitStatus;
use std::time::Duration;

use consul_lock::clock::Time;
use consul_lock::error::LostReason;
use consul_lock::lock::Lock;
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::child::Group;
use super::events::{Event, Events};
use super::guard::Guard;
use super::plan::{MARGIN, OnLost, Plan};
use super::terminal::{Terminal, To, default_action};
use super::words::say;

/// How often this process looks for the end of processes that are not its children, of which the system tells nothing.
const LOOK: Duration = Duration::from_millis(50);

/// What belongs to the life of a command.
pub struct Life<'a> {
    pub plan: &'a Plan,
    pub lock: &'a Lock,
    pub events: &'a Events,
    pub guard: &'a mut Guard,
    pub terminal: Option<&'a Terminal>,
    pub group: Group,
    /// The command had the foreground, or asked for it.
    pub wants_terminal: bool,
}

/// How the life of a command ended.
pub struct Ended {
    pub status: ExitStatus,
    /// Why the lock was lost meanwhile.
    pub loss: Option<Loss>,
    /// The command had the foreground when it ended.
    pub had_terminal: bool,
}

/// How the lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The library says so.
    Told(LostReason),
    /// The lease is nearly over: Consul has confirmed no renewal.
    NotRenewed,
    /// The lease of a lock that is not renewed is nearly over.
    FixedLifeOver,
    /// This process was stopped until the lease was nearly over.
    Stopped,
}

impl Loss {
    /// Tells people of the loss, and of what happens `then`.
    pub fn say(self, plan: &Plan, then: &str) {
        let (label, why) = (plan.label(), self.text());
        say(format!("lost the lock \"{label}\": {why}; {then}"));
    }

    /// The reason, for people.
    pub fn text(self) -> &'static str {
        match self {
            Loss::Told(why) => why.text(),
            Loss::NotRenewed => "Consul has confirmed no renewal, and its lease is nearly over",
            Loss::Stopped => "consul-lock was stopped until its lease was nearly over",
            Loss::FixedLifeOver => "its fixed life (--no-renew, --ttl) is nearly over",
        }
    }
}

/// The loss of the lock, and the time that the command has from TERM to KILL. `left`: of the lease. `has_killed`: the
/// guard has.
pub fn loss(
    plan: &Plan,
    lock: &Lock,
    left: Duration,
    has_killed: bool,
) -> Option<(Loss, Duration)> {
    match lock.why_lost() {
        // Another session may have the lock from the end of the lease on.
        Some(why @ LostReason::Expired) => return Some((Loss::Told(why), Duration::ZERO)),
        Some(why) => return Some((Loss::Told(why), plan.kill_after)),
        None => {}
    }
    if plan.on_lost == OnLost::Ignore {
        return None;
    }
    if has_killed {
        // The library may have renewed the lock since.
        return Some((Loss::Stopped, Duration::ZERO));
    }
    let loss = match plan.renews {
        true => Loss::NotRenewed,
        false => Loss::FixedLifeOver,
    };
    let is_due = left <= plan.kill_after + MARGIN;
    is_due.then(|| (loss, left.saturating_sub(MARGIN)))
}

/// The end of the group, on its way: TERM was sent.
struct Ending {
    kill_at: Time,
    has_killed: bool,
}

/// What changes in the life of a command.
#[derive(Default)]
struct State {
    loss: Option<Loss>,
    ending: Option<Ending>,
    /// The command is to go on, if the lease lives.
    resumes: bool,
    said_that_it_may_not: bool,
    /// A signal that ends commands was passed on: what is left of the group is on its way out, too.
    was_told_to_end: bool,
    /// As in [`Ended`].
    had_terminal: bool,
}

impl Life<'_> {
    /// Lives until no process of the group is left.
    pub fn run(mut self) -> Ended {
        let mut state = State::default();
        loop {
            self.see_to_the_lease(&mut state);
            self.see_to_the_end(&mut state);
            if let Some(status) = self.group.status
                && self.group.has_ended()
            {
                return Ended {
                    status,
                    loss: state.loss,
                    had_terminal: state.had_terminal,
                };
            }
            if std::mem::take(&mut state.resumes) && state.ending.is_none() {
                self.resume();
            }
            match self.events.next(self.next_look(&state)) {
                Event::Signal(Signal::SIGCHLD) => {
                    if let Some(signal) = self.group.look(self.guard) {
                        self.was_stopped(signal, &mut state);
                    }
                }
                Event::Signal(Signal::SIGCONT) => state.resumes = true,
                Event::Signal(signal) => self.pass_on(signal, &mut state),
                Event::LockChanged | Event::Time | Event::Done(_) => {}
            }
        }
    }

    /// Ends the group in time for the lease.
    fn see_to_the_lease(&mut self, state: &mut State) {
        if state.loss.is_some() {
            return;
        }
        let kills = self.plan.on_lost == OnLost::Kill;
        let now = Time::now();
        let left = self.lock.remaining();
        let Some((loss, grace)) = loss(self.plan, self.lock, left, self.guard.has_acted()) else {
            let end = now + left.saturating_sub(MARGIN / 2);
            self.guard.watch(self.group.id(), kills.then_some(end));
            return;
        };
        state.loss = Some(loss);
        let then = match self.plan.on_lost {
            OnLost::Kill => "the command is ended",
            OnLost::Ignore => "the command goes on (--on-lost ignore)",
        };
        if kills {
            self.end_group(state, now + grace);
            let id = self.group.id();
            self.guard.watch(id, Some(now + grace + MARGIN / 2));
        }
        loss.say(self.plan, then);
    }

    /// Ends what the command has left behind, and kills what does not end in time.
    fn see_to_the_end(&mut self, state: &mut State) {
        if let Some(status) = self.group.status {
            if let Some(terminal) = self.terminal {
                state.had_terminal |= terminal.take_from(self.group.id());
            }
            if state.ending.is_none() && !self.group.has_ended() {
                if status.code().is_some() && !state.was_told_to_end {
                    say("the command has left processes behind, which are ended before the lock");
                }
                self.end_group(state, Time::now() + self.plan.kill_after);
            }
        }
        if let Some(ending) = &mut state.ending
            && Time::now() >= ending.kill_at
        {
            // More than once: a process may have been forked meanwhile.
            ending.has_killed = true;
            self.send(Signal::SIGKILL, state);
        }
    }

    fn end_group(&self, state: &mut State, kill_at: Time) {
        if let Some(ending) = &mut state.ending {
            ending.kill_at = ending.kill_at.min(kill_at);
            return;
        }
        state.ending = Some(Ending {
            kill_at,
            has_killed: false,
        });
        self.send(Signal::SIGTERM, state);
        // A process that is stopped gets TERM when it continues.
        let _ = self.group.signal_all(Signal::SIGCONT);
    }

    fn send(&self, signal: Signal, state: &mut State) {
        check(self.group.signal_all(signal), signal, state);
    }

    /// When there is something to do, if nothing happens before.
    fn next_look(&self, state: &State) -> Option<Time> {
        let now = Time::now();
        // The system tells the end of the command itself, which is a child of this process.
        let looks = self.group.status.is_some();
        let end = state
            .ending
            .as_ref()
            .map(|ending| match (ending.has_killed, looks) {
                (false, false) => ending.kill_at,
                (false, true) => ending.kill_at.min(now + LOOK),
                (true, _) => now + LOOK,
            });
        let watches = state.loss.is_none() && self.plan.on_lost == OnLost::Kill;
        let lease = watches.then(|| {
            let left = self.lock.remaining();
            let term = self.plan.kill_after + MARGIN;
            // A lease that was renewed meanwhile must reach the guard in time, however busy the machine is.
            let early = term.max(self.plan.ttl / 3);
            let before = if left > early { early } else { term };
            now + left.saturating_sub(before)
        });
        [end, lease].into_iter().flatten().min()
    }

    /// Passes a signal on to the group.
    fn pass_on(&self, signal: Signal, state: &mut State) {
        check(self.group.signal(signal), signal, state);
        // A signal that is to end the command also reaches one that is stopped, as `timeout` does it.
        let ends = [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
        ];
        if ends.contains(&signal) {
            state.was_told_to_end = true;
            let _ = self.group.signal(Signal::SIGCONT);
        }
    }

    /// The command was stopped. On a terminal the whole job stops, as the shell expects it.
    fn was_stopped(&mut self, signal: i32, state: &mut State) {
        let Some(terminal) = self.terminal else {
            return;
        };
        let had = terminal.take_from(self.group.id());
        let asks = signal == libc::SIGTTIN || signal == libc::SIGTTOU;
        self.wants_terminal |= asks;
        if asks && !had && terminal.is_ours() {
            state.resumes = true;
        } else if had || asks || signal == libc::SIGTSTP {
            default_action(Signal::SIGTSTP, To::Job);
            // Where no shell has stopped the job, none will continue it.
            state.resumes = had;
        }
    }

    /// Has the command go on, with the terminal if that is the job's.
    fn resume(&self) {
        if let Some(terminal) = self.terminal
            && self.wants_terminal
            && terminal.is_ours()
        {
            terminal.give_to(self.group.id());
        }
        let _ = self.group.signal(Signal::SIGCONT);
    }
}

/// Says that a signal may not be sent, once.
fn check(sent: Result<(), Errno>, signal: Signal, state: &mut State) {
    if sent == Err(Errno::EPERM) && !state.said_that_it_may_not {
        state.said_that_it_may_not = true;
        say(format!(
            "cannot send {signal} to the command, which runs as another user"
        ));
    }
}
