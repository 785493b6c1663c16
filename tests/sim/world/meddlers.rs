//! The meddlers: an operator, a client without tickets, another program, Consul itself.

use super::super::holders::key_of_row;
use super::order::process_of;
use super::*;
use crate::core::Keys;
use crate::core::messages::SEVERAL;

impl World {
    pub(super) fn disturb(&mut self, line: Line) {
        let Line::Disturbed { foreign, sweeps } = line else {
            return;
        };
        let soon = Duration::from_millis(400);
        for process in 0..self.processes.len() {
            if self.plan.stops && self.random.chance(500) {
                let at = self.random.duration(soon);
                self.after(at, Happening::Stop { process });
            }
            if self.plan.crashes && self.random.chance(300) {
                let at = self.random.duration(soon * 2);
                self.after(at, Happening::Crash { process });
            }
        }
        if foreign {
            self.after(Duration::ZERO, Happening::Foreigner);
        }
        if sweeps {
            let at = self.random.duration(soon);
            self.after(at, Happening::Sweep);
        }
        if self.plan.mix.as_ref().is_some_and(|mix| mix.maims) {
            let at = self.random.duration(soon);
            self.after(at, Happening::Maim);
        }
    }

    /// A live process has a ticket for several keys.
    pub(super) fn may_maim(&self) -> bool {
        let lines = (0..self.plan.keys).flat_map(|number| self.model.line(&key_number(number)));
        let mut of_several = lines.filter(|ticket| ticket.flags & SEVERAL != 0);
        of_several.any(|ticket| {
            let process = process_of(&ticket.session_name);
            process.is_some_and(|process| !self.processes[process].crashed)
        })
    }

    /// A process that waits for several keys dies, and an operator removes one of its tickets.
    pub(super) fn maim(&mut self) {
        let mut tickets = Vec::new();
        for number in 0..self.plan.keys {
            let line = self.model.line(&key_number(number));
            tickets.extend(
                line.into_iter()
                    .filter(|ticket| ticket.flags & SEVERAL != 0),
            );
        }
        let chosen = self.random.below(tickets.len() as u64) as usize;
        let ticket = tickets.get(chosen);
        match ticket.and_then(|ticket| Some((process_of(&ticket.session_name)?, ticket))) {
            Some((process, ticket)) if !self.processes[process].crashed => {
                self.note(|| format!("operator: removes {}", ticket.name));
                self.maimed += 1;
                self.crash(process);
                self.model.delete_key(&ticket.name);
                self.wake_watchers();
            }
            _ => {
                let pause = self.random.duration(Duration::from_millis(20));
                self.after(pause, Happening::Maim);
            }
        }
    }

    /// Another program writes under a free key, or checks that its data is as it left them.
    pub(super) fn squat(&mut self) -> Result<(), String> {
        let put = |key: &str, flags: u64| HttpRequest {
            method: Method::Put,
            target: format!("/v1/kv/{key}?flags={flags}"),
            body: Some(b"data".to_vec()),
        };
        if let Some(key) = self.squatted.take() {
            self.note(|| format!("squatter: looks after {key}"));
            if !self.model.is_data(&key) {
                return Err(format!("the data of another program in {key} are gone"));
            }
            self.model.delete_key(&key);
        } else {
            let key = format!("locks/{}", self.random.below(self.plan.keys));
            if !self.model.is_absent(&key) {
                return Ok(());
            }
            // A lock that Consul's Go client gave back, or other data.
            let flags = if self.random.chance(500) {
                LOCK_FLAGS
            } else {
                0
            };
            self.note(|| format!("squatter: writes {key} with flags {flags}"));
            self.model.handle(self.now, &put(&key, flags));
            if flags == 0 {
                self.squatted = Some(key);
                let stay = self.random.duration(Duration::from_secs(3));
                self.after(stay, Happening::Squatter);
            }
        }
        self.wake_watchers();
        Ok(())
    }

