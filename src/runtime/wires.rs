//! Connections that wait for their next request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;
use crate::clock::Time;
use crate::consul::transport::{Connections, Endpoint, Wire};

/// Kept at most; more are closed.
const MOST_IDLE: usize = 16;

/// One that waited longer is not used again: whatever stands between may have forgotten it.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// A stack: the connection used last is used next, and the others may age.
#[derive(Debug)]
pub(super) struct Wires {
    endpoint: Endpoint,
    connections: Arc<Connections>,
    idle: Mutex<Vec<(Wire, Time)>>,
}

impl Wires {
    pub(super) fn new(endpoint: Endpoint) -> Wires {
        Wires {
            endpoint,
            connections: Arc::default(),
            idle: Mutex::default(),
        }
    }

    /// An open connection, if there is one. Those that died or aged while they waited are dropped.
    pub(super) fn take_open(&self) -> Option<Wire> {
        let now = Time::now();
        loop {
            let (wire, since) = lock(&self.idle).pop()?;
            if now.since(since) <= LONGEST_IDLE && wire.is_open() {
                return Some(wire);
            }
        }
    }

    /// An open connection, or one that opens itself.
    pub(super) fn open(&self) -> Wire {
        self.take_open()
            .unwrap_or_else(|| Wire::new(&self.endpoint).counted_by(&self.connections))
    }

    /// How many there are, idle or not.
    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Takes one back after a complete exchange.
    pub(super) fn put(&self, wire: Wire) {
        let now = Time::now();
        let mut idle = lock(&self.idle);
        let aged = idle
            .iter()
            .take_while(|(_, since)| now.since(*since) > LONGEST_IDLE)
            .count();
        let full = usize::from(idle.len() - aged >= MOST_IDLE);
        let closed: Vec<_> = idle.drain(..aged + full).collect();
        idle.push((wire, now));
        drop(idle);
        // Closing is a system call each: not under the mutex.
        drop(closed);
    }
}
