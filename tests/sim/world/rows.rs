//! The rows in Consul, beside what the cores believe.

use super::*;
use crate::core::messages::Found;

impl World {
    /// Consul applied a request.
    pub(super) fn check_rows(&mut self, request: &Request) -> Result<(), String> {
        let (targets, hold, session) = match request {
            Request::Lock {
                targets,
                hold,
                session,
                ..
            }
            | Request::Take {
                targets,
                hold,
                session,
                ..
            } => (targets, hold, session),
            Request::Upgrade {
                target, session, ..
            } => {
                self.taken.insert(session.clone(), vec![target.key.clone()]);
                return self.no_part();
            }
            Request::Unlock { .. } | Request::Clear { .. } | Request::Join { .. } => {
                return self.no_part();
            }
            _ => return Ok(()),
        };
        if let Hold::Share { .. } = hold {
            // A row that was the session's before may stay while another one waits with the key.
            for target in targets.iter().filter(|target| target.found != Found::Ours) {
                let key = &target.key;
                if !self.model.is_free(key) || self.model.is_delayed(self.now, key) {
                    return Err(format!(
                        "{session} began to share {key}, which was not free"
                    ));
                }
            }
            self.taken.remove(session);
        } else {
            let keys = targets.iter().map(|target| target.key.clone()).collect();
            self.taken.insert(session.clone(), keys);
        }
        self.no_part()
    }

    /// No session holds a part of the keys that it took together.
    fn no_part(&self) -> Result<(), String> {
        for (session, keys) in self.taken.iter().filter(|(_, keys)| keys.len() > 1) {
            if keys.iter().any(|key| self.ledger.holders.is_tampered(key)) {
                continue;
            }
            let is_its = |key: &&Key| self.model.holder(key) == Some(&*session.0);
            let held = keys.iter().filter(is_its).count();
            if held != 0 && held != keys.len() {
                return Err(format!("{session} holds {held} of {keys:?}"));
            }
        }
        Ok(())
    }

    /// A caller was told that it holds a lock: Consul has all of its rows.
    pub(super) fn holds_its_rows(&self, process: usize, lock: LockId) -> Result<(), String> {
        let me = (process, lock);
        let holders = &self.ledger.holders;
        let Some(session) = self.ledger.session_of(process, lock) else {
            return Ok(());
        };
        if self.plan.mix.is_none() || !holders.is_alone(me) {
            return Ok(());
        }
        let Some(keys) = holders.keys_of(me) else {
            return Ok(());
        };
        let is_missing =
            |key: &&Key| !holders.is_tampered(key) && self.model.holder(key) != Some(&*session.0);
        match keys.all().iter().find(is_missing) {
            Some(key) => Err(format!(
                "p{process} lock {} was told to hold {key}, which {:?} holds",
                lock.0,
                self.model.holder(key)
            )),
            None => Ok(()),
        }
    }
}
