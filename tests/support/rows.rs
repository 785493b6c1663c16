//! What stands in Consul for a lock: its key, the tickets of its line, the rows of those who share it.

use std::sync::mpsc::{Receiver, channel};

use consul_lock::error::LostReason;
use consul_lock::lock::Lock;

use super::consul::{Consul, until};
use super::prelude::full;

/// The keys in a folder below a key.
fn below(consul: &Consul, key: &str, folder: &str) -> Vec<String> {
    let folder = format!("{}/{folder}/", full(key));
    let keys = consul.keys().into_iter();
    keys.filter(|key| key.starts_with(&folder)).collect()
}

/// How many stand in the line of a key.
pub(crate) fn tickets(consul: &Consul, key: &str) -> usize {
    below(consul, key, ".fifo").len()
}

/// The rows of those who share a key.
pub(crate) fn shares(consul: &Consul, key: &str) -> Vec<String> {
    below(consul, key, ".share")
}

/// A session holds the key itself.
pub(crate) fn is_taken(consul: &Consul, key: &str) -> bool {
    consul.holder(&full(key)).is_some()
}

/// Nothing of that key is left, at the latest after a moment.
#[track_caller]
pub(crate) fn nothing_of(consul: &Consul, key: &str) {
    let full = full(key);
    let what = format!("nothing is left of {key}");
    until(&what, || {
        !consul.keys().iter().any(|key| key.starts_with(&full))
    });
}

/// What the lost callback of a lock is told; the channel is closed when the callback is dropped.
pub(crate) fn losses(lock: &Lock) -> Receiver<LostReason> {
    let (told, heard) = channel();
    let told = Box::new(move |reason| told.send(reason).expect("the test listens"));
    lock.set_lost_callback(Some(told)).expect("a callback");
    heard
}
