//! `consul-lock free`, on a real Consul.

use serde_json::json;

use crate::support::locks::{foreign, held};
use crate::support::prelude::*;
use crate::support::pty::OnTerminal;

fn free(args: &[&str]) -> Ended {
    let mut all = vec!["free"];
    all.extend_from_slice(args);
    Running::start(&mut consul_lock(consul(), &all)).end()
}

fn on_terminal(key: &str) -> OnTerminal {
    OnTerminal::start(&mut consul_lock(consul(), &["free", key]))
}

#[test]
fn a_free_key_has_nothing_to_end() {
    let ended = free(&["free-free", "--yes"]).expect_code(1);
    assert_eq!(
        ended.stderr,
        "consul-lock: locks/ephemeral/free-free is free: there is nothing to end\n"
    );
}

#[test]
fn without_a_terminal_only_yes_ends_a_session() {
    let key = "free-yes";
    let holder = held(consul(), key, &[]);
    let session = holder.session_id().expect("held");
    let ended = free(&[key]).expect_code(64);
    assert!(ended.stderr.contains("--yes"), "{ended:?}");
    assert_eq!(consul().holder(&full(key)), Some(session.clone()));
    let ended = free(&[key, "--yes"]).expect_code(0);
    let begin = format!("ended session {session} of ");
    assert!(ended.stdout.starts_with(&begin), "{ended:?}");
    assert!(ended.stdout.contains("the lock is free"), "{ended:?}");
    assert_eq!(consul().holder(&full(key)), None);
    until("the holder learns of it", || !holder.is_held());
    free(&[key, "--yes"]).expect_code(1);
}

#[test]
fn objects_need_a_yes_also_on_a_terminal() {
    let key = "free-json-terminal";
    let holder = held(consul(), key, &[]);
    let mut free = OnTerminal::start(&mut consul_lock(consul(), &["free", key, "--json"]));
    free.shows("--json asks no question: --yes ends the session without a question");
    assert_eq!(free.end().code(), Some(64));
    assert!(holder.is_held());
    holder.release().expect("held");
}

#[test]
fn the_answer_on_a_terminal_decides() {
    let key = "free-terminal";
    let holder = held(consul(), key, &[]);
    let session = holder.session_id().expect("held");
    for (answer, code) in [("\n", 1), ("no\n", 1), ("y\n", 0)] {
        let mut free = on_terminal(key);
        free.shows("[y/N] ");
        assert_eq!(consul().holder(&full(key)), Some(session.clone()));
        let shown = free.shown();
        let runs = format!("A process {} runs on this host.", std::process::id());
        for words in [session.as_str(), &runs, "Make sure that it has stopped"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        free.types(answer);
        assert_eq!(free.end().code(), Some(code));
    }
    assert_eq!(consul().holder(&full(key)), None);
}

#[test]
fn a_lock_that_changed_hands_is_left_alone() {
    let key = "free-race";
    let first = held(consul(), key, &[]);
    let mut free = on_terminal(key);
    free.shows("[y/N] ");
    first.release().expect("held");
    let second = held(consul(), key, &[]);
    free.types("y\n");
    assert_eq!(free.end().code(), Some(1));
    free.shows("has changed hands meanwhile: nothing was changed");
    assert_eq!(consul().holder(&full(key)), second.session_id());
    // The same session, which has given the key back and taken it again.
    second.release().expect("held");
    let session = foreign(consul(), &full(key), json!({}));
    let mut free = on_terminal(key);
    free.shows("[y/N] ");
    for verb in ["release", "acquire"] {
        let path = format!("/v1/kv/{}?{verb}={session}", full(key));
        assert_eq!(consul().request("PUT", &path, "").body.trim(), "true");
    }
    free.types("y\n");
    assert_eq!(free.end().code(), Some(1));
    assert_eq!(consul().holder(&full(key)), Some(session.clone()));
    consul().destroy(&session);
    consul().request("DELETE", &format!("/v1/kv/{}", full(key)), "");
}

#[test]
fn of_those_that_share_one_is_picked() {
    let key = "free-shared";
    let share = &[("mode", "share"), ("limit", "3")];
    let sharers = [held(consul(), key, share), held(consul(), key, share)];
    let sessions = sharers
        .each_ref()
        .map(|sharer| sharer.session_id().expect("held"));
    let ended = free(&[key, "--yes"]).expect_code(64);
    assert!(
        ended
            .stderr
            .contains("2 sessions have the lock: --session ID")
    );
    for session in &sessions {
        assert!(ended.stdout.contains(session), "{ended:?}");
    }
    free(&[key, "--yes", "--session", "no-such-session"]).expect_code(1);
    let ended = free(&[key, "--yes", "--json", "--session", &sessions[1]]).expect_code(0);
    let json: Json = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(json["ended"], sessions[1]);
    assert_eq!(json["holder"], Json::Null);
    until("that one learns of it", || !sharers[1].is_held());
    // One is left, and needs no picking.
    let ended = free(&[key, "--yes"]).expect_code(0);
    assert!(ended.stdout.contains(&sessions[0]), "{ended:?}");
    nothing_of(consul(), key);
}

#[test]
fn the_session_of_another_program_keeps_its_lock_delay() {
    let key = "free-foreign";
    let settings = json!({"Behavior": "release", "LockDelay": "20s"});
    let session = foreign(consul(), key, settings);
    let ended = free(&["--pattern", "%s", key, "--yes"]).expect_code(0);
    assert!(ended.stdout.contains("\"Consul API Lock\""), "{ended:?}");
    let next = Running::start(&mut consul_lock(consul(), &["who", "--pattern", "%s", key]));
    next.end().expect_code(1);
    let reply = consul().request("PUT", "/v1/session/create", r#"{"TTL":"60s"}"#);
    let other: Json = serde_json::from_str(&reply.body).unwrap();
    let other = other["ID"].as_str().unwrap();
    let path = format!("/v1/kv/{key}?acquire={other}");
    assert_eq!(consul().request("PUT", &path, "").body.trim(), "false");
    consul().destroy(other);
    consul().request("DELETE", &format!("/v1/kv/{key}"), "");
    assert!(!consul().sessions().iter().any(|s| s["ID"] == session));
}
