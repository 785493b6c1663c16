//! The order of a line, and how long a key may be left alone: what the book of the line needs to know of Consul.

use super::*;
use crate::core::messages::{Limit, SEVERAL};
use crate::sim::model::Ticket;

/// The process that made a session of that name.
pub(super) fn process_of(session_name: &str) -> Option<usize> {
    let rest = session_name.strip_prefix("consul_lock sim@host:")?;
    rest.split(' ').next()?.parse().ok()
}

/// All keys of the waiter that has a ticket, if there are several.
fn keys_of(ticket: &Ticket) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_slice(&ticket.value).unwrap_or_default();
    let keys = value["keys"].as_array().into_iter().flatten();
    keys.filter_map(|key| key.as_str().map(str::to_owned))
        .collect()
}

impl World {
    /// The tickets of the simulated processes in the lines of the keys that a request is to take.
    pub(super) fn standing(&self, request: &Request) -> Vec<Standing> {
        let (Request::Lock { targets, .. } | Request::Take { targets, .. }) = request else {
            return Vec::new();
        };
        if self.plan.line != Some(Line::Undisturbed) {
            return Vec::new();
        }
        let of_key = |key: &Key| {
            let ours = |ticket: Ticket| {
                Some(Standing {
                    key: key.clone(),
                    process: process_of(&ticket.session_name)?,
                    index: ticket.create_index,
                    name: ticket.name,
                    session: ticket.session,
                    want: Want::of_flags(ticket.flags),
                })
            };
            self.model.line(key).into_iter().filter_map(ours).collect()
        };
        let lines = targets.iter().map(|target| of_key(&target.key));
        lines.flat_map(|line: Vec<Standing>| line).collect()
    }