    /// The client without tickets: `PUT ?acquire`, hold, destroy the session.
    pub(super) fn foreigner(&mut self) -> Result<(), String> {
        let put = |target: String, body: &str| HttpRequest {
            method: Method::Put,
            target,
            body: Some(body.as_bytes().to_vec()),
        };
        match self.foreigner.take() {
            Some((session, true)) => {
                self.note(|| "foreigner: gives back".to_owned());
                self.model.kill_session(self.now, &session);
            }
            before => {
                let session = match before {
                    Some((session, _)) => session,
                    None => {
                        let body = "{\"TTL\":\"60s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\"}";
                        let create = put("/v1/session/create".to_owned(), body);
                        let Served::Reply(reply) = self.model.handle(self.now, &create) else {
                            return Ok(());
                        };
                        let text = String::from_utf8_lossy(&reply.body).into_owned();
                        text.split('"').nth(3).unwrap_or_default().to_owned()
                    }
                };
                let acquire = put(format!("/v1/kv/{KEY}?acquire={session}"), "");
                let got = match self.model.handle(self.now, &acquire) {
                    Served::Reply(reply) => reply.body == b"true",
                    Served::Parked(_) => false,
                };
                self.note(|| format!("foreigner: tries, {got}"));
                if got {
                    let now = self.now;
                    for (process, lease_end) in self.ledger.holders.alone_on(KEY) {
                        if self.clock_at(process, now) < lease_end {
                            return Err(format!("p{process} and a foreigner hold one key"));
                        }
                    }
                }
                self.foreigner = Some((session, got));
            }
        }
        self.wake_watchers();
        self.foreign_steps += 1;
        if self.foreign_steps < 400 || matches!(self.foreigner, Some((_, true))) {
            let pause = self.random.duration(Duration::from_millis(8));
            self.after(pause, Happening::Foreigner);
        }
        Ok(())
    }

    /// Consul removes the node of the agent, and ends the sessions that are bound to it, which no holder can know.
    /// With a `session_node` no session may be bound to the agent's node.
    pub(super) fn remove_node(&mut self, node: &str) {
        let ended = self.model.sessions_of(node);
        let is_excused = node == SESSION_NODE || !self.plan.session_node;
        for (key, session) in self.model.held_keys() {
            if is_excused && ended.contains(&session) {
                self.ledger.holders.tampered(&key);
            }
        }
        self.model.remove_node(self.now, node);
        self.wake_watchers();
    }

    /// An operator ends a session, deletes a key, or deregisters a node: locks are advisory.
    pub(super) fn operate(&mut self) {
        if self.plan.session_node && self.random.chance(300) {
            self.note(|| "operator: deregisters the node of the sessions".to_owned());
            return self.remove_node(SESSION_NODE);
        }
        let held = self.model.held_keys();
        let chosen = match self.plan.mix {
            Some(_) => self.random.below(held.len() as u64) as usize,
            None => 0,
        };
        let Some((key, session)) = held.get(chosen).cloned() else {
            return;
        };
        if self.random.chance(500) {
            self.end_session(&session);
        } else {
            self.delete_row(&key);
        }
        self.wake_watchers();
    }

    /// An operator ends a session.
    pub(super) fn end_session(&mut self, session: &str) {
        self.owes_notice(session, None);
        self.note(|| format!("operator: destroys session {session}"));
        for (row, holder) in self.model.held_keys() {
            if holder == session {
                self.ledger.holders.tampered(&row);
            }
        }
        self.model.kill_session(self.now, session);
    }

    /// An operator deletes the row of a lock.
    pub(super) fn delete_row(&mut self, row: &str) {
        let held = self.model.held_keys().into_iter();
        let holder = held
            .filter(|(locked, _)| locked == row)
            .map(|(_, session)| session);
        for session in holder.collect::<Vec<_>>() {
            self.owes_notice(&session, Some(row));
        }
        self.note(|| format!("operator: deletes {row}"));
        self.ledger.holders.tampered(row);
        self.model.delete_key(row);
    }

    /// An operator deletes a row of a session, or (None) ends the session. If the session holds a lock, its holder is
    /// told, unless the network, the cluster or the process itself is in the way, or a query may have to wait.
    fn owes_notice(&mut self, session: &str, row: Option<&str>) {
        let plan = &self.plan;
        let quick = plan.weather.faults == 0 && plan.weather.delay <= Duration::from_millis(50);
        let cluster = plan.leader_changes || plan.leader_freezes.is_some();
        let queries = plan.users == 1 && self.connections > 4;
        if !quick || cluster || plan.stops || !queries {
            return;
        }
        let who = self.ledger.last_lock_of(&SessionId(session.into()));
        let held = who.filter(|who| self.ledger.holders.is_settled(*who));
        let Some(who) = held.filter(|who| self.ledger.is_monitored(*who)) else {
            return;
        };
        let keys = self.ledger.holders.keys_of(who).map_or(&[][..], Keys::all);
        let blow = match row {
            None => Blow::Session,
            Some(row) => match keys.iter().position(|key| &**key == key_of_row(row)) {
                Some(0) => Blow::FirstKey,
                Some(_) => Blow::OtherKey,
                // A ticket that is left of the wait: the lock loses nothing.
                None => return,
            },
        };
        self.notices.owes(who, blow, self.now);
    }
}
