//! What nearly every test begins with: `use crate::support::prelude::*`.
#![allow(unused_imports)] // each test file uses a part of it

pub(crate) use std::process::{Command, Stdio};
pub(crate) use std::sync::OnceLock;
pub(crate) use std::thread;
pub(crate) use std::time::{Duration, Instant};

pub(crate) use nix::sys::signal::Signal;
pub(crate) use serde_json::Value as Json;

pub(crate) use super::Scratch;
pub(crate) use super::consul::{Consul, until};
pub(crate) use super::process::{Ended, Running, consul_lock, is_alive, marked, signal};

/// One agent for the tests that count nothing in Consul. Each test uses keys of its own.
pub(crate) fn consul() -> &'static Consul {
    static CONSUL: OnceLock<Consul> = OnceLock::new();
    CONSUL.get_or_init(Consul::start)
}

/// A key as Consul has it.
pub(crate) fn full(key: &str) -> String {
    format!("locks/ephemeral/{key}")
}

/// A session holds the key.
pub(crate) fn is_held(key: &str) -> bool {
    consul().holder(&full(key)).is_some()
}

/// Nothing of that key is left in Consul, at the latest after a moment.
#[track_caller]
pub(crate) fn nothing_of(consul: &Consul, key: &str) {
    let full = full(key);
    until(&format!("nothing is left of {key}"), || {
        !consul.keys().iter().any(|key| key.starts_with(&full))
    });
}

/// No session of the process is left in Consul, at the latest after a moment.
#[track_caller]
pub(crate) fn no_session_of(consul: &Consul, pid: u32) {
    let ours = format!(":{pid} ");
    until(&format!("no session of {pid} is left"), || {
        let sessions = consul.sessions();
        let mut names = sessions
            .iter()
            .filter_map(|session| session["Name"].as_str());
        !names.any(|name| name.contains(&ours))
    });
}

/// The command has left nothing: no process, no key of the lock, no session.
#[track_caller]
pub(crate) fn leaves_nothing(consul: &Consul, key: &str, ended: &Ended) {
    ended.leaves_no_process();
    nothing_of(consul, key);
    no_session_of(consul, ended.pid);
}
