//! What becomes of an answer that cannot be written.

use std::fs::OpenOptions;
use std::process::Output;

use crate::support::locks::held;
use crate::support::prelude::*;

/// Runs the command with a disk that is full as its standard output.
fn onto_a_full_disk(args: &[&str]) -> Output {
    let full = OpenOptions::new().write(true).open("/dev/full");
    let mut command = consul_lock(consul(), args);
    command.stdin(Stdio::null()).stdout(full.expect("Linux"));
    command.output().expect("the command")
}

const LOST: &str =
    "could not write to the standard output: No space left on device (os error 28)\n";

#[test]
fn an_answer_that_is_lost_is_no_success() {
    let key = "output-lost";
    let holder = held(consul(), key, &[]);
    for args in [
        &["who", key][..],
        &["who", key, "--json"],
        &["ls", key],
        &["ls", key, "--json"],
        &["ls", key, "--watch"],
        &["wait", key, "--timeout", "0", "--json"],
        &["wait", "output-free"],
        &["doctor"],
        &["doctor", "--json"],
        &["dev"],
        &["--help"],
    ] {
        let ended = onto_a_full_disk(args);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(74), "{args:?} {said}");
        assert_eq!(said, format!("consul-lock: {LOST}"), "{args:?}");
    }
    holder.release().expect("held");
}

#[test]
fn what_was_done_is_said_with_the_loss() {
    let key = "output-free-done";
    let holder = held(consul(), key, &[]);
    let session = holder.session_id().expect("held");
    let ended = onto_a_full_disk(&["free", key, "--yes"]);
    assert_eq!(ended.status.code(), Some(74));
    let said = String::from_utf8_lossy(&ended.stderr);
    let expected = format!("consul-lock: ended session {session}, but {LOST}");
    assert_eq!(said, expected);
    assert_eq!(consul().holder(&full(key)), None);
}

#[test]
fn a_reader_that_has_gone_changes_nothing() {
    let key = "output-gone";
    let holder = held(consul(), key, &[]);
    for (args, code) in [
        (&["who", key][..], 0),
        (&["who", "output-none"], 1),
        (&["ls", key, "--json"], 0),
        (&["wait", "output-none"], 0),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = consul_lock(consul(), args);
        command.stdin(Stdio::null()).stdout(writer);
        let ended = command.output().expect("the command");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{args:?} {said}");
        assert_eq!(said, "", "{args:?}");
    }
    holder.release().expect("held");
}