    /// Consul gave a process a lock: checks that it was its turn.
    pub(super) fn granted(
        &mut self,
        process: usize,
        request: &Request,
        standing: &[Standing],
    ) -> Result<(), String> {
        if self.plan.line != Some(Line::Undisturbed) {
            return Ok(());
        }
        let want = |hold: &Hold| match hold {
            Hold::Exclusive { .. } => Want::Exclusive,
            Hold::Share { limit, .. } => Want::Share(*limit),
        };
        match request {
            Request::Lock { hold, .. } => self.line.passed(process, want(hold), standing),
            // No live head leaves the key alone.
            Request::Take {
                hold,
                ahead,
                session,
                targets,
                ..
            } if ahead.is_empty() => {
                for target in targets {
                    let line = standing.iter().filter(|other| other.key == target.key);
                    self.line
                        .served(process, session, want(hold), line.collect())?;
                }
                Ok(())
            }
            Request::Take { ahead, .. } | Request::Clear { ahead } => {
                // The end of a lock-delay wakes no waiter: the first that looks gets the key.
                let delayed = |key: &Key| {
                    let now = self.now;
                    self.model.was_delayed(now, key) || self.model.was_delayed_below(now, key)
                };
                // A process with few connections watches names: a ticket that is written again under the same name
                // between two lists looks like the old one until the waiter looks again.
                let few = self.plan.mix.is_some() && self.connections < 20;
                if few || ahead.iter().any(|ticket| delayed(&ticket.key)) {
                    return Ok(());
                }
                Err(format!("p{process} took the key past live waiters"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn look_at_line(&mut self) -> Result<(), String> {
        if self.plan.line.is_none() {
            return Ok(());
        }
        let mut book = std::mem::take(&mut self.line);
        let result = self.look_at_keys(&mut book);
        self.line = book;
        result
    }

    fn look_at_keys(&self, book: &mut LineBook) -> Result<(), String> {
        for number in 0..self.plan.keys {
            let key = key_number(number);
            let mut line = self.model.line(&key);
            line.sort_by_key(|ticket| (ticket.create_index, ticket.name.clone()));
            let head = line.first();
            let strays = self.strays(&line);
            if strays > 1 && line.iter().any(waits_rightly) {
                book.is_crowded(&key, self.now);
            }
            if !self.is_usable(&key, head) {
                book.is_used(&key);
                continue;
            }
            let name = head.map(|head| format!("{} {}", head.name, head.create_index));
            let can_take = |wait: &Wait| {
                let mut keys = wait.keys.all().iter();
                keys.all(|other| {
                    let line = (*other != key).then(|| self.model.line(other));
                    let first = line.iter().flatten();
                    let first = first.min_by_key(|one| (one.create_index, one.name.clone()));
                    let head = if *other == key { head } else { first };
                    self.has_room(other, wait.want) && self.is_usable(other, head)
                })
            };
            let bound = self.bound(book, &key, &line, strays);
            book.look(self.now, &key, name, bound, can_take)?;
        }
        Ok(())
    }

    /// The key is free, and the head of its line could take it.
    fn is_usable(&self, key: &str, head: Option<&Ticket>) -> bool {
        self.is_free(key) && head.is_none_or(|head| self.is_able(head, key))
    }

    fn is_free(&self, key: &str) -> bool {
        self.model.is_free(key) && !self.model.is_delayed(self.now, key)
    }

    /// One more may share the key.
    fn has_room(&self, key: &str, want: Want) -> bool {
        match want.limit() {
            None | Some(Limit::READERS) => true,
            Some(limit) => self.model.permits(self.now, key) < usize::from(limit.get()),
        }
    }

    /// The head of the line of a free key could act, or has lost one of its tickets.
    fn is_able(&self, head: &Ticket, key: &str) -> bool {
        if head.flags & SEVERAL == 0 {
            return self.has_room(key, Want::of_flags(head.flags));
        }
        let keys = keys_of(head);
        if !keys.iter().all(|key| self.is_free(key)) {
            return false;
        }
        let is_its =
            |one: &Ticket| one.session == head.session && one.create_index == head.create_index;
        let lines: Vec<Vec<Ticket>> = keys.iter().map(|key| self.model.line(key)).collect();
        let has_lost_one = lines.iter().any(|line| !line.iter().any(is_its));
        let first = |line: &Vec<Ticket>| {
            let first = line
                .iter()
                .min_by_key(|one| (one.create_index, one.name.clone()));
            first.is_some_and(is_its)
        };
        has_lost_one || lines.iter().all(first)
    }

    /// How long a key may be left alone that a waiter could take: two graces, a few round trips and twice 20 ms for
    /// each place. A head that stalls gets one grace; a waiter that finds another head then gives that one a grace,
    /// too. A waiter looks again after a second at a head that waits rightly, and after up to 10 s where others stood
    /// between them.
    fn bound(&self, book: &LineBook, key: &Key, line: &[Ticket], strays: usize) -> Duration {
        let places = self.processes.len() * self.plan.users;
        // The end of a lock-delay wakes no waiter: a waiter looks four times a second.
        let is_delayed = !self.scope.lock_delay.is_zero();
        let pause = Duration::from_millis(if is_delayed { 5 } else { 0 });
        let delay = self.plan.weather.delay + pause;
        let per_place = Duration::from_millis(42) * u32::try_from(places).unwrap_or(u32::MAX);
        let usual = GRACE * 2 + per_place + delay * 60 + Duration::from_millis(50);
        let is_patient = line.iter().any(waits_rightly);
        let patience = Duration::from_millis(match strays {
            _ if book.was_crowded(key, self.now) => 10_100,
            0 => 0,
            _ if is_patient => 1_100,
            _ => 0,
        });
        // One that shares passes an exclusive waiter that has just found a stalled head: that one begins anew.
        let shares = |head: &Ticket| Want::of_flags(head.flags) != Want::Exclusive;
        let twice = strays > 0 && line.first().is_some_and(shares);
        usual + patience + if twice { usual } else { Duration::ZERO }
    }

    /// How many at the beginning of a line belong to processes that are dead, or stood still.
    fn strays(&self, line: &[Ticket]) -> usize {
        let is_steady = |ticket: &Ticket| {
            let process = process_of(&ticket.session_name).and_then(|p| self.processes.get(p));
            process.is_some_and(|p| !p.crashed && p.stopped.is_none() && p.stopped_for.is_zero())
        };
        line.iter().take_while(|ticket| !is_steady(ticket)).count()
    }
}

/// The waiter may have to leave a free key alone: for its other keys, or for a slot.
fn waits_rightly(ticket: &Ticket) -> bool {
    let limit = Want::of_flags(ticket.flags).limit();
    ticket.flags & SEVERAL != 0 || limit.is_some_and(|limit| limit != Limit::READERS)
}
