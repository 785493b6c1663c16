//! `consul-lock wait`, on a real Consul.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::locks::{foreign, held};
use crate::support::prelude::*;

fn start(args: &[&str]) -> Running {
    let mut all = vec!["wait"];
    all.extend_from_slice(args);
    Running::start(&mut consul_lock(consul(), &all))
}

#[test]
fn a_free_key_is_not_waited_for() {
    let ended = start(&["wait-free"]).end().expect_code(0);
    assert_eq!(ended.stdout, "locks/ephemeral/wait-free is free\n");
    assert_eq!(ended.stderr, "");
}

#[test]
fn it_ends_with_the_hold_and_takes_nothing() {
    let key = "wait-held";
    let holder = held(consul(), key, &[]);
    let mut waiting = start(&[key, "--json"]);
    thread::sleep(Duration::from_millis(700));
    assert!(waiting.is_running());
    holder.release().expect("held");
    let released = Instant::now();
    let ended = waiting.end().expect_code(0);
    assert!(released.elapsed() < Duration::from_secs(3));
    let json: Json = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(json["state"], "free");
    assert!(json["waited_ms"].as_u64().unwrap() >= 500, "{json}");
    nothing_of(consul(), key);
    no_session_of(consul(), ended.pid);
}

#[test]
fn those_that_share_are_waited_for_too() {
    let key = "wait-shared";
    let share = &[("mode", "share"), ("limit", "3")];
    let sharers = [held(consul(), key, share), held(consul(), key, share)];
    let mut waiting = start(&[key]);
    for sharer in &sharers {
        thread::sleep(Duration::from_millis(400));
        assert!(waiting.is_running());
        sharer.release().expect("held");
    }
    waiting.end().expect_code(0);
}

#[test]
fn a_session_that_ends_frees_the_key() {
    let key = "wait-foreign";
    // Consul keeps the key of a session with this behaviour.
    let session = foreign(consul(), key, json!({"Behavior": "release"}));
    let mut waiting = start(&["--pattern", "%s", key]);
    thread::sleep(Duration::from_millis(300));
    assert!(waiting.is_running());
    consul().destroy(&session);
    waiting.end().expect_code(0);
    consul().request("DELETE", &format!("/v1/kv/{key}"), "");
}

#[test]
fn the_end_of_the_timeout_names_the_holder() {
    let key = "wait-timeout";
    let holder = held(consul(), key, &[]);
    let ended = start(&[key, "--timeout", "700ms"]).end().expect_code(75);
    assert!(ended.took >= Duration::from_millis(700));
    assert_eq!(ended.stdout, "");
    let session = holder.session_id().expect("held");
    let line = format!("consul-lock: {} is not free after ", full(key));
    assert!(ended.stderr.starts_with(&line), "{ended:?}");
    let pid = format!(", pid {} (session {session})", std::process::id());
    assert!(
        ended.stderr.contains("held by ") && ended.stderr.contains(&pid),
        "{ended:?}"
    );
    let ended = start(&[key, "--timeout", "0", "--json"]).end();
    let ended = ended.expect_code(75);
    let json: Json = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(json["exclusive"]["session"], session);
    holder.release().expect("held");
    start(&[key, "--timeout", "soon"]).end().expect_code(64);
}

#[test]
fn the_timeout_ends_a_wait_at_a_silent_consul() {
    let silent = Consul::start();
    let key = "wait-silent";
    let _holder = held(&silent, key, &[]);
    let args = ["wait", key, "--timeout", "2s"];
    let expect = |ended: Ended| {
        let ended = ended.expect_code(69);
        assert!(ended.stderr.contains("does not answer"), "{ended:?}");
        assert!(ended.stderr.contains(silent.address()), "{ended:?}");
        assert!(ended.took >= Duration::from_secs(2), "{ended:?}");
        assert!(ended.took < Duration::from_secs(6), "{ended:?}");
    };
    // It falls silent after the first look, and is silent from the beginning.
    let waiting = Running::start(&mut consul_lock(&silent, &args));
    thread::sleep(Duration::from_millis(700));
    silent.pause();
    expect(waiting.end());
    expect(Running::start(&mut consul_lock(&silent, &args)).end());
    silent.resume();
}

#[test]
fn it_writes_nothing() {
    let own = Consul::start();
    let holder = held(&own, "wait-quiet", &[]);
    let mut waiting = Running::start(&mut consul_lock(&own, &["wait", "wait-quiet"]));
    // Newer agents write by themselves, so the index of the last write tells nothing.
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(own.keys(), [full("wait-quiet")]);
        assert_eq!(own.sessions().len(), 1);
    }
    assert!(waiting.is_running());
    holder.release().expect("held");
    waiting.end().expect_code(0);
}

#[test]
fn a_signal_ends_the_wait_with_its_number() {
    let key = "wait-signal";
    let holder = held(consul(), key, &[]);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let waiting = start(&[key]);
        thread::sleep(Duration::from_millis(500));
        waiting.signal(signal);
        let ended = waiting.end().expect_code(code);
        assert_eq!((ended.stdout, ended.stderr), (String::new(), String::new()));
    }
    holder.release().expect("held");
}

#[test]
fn an_agent_that_goes_away_is_waited_for() {
    let mut gone = Consul::start();
    let _holder = held(&gone, "wait-gone", &[]);
    let waiting = Running::start(&mut consul_lock(
        &gone,
        &["wait", "wait-gone", "--request-timeout-ms", "1000"],
    ));
    thread::sleep(Duration::from_millis(700));
    // A new agent knows nothing of the lock.
    gone.restart();
    waiting.says("the command tries again");
    let ended = waiting.end().expect_code(0);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}
