//! What may happen next in a world that the explorer walks: all of it, one choice each.
//!
//! Messages take no time. Time passes only when no message is left that is not held up, so each request and each answer
//! comes at the instant at which it was sent, in every order. Whatever is later is a fault, and costs one.

use super::*;

/// A message that is held up comes at any instant, or never.
const ANY_TIME: Time = Time(u64::MAX);

/// A leader stands still for no longer than this, which is more than twice the TTL.
const LONGEST_FREEZE: Duration = Duration::from_secs(25);

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
    /// Consul removes the server that is the agent of all processes, and the server comes back at once.
    pub(in crate::sim) removals: bool,
    /// Another program writes its data under a key that is free.
    pub(in crate::sim) data: bool,
    /// A waiter for several keys dies, and an operator removes one of its tickets.
    pub(in crate::sim) maims: bool,
    /// An operator deletes a locked key, or ends a session that holds one.
    pub(in crate::sim) operators: bool,
    /// The leader stands still, and goes on later. The agent of a process asks that leader meanwhile.
    pub(in crate::sim) freezes: bool,
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
    /// Consul applies the request now, the connection breaks, and Consul applies a copy at any instant.
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
    RemoveNode,
    Squat,
    Maim,
    /// An operator deletes the row of a lock.
    Delete(String),
    /// An operator ends the session of a lock.
    End(String),
    /// The leader stands still, and the servers elect another one. The agent of the process goes on asking the old
    /// leader.
    Freeze(usize),
    /// The old leader goes on.
    Thaw,
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
            | Choice::NewLeader
            | Choice::RemoveNode
            | Choice::Squat
            | Choice::Maim
            | Choice::Delete(_)
            | Choice::End(_)
            | Choice::Freeze(_) => 1,
            Choice::Next(_)
            | Choice::Tick(_)
            | Choice::Continue(_)
            | Choice::Expire(_)
            | Choice::Thaw
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
        let comes_first = |process: Option<usize>| {
            self.happenings.values().any(|(at, happening)| {
                let is_its = process.is_none() || process == of_process(happening);
                *at <= self.now && is_its && is_first(happening) && self.is_awake(happening)
            })
        };
        let answers_come = comes_first(None);
        for (serial, (at, happening)) in &self.happenings {
            let is_due = *at <= self.now;
            if !self.is_awake(happening) || !(is_due || *at == ANY_TIME) {
                continue;
            }
            if answers_come && !(is_due && is_first(happening)) {
                continue;
            }
            let may_come = !self.is_stranded(happening);
            if !may_come || !self.may_begin(happening) || !self.may_end(happening) {
                continue;
            }
            choices.push(Choice::Next(*serial));
            may_wait &= !(is_due && self.is_prompt(happening));
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
            if process.crashed || (answers_come && !comes_first(Some(number))) {
                continue;
            }
            if process.stopped.is_some() {
                choices.push(Choice::Continue(number));
                continue;
            }
            if !answers_come && self.has_alarm(number) {
                choices.push(Choice::Tick(number));
                may_wait = false;
            }
            let is_over = process.users.iter().all(|user| user.doing == Doing::Done);
            let has_begun = process.users.iter().any(|user| user.lock != LockId(0));
            if may_fail && faults.stops && !is_over && has_begun {
                choices.push(Choice::Stop(number));
            }
            let is_idle = is_over && process.core.is_idle();
            if may_fail && faults.deaths && has_begun && !is_idle {
                choices.push(Choice::Die(number));
            }
            let acquires = |user: &User| matches!(user.doing, Doing::Acquiring(_));
            if may_fail && faults.cancels && process.users.iter().any(acquires) {
                choices.push(Choice::Cancel(number));
            }
            // A message that is on its way then is one that is held up, and other faults are for those.
            let may_freeze = faults.freezes && !process.asks_old_leader && !self.is_busy();
            if may_fail && may_freeze && has_begun && !is_idle {
                choices.push(Choice::Freeze(number));
            }
        }
        if answers_come {
            return choices;
        }
        // The new leader does not know what the old one confirms. A session whose holder asked the old one lives by what
        // Consul adds to each TTL, which is as much again, and nothing else protects the holder.
        if !faults.freezes {
            choices.extend(self.model.endable(self.now).into_iter().map(Choice::Expire));
        }
        if let Some(end) = self.frozen {
            choices.push(Choice::Thaw);
            may_wait &= self.now < end;
        }
        if may_fail && faults.operators {
            let held = self.model.held_keys();
            let sessions: BTreeSet<&String> = held.iter().map(|(_, session)| session).collect();
            choices.extend(sessions.into_iter().cloned().map(Choice::End));
            choices.extend(held.iter().map(|(row, _)| Choice::Delete(row.clone())));
        }
        if may_fail && faults.leaders && self.model.next_endable_at(Time(0)).is_some() {
            choices.push(Choice::NewLeader);
        }
        if may_fail && faults.removals {
            choices.push(Choice::RemoveNode);
        }
        let is_free = (0..self.plan.keys).any(|number| self.model.is_absent(&key_number(number)));
        if may_fail && faults.data && is_free {
            choices.push(Choice::Squat);
        }
        if may_fail && faults.maims && self.may_maim() {
            choices.push(Choice::Maim);
        }
        if may_wait && let Some(next) = self.next_instant() {
            choices.push(Choice::Wait(next));
        }
        choices
    }

    /// Nothing more can happen that matters: every user has finished, and the cores owe nothing.
    pub(in crate::sim) fn is_at_rest(&self) -> bool {
        self.is_over()
            && self
                .happenings
                .values()
                .all(|it| self.changes_nothing(&it.1))
            && self
                .processes
                .iter()
                .all(|process| process.crashed || process.core.is_idle())
    }

    /// It is about a request that only reads.
    fn changes_nothing(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Deliver { process, request }
            | Happening::Answer {
                process, request, ..
            } => {
                let process = &self.processes[*process];
                let flight = process.flights.get(request);
                let flight = flight.or(process.given_up.get(request));
                flight.is_none_or(|flight| !is_write(&flight.request))
            }
            _ => false,
        }
    }

    /// Processes with the same locks differ only in their names: they begin in the order of their numbers.
    fn may_begin(&self, happening: &Happening) -> bool {
        let (Happening::User { process, .. }, Some(script)) = (happening, &self.plan.script) else {
            return true;
        };
        let Some(before) = process.checked_sub(1) else {
            return true;
        };
        let has_begun = |process: usize| self.processes[process].users[0].lock != LockId(0);
        if self.in_turn && !has_begun(*process) {
            return has_begun(before) && !self.is_busy();
        }
        let wants = |process: usize| -> Vec<_> {
            let locks = script[process].iter();
            locks
                .map(|Turn { spec, change }| {
                    let change = change.as_ref().map(std::mem::discriminant);
                    (&spec.keys, spec.want, spec.patience, spec.upkeep, change)
                })
                .collect()
        };
        wants(before) != wants(*process) || has_begun(before)
    }

    /// A message is due, or an alarm.
    fn is_busy(&self) -> bool {
        let is_message = |happening: &Happening| {
            matches!(
                happening,
                Happening::Deliver { .. } | Happening::Answer { .. }
            )
        };
        let mut messages = self.happenings.values();
        messages.any(|(at, happening)| {
            *at <= self.now && is_message(happening) && self.is_awake(happening)
        }) || (0..self.processes.len()).any(|process| self.has_alarm(process))
    }

    /// The core of the process wants to be woken now.
    fn has_alarm(&self, number: usize) -> bool {
        let process = &self.processes[number];
        let is_awake = !process.crashed && process.stopped.is_none();
        let alarm = process.core.wake_at().map(|at| self.global(number, at));
        is_awake && alarm.is_some_and(|at| at <= self.now)
    }

    /// A holder gives its lock back at the instant at which it got the lock, or when the lock is lost.
    fn may_end(&self, happening: &Happening) -> bool {
        let Happening::User { process, user } = happening else {
            return true;
        };
        let state = &self.processes[*process].users[*user];
        state.doing != Doing::Holding
            || state.since == self.now
            || self.ledger.is_lost(*process, state.lock)
    }

    /// Time does not pass before it has happened: callers do not tarry.
    fn is_prompt(&self, happening: &Happening) -> bool {
        match happening {
            Happening::User { process, user } => {
                let state = &self.processes[*process].users[*user];
                state.doing != Doing::Holding || self.ledger.is_lost(*process, state.lock)
            }
            Happening::Late(..) | Happening::Squatter => false,
            _ => true,
        }
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
            Choice::RemoveNode => {
                self.note(|| "consul: autopilot removes the server, which comes back".to_owned());
                self.remove_node(NODE);
                self.model.add_node(NODE);
            }
            Choice::Squat => self.squat()?,
            Choice::Maim => self.maim(),
            Choice::Delete(row) => self.delete_row(row),
            Choice::End(session) => self.end_session(session),
            Choice::Freeze(process) => self.freeze(*process),
            Choice::Thaw => self.thaw(),
            Choice::Wait(next) => {
                self.now = *next;
                self.note(|| "time passes".to_owned());
                self.notices.in_time(self.now)?;
                self.look_at_line()?;
                self.model.advance(self.now);
            }
        }
        self.wake_watchers();
        self.tidy();
        Ok(())
    }

    /// The leader stands still. The servers elect another one at once, which gives the old leader the most time.
    fn freeze(&mut self, process: usize) {
        if self.frozen.is_none() {
            self.frozen = Some(self.now + LONGEST_FREEZE);
            self.note(|| {
                "consul: the leader stands still; a new one starts every TTL again".to_owned()
            });
            self.model.freeze_leader();
            self.model.leader_change(self.now);
        }
        self.note(|| format!("consul: the agent of p{process} asks the old leader"));
        self.processes[process].asks_old_leader = true;
    }

    /// The old leader answers the renewals that have waited for it from its memory. Then it finds that it leads no more,
    /// and the other requests go to the new leader.
    fn thaw(&mut self) {
        self.note(|| "consul: the old leader goes on".to_owned());
        let is_renewal = |happening: &Happening| {
            let Happening::Deliver { process, request } = happening else {
                return None;
            };
            let asks = &self.processes[*process];
            let flight = asks.flights.get(request).or(asks.given_up.get(request))?;
            match &flight.request {
                Request::RenewSession { session } if asks.asks_old_leader => {
                    Some((*process, *request, session.clone()))
                }
                _ => None,
            }
        };
        let waiting = self.happenings.iter();
        let renewals = waiting.filter_map(|(serial, it)| Some((*serial, is_renewal(&it.1)?)));
        let renewals: Vec<_> = renewals.collect();
        for (serial, (process, request, session)) in renewals {
            self.happenings.remove(&serial);
            let result = Ok(self.model.renew_at_old_leader(&session.0));
            let answer = Happening::Answer {
                process,
                request,
                result,
            };
            self.at(self.now, answer);
        }
        self.leave_old_leader();
    }

    /// No process asks the old leader any more.
    fn leave_old_leader(&mut self) {
        self.frozen = None;
        for process in &mut self.processes {
            // Parts that do not change stay shared.
            if process.asks_old_leader {
                process.asks_old_leader = false;
            }
        }
    }

    /// The request waits for the leader that stands still.
    fn is_stranded(&self, happening: &Happening) -> bool {
        matches!(happening, Happening::Deliver { process, .. } if self.processes[*process].asks_old_leader)
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
                // A request that Consul has answered is over: Consul repeats a write only when it was not applied.
                let its = |happening: &Happening| {
                    matches!(happening, Happening::Answer { process: p, request: r, .. }
                        if *p == process && *r == request)
                };
                for (_, happening) in self.happenings.values_mut() {
                    if its(happening)
                        && let Happening::Answer { result, .. } = happening
                        && result.is_ok()
                    {
                        *result = reset();
                    }
                }
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
            self.frozen,
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
                let state = &process.users[*user];
                if state.doing == Doing::Thinking && state.rounds == 0 {
                    process.users[*user].doing = Doing::Done;
                }
                !process.crashed && process.users[*user].doing != Doing::Done
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
            // Parts that do not change stay shared.
            let is_over = |request: &RequestId| !comes(number, request);
            if process.given_up.keys().any(is_over) {
                process.given_up.retain(|request, _| comes(number, request));
            }
            if process.crashed && process.flights.keys().any(is_over) {
                process.flights.retain(|request, _| comes(number, request));
            }
        }
        self.happenings = happenings;
    }

    /// From here on nothing goes wrong, and what is held up never comes: everything must come to its end.
    pub(in crate::sim) fn calmed(&self) -> World {
        let mut world = self.clone();
        world.is_explored = false;
        world.leave_old_leader();
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

/// The process that it happens to.
fn of_process(happening: &Happening) -> Option<usize> {
    match happening {
        Happening::Answer { process, .. } | Happening::Ask { process, .. } => Some(*process),
        _ => None,
    }
}

/// It comes before everything else: an answer that is not held up, and what a caller does at once.
fn is_first(happening: &Happening) -> bool {
    match happening {
        Happening::Answer { .. } => true,
        Happening::Ask { what, .. } => matches!(what, Call::Free),
        _ => false,
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
