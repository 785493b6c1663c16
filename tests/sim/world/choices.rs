//! What may happen next in a world that the explorer walks: all of it, one choice each.
//!
//! Messages take no time. Time passes only when no message is left that is not held up, so each request and each answer
//! comes at the instant at which it was sent, in every order. Whatever is later is a fault, and costs one.

use super::*;

/// A message that is held up comes at any instant, or never.
const ANY_TIME: Time = Time(u64::MAX);

/// Which faults there are in a world.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Faults {
    /// A request is refused, lost or held up, or applied twice.
    pub(in crate::sim) requests: bool,
    /// An answer is lost or held up.
    pub(in crate::sim) answers: bool,
    /// A process stops. It continues at any later instant.
    pub(in crate::sim) stops: bool,
    /// A process is killed.
    pub(in crate::sim) deaths: bool,
    /// A new leader starts every TTL again.
    pub(in crate::sim) leaders: bool,
    /// A caller cancels its acquire.
    pub(in crate::sim) cancels: bool,
}

/// What befalls a request or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Mishap {
    /// The connection is refused.
    Refused,
    /// The connection breaks, and the request may still come at any instant.
    Reset,
    /// The request is on its way for any time.
    Held,
    /// Consul applies the request now, and a copy of it at any instant.
    Doubled,
    /// The connection breaks before the answer has come.
    AnswerLost,
    /// The answer is on its way for any time.
    AnswerHeld,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(in crate::sim) enum Choice {
    /// What is due, or held up.
    Next(u64),
    Mishap(u64, Mishap),
    /// The core is told that its time has come.
    Tick(usize),
    Stop(usize),
    Continue(usize),
    Die(usize),
    Cancel(usize),
    /// Consul ends a session, between once and twice its TTL.
    Expire(String),
    NewLeader,
    /// Nothing happens until something is due.
    Wait(Time),
}

impl Choice {
    pub(in crate::sim) fn cost(&self) -> u32 {
        match self {
            Choice::Mishap(..)
            | Choice::Stop(_)
            | Choice::Die(_)
            | Choice::Cancel(_)
            | Choice::NewLeader => 1,
            Choice::Next(_)
            | Choice::Tick(_)
            | Choice::Continue(_)
            | Choice::Expire(_)
            | Choice::Wait(_) => 0,
        }
    }
}

impl World {
    /// Everything that may happen next, with so many faults.
    pub(in crate::sim) fn choices(&self, faults: Faults, left: u32) -> Vec<Choice> {
        let mut choices = Vec::new();
        let mut may_wait = true;
        let may_fail = left > 0;
        for (serial, (at, happening)) in &self.happenings {
            let is_due = *at <= self.now;
            if !self.is_awake(happening) || !(is_due || *at == ANY_TIME) {
                continue;
            }
            choices.push(Choice::Next(*serial));
            may_wait &= !(is_due && is_prompt(happening));
            if !is_due || !may_fail {
                continue;
            }
            let mishaps: &[Mishap] = match happening {
                Happening::Deliver { process, request } if faults.requests => {
                    let flight = self.processes[*process].flights.get(request);
                    match flight {
                        Some(flight) if is_write(&flight.request) => &[
                            Mishap::Refused,
                            Mishap::Reset,
                            Mishap::Held,
                            Mishap::Doubled,
                        ],
                        Some(_) => &[Mishap::Refused, Mishap::Reset, Mishap::Held],
                        None => &[],
                    }
                }
                Happening::Answer { result: Ok(_), .. } if faults.answers => {
                    &[Mishap::AnswerLost, Mishap::AnswerHeld]
                }
                _ => &[],
            };
            choices.extend(mishaps.iter().map(|what| Choice::Mishap(*serial, *what)));
        }
        for (number, process) in self.processes.iter().enumerate() {
            if process.crashed {
                continue;
            }
            if process.stopped.is_some() {
                choices.push(Choice::Continue(number));
                continue;
            }
            if process
                .core
                .wake_at()
                .is_some_and(|at| self.global(number, at) <= self.now)
            {
                choices.push(Choice::Tick(number));
                may_wait = false;
            }
            let is_over = process.users.iter().all(|user| user.doing == Doing::Done);
            let has_begun = process.users.iter().any(|user| user.lock != LockId(0));
            if may_fail && faults.stops && !is_over && has_begun {
                choices.push(Choice::Stop(number));
            }
            if may_fail && faults.deaths && has_begun {
                choices.push(Choice::Die(number));
            }
            let acquires = |user: &User| matches!(user.doing, Doing::Acquiring(_));
            if may_fail && faults.cancels && process.users.iter().any(acquires) {
                choices.push(Choice::Cancel(number));
            }
        }
        choices.extend(self.model.endable(self.now).into_iter().map(Choice::Expire));
        if may_fail && faults.leaders && self.model.next_endable_at(Time(0)).is_some() {
            choices.push(Choice::NewLeader);
        }
        if may_wait && let Some(next) = self.next_instant() {
            choices.push(Choice::Wait(next));
        }
        choices
    }

