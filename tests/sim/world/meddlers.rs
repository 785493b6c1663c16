//! The meddlers: an operator, a client without tickets, another program, Consul itself.

use super::*;

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
    }

    pub(super) fn look_at_line(&mut self) -> Result<(), String> {
        if self.plan.line.is_none() {
            return Ok(());
        }
        let free = self.model.is_free(KEY) && !self.model.is_delayed(self.now, KEY);
        if !free {
            return self.line.look(self.now, false, None, 0, Duration::ZERO);
        }
        let places = self.processes.len() * self.plan.users;
        let delay = self.plan.weather.delay;
        let first = self.model.tickets(KEY).into_iter().min();
        let first = first.map(|(index, name, _)| format!("{name} {index}"));
        // The end of a lock-delay wakes no waiter: a waiter looks four times a second.
        let pause = Duration::from_millis(if self.scope.lock_delay.is_zero() {
            0
        } else {
            5
        });
        let delay = delay + pause;
        self.line.look(self.now, free, first, places, delay)
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
            self.model.delete_key(self.now, &key);
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
                    for (process, lease_end) in self.ledger.believers(KEY) {
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
                self.ledger.tampered(&key);
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
        let Some((key, session)) = held.into_iter().next() else {
            return;
        };
        self.ledger.tampered(&key);
        if self.random.chance(500) {
            self.note(|| format!("operator: destroys session {session} of {key}"));
            self.model.kill_session(self.now, &session);
        } else {
            self.note(|| format!("operator: deletes {key}"));
            self.model.delete_key(self.now, &key);
        }
        self.wake_watchers();
    }
}
