//! `consul-lock ls`, on a real Consul.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::locks::{foreign, held, waiting};
use crate::support::prelude::*;
use crate::support::pty::OnTerminal;

fn ls(args: &[&str]) -> Ended {
    let mut all = vec!["ls"];
    all.extend_from_slice(args);
    Running::start(&mut consul_lock(consul(), &all)).end()
}

fn ls_json(args: &[&str]) -> Vec<Json> {
    let mut all = args.to_vec();
    all.push("--json");
    let ended = ls(&all).expect_code(0);
    let lines = ended.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn no_locks_are_no_lines() {
    let ended = ls(&["ls-none/"]).expect_code(0);
    assert_eq!(ended.stdout, "");
    assert!(
        ended
            .stderr
            .contains("no lock below \"locks/ephemeral/ls-none/\"")
    );
    assert!(ls_json(&["ls-none/"]).is_empty());
}

#[test]
fn a_prefix_of_no_key_is_refused_in_the_words_for_keys() {
    for prefix in ["a//b", "//", "/", "a/../b", "a/."] {
        let ended = ls(&[prefix]).expect_code(64);
        let key = Running::start(&mut consul_lock(consul(), &["who", prefix]));
        let key = key.end().expect_code(64);
        let why = key
            .stderr
            .rsplit_once("cannot be locked: ")
            .map(|(_, why)| why.trim());
        assert!(
            why.is_some_and(|why| ended.stderr.contains(why)),
            "{ended:?} {key:?}"
        );
    }
}

#[test]
fn each_lock_has_a_line() {
    let holder = held(consul(), "ls-all/a b/ü", &[]);
    let share = &[("mode", "share"), ("limit", "3")];
    let permits = [
        held(consul(), "ls-all/permits", share),
        held(consul(), "ls-all/permits", share),
    ];
    let reader = held(consul(), "ls-all/readers", &[("mode", "share")]);
    let other = foreign(consul(), &full("ls-all/other"), json!({}));
    let waiters = [
        waiting(consul(), "ls-all/a b/ü", 1, &[]),
        waiting(consul(), "ls-all/a b/ü", 2, &[]),
    ];
    // A key that no session holds is no lock.
    consul().request("PUT", &format!("/v1/kv/{}", full("ls-all/data")), "x");
    let ended = ls(&["ls-all/"]).expect_code(0);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{ended:?}");
    assert!(lines[0].starts_with("LOCK "), "{ended:?}");
    let pid = format!(", pid {}", std::process::id());
    assert!(
        lines[1].starts_with("ls-all/a b/ü  ")
            && lines[1].contains(&pid)
            && lines[1].ends_with("  2"),
        "{ended:?}"
    );
    assert!(
        lines[2].starts_with("ls-all/other ") && lines[2].contains("\"Consul API Lock\""),
        "{ended:?}"
    );
    assert!(
        lines[3].starts_with("ls-all/permits ") && lines[3].contains("shared by 2 of 3"),
        "{ended:?}"
    );
    assert!(
        lines[4].starts_with("ls-all/readers ") && lines[4].contains("shared by 1 "),
        "{ended:?}"
    );
    let json = ls_json(&["ls-all/"]);
    let states: Vec<&str> = json
        .iter()
        .map(|lock| lock["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["held", "held", "shared", "shared"]);
    assert_eq!(json[0]["key"], full("ls-all/a b/ü"));
    assert_eq!(json[0]["name"], "ls-all/a b/ü");
    assert_eq!(json[0]["waiting"], 2);
    assert_eq!(
        json[0]["exclusive"]["session"],
        holder.session_id().unwrap()
    );
    assert_eq!(
        json[0]["exclusive"]["fencing_token"],
        holder.fencing_token().unwrap()
    );
    assert!(json[0]["exclusive"]["since"].is_string());
    assert_eq!(json[1]["exclusive"]["session"], other);
    assert_eq!(
        (&json[2]["limit"], &json[3]["limit"]),
        (&json!(3), &Json::Null)
    );
    assert_eq!(ls_json(&["ls-all/p"]).len(), 1);
    assert_eq!(
        ls_json(&["--pattern", "locks/%s", "ephemeral/ls-all/p"]).len(),
        1
    );
    consul().destroy(&other);
    for lock in permits.iter().chain([&reader, &holder]) {
        lock.release().expect("held");
    }
    for waiter in waiters {
        waiter.join().unwrap();
    }
    for left in ["ls-all/data", "ls-all/other"] {
        consul().request("DELETE", &format!("/v1/kv/{}", full(left)), "");
    }
    nothing_of(consul(), "ls-all/");
}

#[test]
fn a_pipe_gets_a_list_for_each_change() {
    let first = held(consul(), "ls-pipe/a", &[]);
    let watching = Running::start(&mut consul_lock(consul(), &["ls", "--watch", "ls-pipe/"]));
    watching.prints("ls-pipe/a");
    let second = held(consul(), "ls-pipe/b", &[]);
    watching.prints("ls-pipe/b");
    second.release().expect("held");
    until("three lists", || {
        watching.stdout().matches("LOCK").count() == 3
    });
    first.release().expect("held");
    watching.prints("no lock below");
    watching.signal(Signal::SIGINT);
    let ended = watching.end().expect_code(130);
    let lists: Vec<usize> = ended
        .stdout
        .split("\n\n")
        .map(|list| list.lines().count())
        .collect();
    assert_eq!(lists, [2, 3, 2, 1], "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_watched_list_is_one_object() {
    let holder = held(consul(), "ls-objects/a", &[]);
    let args = ["ls", "--watch", "--json", "ls-objects/"];
    let watching = Running::start(&mut consul_lock(consul(), &args));
    watching.prints("ls-objects/a");
    holder.release().expect("held");
    watching.prints("\"locks\":[]");
    watching.signal(Signal::SIGTERM);
    let ended = watching.end().expect_code(143);
    for line in ended.stdout.lines() {
        let list: Json = serde_json::from_str(line).expect("JSON");
        assert!(list["at"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
}

#[test]
fn a_terminal_is_as_before_when_the_list_ends() {
    let locks: Vec<_> = (0..15)
        .map(|number| held(consul(), &format!("ls-screen/{number:02}"), &[]))
        .collect();
    let mut watching =
        OnTerminal::start(&mut consul_lock(consul(), &["ls", "--watch", "ls-screen/"]));
    watching.shows("ls-screen/00");
    // Twelve lines have room for a head, nine locks and this.
    watching.shows("… and 6 more");
    assert!(!watching.shown().contains("ls-screen/09"));
    for lock in &locks[..10] {
        lock.release().expect("held");
    }
    watching.shows("ls-screen/14");
    assert!(!watching.shown().contains("\x1b[?1049l"));
    watching.signal(Signal::SIGINT);
    assert_eq!(watching.end().code(), Some(130));
    let shown = watching.shown();
    assert!(shown.starts_with("\x1b[?1049h\x1b[?25l"), "{shown:?}");
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
    for lock in &locks[10..] {
        lock.release().expect("held");
    }
}

#[test]
fn ten_thousand_locks_are_listed() {
    let many = Consul::start();
    let session = foreign(&many, "locks/ephemeral/0", json!({}));
    for part in 0..200 {
        let one = |number| json!({"KV": {"Verb": "lock", "Key": full(&format!("{part}-{number}")), "Value": "e30=", "Session": session}});
        let body = json!((0..50).map(one).collect::<Vec<Json>>()).to_string();
        assert_eq!(many.request("PUT", "/v1/txn", &body).status, 200);
    }
    let ended = Running::start(&mut consul_lock(&many, &["ls"]))
        .end()
        .expect_code(0);
    assert_eq!(ended.stdout.lines().count(), 10_002);
    println!("10,000 locks in {:?}", ended.took);
}

#[test]
fn the_right_that_a_list_needs_is_named() {
    let settings = "acl { enabled = true default_policy = \"deny\" enable_key_list_policy = true \
                    tokens { master = \"root\" } }";
    let consul = Consul::start_with(settings);
    let mut command = consul_lock(&consul, &["ls", "deploy/"]);
    let ended = Running::start(&mut command).end().expect_code(77);
    assert!(
        ended
            .stderr
            .contains("key:list on \"locks/ephemeral/deploy/\""),
        "{ended:?}"
    );
    // No right helps a token that Consul does not know.
    let mut command = consul_lock(&consul, &["ls", "deploy/"]);
    let ended = Running::start(command.env("CONSUL_HTTP_TOKEN", "bad")).end();
    let ended = ended.expect_code(77);
    assert!(!ended.stderr.contains("key:list"), "{ended:?}");
    assert!(ended.stderr.contains("ACL not found"), "{ended:?}");
    let mut command = consul_lock(&consul, &["who", "deploy"]);
    let who = Running::start(command.env("CONSUL_HTTP_TOKEN", "bad")).end();
    let words = |ended: &Ended| ended.stderr.split_once(": ").map(|(_, why)| why.to_owned());
    println!("{ended:?} {who:?}");
    assert!(words(&who).is_some_and(|why| why.contains("ACL not found")));
    let mut command = consul_lock(&consul, &["ls", "deploy/"]);
    Running::start(command.env("CONSUL_HTTP_TOKEN", "root"))
        .end()
        .expect_code(0);
}