    /// Nothing more can happen that matters: every user has finished, and the cores owe nothing.
    pub(in crate::sim) fn is_at_rest(&self) -> bool {
        self.is_over()
            && self.happenings.is_empty()
            && self
                .processes
                .iter()
                .all(|process| process.crashed || process.core.is_idle())
    }

    /// No message is due.
    pub(in crate::sim) fn is_quiet(choices: &[Choice]) -> bool {
        choices
            .iter()
            .any(|choice| matches!(choice, Choice::Wait(_)))
    }

    /// Lets it happen.
    pub(in crate::sim) fn choose(&mut self, choice: &Choice) -> Result<(), String> {
        match choice {
            Choice::Next(serial) => {
                let happening = self.happenings.remove(serial);
                if let Some((_, happening)) = happening {
                    self.happen(happening)?;
                }
            }
            Choice::Mishap(serial, what) => self.mishap(*serial, *what)?,
            Choice::Tick(process) => self.step(*process, Input::Tick)?,
            Choice::Stop(process) => {
                self.note(|| format!("p{process}: stops"));
                self.processes[*process].stopped = Some(self.now);
                self.line.stops(*process);
            }
            Choice::Continue(process) => self.resume(*process),
            Choice::Die(process) => self.crash(*process),
            Choice::Cancel(process) => {
                let user = &self.processes[*process].users[0];
                let lock = user.lock;
                self.note(|| format!("p{process}: cancels lock {}", lock.0));
                self.call(*process, lock, Call::Cancel)?;
            }
            Choice::Expire(session) => {
                self.note(|| format!("consul: the TTL ends session {session}"));
                self.model.kill_session(self.now, session);
            }
            Choice::NewLeader => {
                self.note(|| "consul: a new leader; every TTL starts again".to_owned());
                self.model.leader_change(self.now);
            }
            Choice::Wait(next) => {
                self.now = *next;
                self.note(|| "time passes".to_owned());
                self.look_at_line()?;
                self.model.advance(self.now);
            }
        }
        self.wake_watchers();
        self.tidy();
        Ok(())
    }

    fn mishap(&mut self, serial: u64, what: Mishap) -> Result<(), String> {
        let Some((_, happening)) = self.happenings.remove(&serial) else {
            return Ok(());
        };
        self.note(|| match &happening {
            Happening::Deliver { process, request }
            | Happening::Answer {
                process, request, ..
            } => format!("network: request {} of p{process}: {what:?}", request.0),
            _ => format!("network: {what:?}"),
        });
        let reset = || Err(Failure::Unknown("connection reset".to_owned()));
        match (what, happening) {
            (Mishap::Refused, Happening::Deliver { process, request }) => {
                let result = Err(Failure::NotSent("connection refused".to_owned()));
                let answer = Happening::Answer {
                    process,
                    request,
                    result,
                };
                self.at(self.now, answer);
            }
            (Mishap::Reset, Happening::Deliver { process, request }) => {
                let answer = Happening::Answer {
                    process,
                    request,
                    result: reset(),
                };
                self.at(self.now, answer);
                self.at(ANY_TIME, Happening::Deliver { process, request });
            }
            (Mishap::Held, happening) | (Mishap::AnswerHeld, happening) => {
                self.at(ANY_TIME, happening);
            }
            (Mishap::Doubled, Happening::Deliver { process, request }) => {
                if let Some(flight) = self.processes[process].flights.get(&request) {
                    let request = Box::new(flight.request.clone());
                    let copy = Happening::Late(request, flight.http.clone(), flight.gives_back);
                    self.at(ANY_TIME, copy);
                }
                self.happen(Happening::Deliver { process, request })?;
            }
            (
                Mishap::AnswerLost,
                Happening::Answer {
                    process, request, ..
                },
            ) => {
                let answer = Happening::Answer {
                    process,
                    request,
                    result: reset(),
                };
                self.at(self.now, answer);
            }
            (_, happening) => self.at(self.now, happening),
        }
        Ok(())
    }

    /// The process can take it in.
    fn is_awake(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Answer { process, .. }
            | Happening::User { process, .. }
            | Happening::Ask { process, .. } => {
                let process = &self.processes[*process];
                !process.crashed && process.stopped.is_none()
            }
            _ => true,
        }
    }

    /// The next instant at which something is due, or becomes possible.
    fn next_instant(&self) -> Option<Time> {
        let happenings = self.happenings.values();
        let happenings = happenings.filter(|(_, happening)| self.is_awake(happening));
        let happenings = happenings.map(|(at, _)| *at);
        let alarms = self
            .processes
            .iter()
            .enumerate()
            .filter_map(|(p, process)| {
                let is_awake = !process.crashed && process.stopped.is_none();
                let at = process.core.wake_at().filter(|_| is_awake)?;
                Some(self.global(p, at))
            });
        let of_consul = [
            self.model.next_event_at(),
            self.model.next_endable_at(self.now),
        ];
        let all = happenings
            .chain(alarms)
            .chain(of_consul.into_iter().flatten());
        all.filter(|at| *at > self.now && *at != ANY_TIME).min()
    }

    /// Drops what can do nothing any more: the time-out of a request that has its answer, what a killed process would
    /// have done, and a request that only reads, and whose answer is not wanted any more.
    fn tidy(&mut self) {
        let mut happenings = std::mem::take(&mut self.happenings);
        happenings.retain(|_, (_, happening)| match happening {
            Happening::Answer {
                process, request, ..
            } => {
                let process = &self.processes[*process];
                !process.crashed && process.flights.contains_key(request)
            }
            Happening::Deliver { process, request } => {
                let process = &self.processes[*process];
                let given_up = process
                    .given_up
                    .get(request)
                    .filter(|flight| matters_late(flight));
                let flight = process.flights.get(request);
                given_up.is_some() || flight.is_some_and(|it| !process.crashed || matters_late(it))
            }
            Happening::User { process, user } => {
                let process = &mut self.processes[*process];
                let user = &mut process.users[*user];
                if user.doing == Doing::Thinking && user.rounds == 0 {
                    user.doing = Doing::Done;
                }
                !process.crashed && user.doing != Doing::Done
            }
            Happening::Ask { process, .. } => !self.processes[*process].crashed,
            _ => true,
        });
        let comes = |process: usize, request: &RequestId| {
            happenings.values().any(|(_, happening)| {
                matches!(happening, Happening::Deliver { process: p, request: r } if *p == process && r == request)
            })
        };
        for (number, process) in self.processes.iter_mut().enumerate() {
            process.given_up.retain(|request, _| comes(number, request));
            if process.crashed {
                process.flights.retain(|request, _| comes(number, request));
            }
        }
        self.happenings = happenings;
    }

    /// From here on nothing goes wrong, and what is held up never comes: everything must come to its end.
    pub(in crate::sim) fn calmed(&self) -> World {
        let mut world = self.clone();
        world.is_explored = false;
        world.happenings.retain(|_, (at, _)| *at != ANY_TIME);
        let due = world
            .happenings
            .iter()
            .map(|(serial, (at, _))| Reverse((*at, *serial)));
        world.queue = due.collect();
        for process in 0..world.processes.len() {
            if world.processes[process].stopped.is_some() {
                world.after(Duration::ZERO, Happening::Continue { process });
            }
            world.after(Duration::ZERO, Happening::Tick { process });
        }
        world
    }
}

/// Time does not pass before it has happened.
fn is_prompt(happening: &Happening) -> bool {
    match happening {
        Happening::User { .. } | Happening::Late(..) => false,
        Happening::Ask { what, .. } => matches!(what, Call::Free),
        _ => true,
    }
}

/// Consul may be another one when the request comes late.
fn matters_late(flight: &Flight) -> bool {
    let is_blocking = matches!(
        flight.request,
        Request::Watch { .. } | Request::WatchNames { .. }
    );
    is_blocking || is_write(&flight.request)
}

/// Consul may change something for the request.
fn is_write(request: &Request) -> bool {
    match request {
        Request::CreateSession { .. }
        | Request::RegisterNode { .. }
        | Request::RenewSession { .. }
        | Request::DestroySession { .. }
        | Request::Lock { .. }
        | Request::Unlock { .. }
        | Request::Join { .. }
        | Request::Take { .. }
        | Request::Clear { .. }
        | Request::Downgrade { .. }
        | Request::Upgrade { .. }
        | Request::Write { .. } => true,
        Request::DescribeNode { .. }
        | Request::DescribeAgent
        | Request::FindSession { .. }
        | Request::DescribeSession { .. }
        | Request::Prove { .. }
        | Request::Survey { .. }
        | Request::ReadLine { .. }
        | Request::Read { .. }
        | Request::Watch { .. }
        | Request::WatchNames { .. } => false,
    }
}
