//! `consul-lock who`, on a real Consul.

use consul_lock::lock::Lock;
use serde_json::json;

use crate::support::locks::{foreign, held, lock, waiting};
use crate::support::prelude::*;

fn who(args: &[&str]) -> Ended {
    let mut all = vec!["who"];
    all.extend_from_slice(args);
    Running::start(&mut consul_lock(consul(), &all)).end()
}

fn who_json(key: &str, code: i32) -> Json {
    let ended = who(&[key, "--json"]).expect_code(code);
    assert_eq!(ended.stdout.lines().count(), 1, "one object a line");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn session(lock: &Lock) -> String {
    lock.session_id().expect("held")
}

#[test]
fn a_free_key_is_status_1() {
    let ended = who(&["who-free"]).expect_code(1);
    assert_eq!(ended.stdout, "locks/ephemeral/who-free is free\n");
    assert_eq!(ended.stderr, "");
    assert_eq!(
        who_json("who-free", 1),
        json!({"key": full("who-free"), "state": "free", "exclusive": null, "sharers": [], "line": []})
    );
}

#[test]
fn a_holder_of_the_library_is_a_program_and_waiters_stand_in_their_order() {
    let key = "who-line";
    let holder = held(consul(), key, &[("value", "{\"job\":\"\u{1b}[31m5\"}")]);
    let waiters = [
        waiting(consul(), key, 1, &[]),
        waiting(consul(), key, 2, &[("mode", "share"), ("limit", "3")]),
        waiting(consul(), key, 3, &[]),
    ];
    let ended = who(&[key, "--value"]).expect_code(0);
    let pid = std::process::id();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[0], format!("{} is held", full(key)));
    assert!(lines[1].ends_with(&format!(", pid {pid}")), "{ended:?}");
    let has = |text: &str| assert!(ended.stdout.contains(text), "{text}: {ended:?}");
    has(&format!("session  {}, TTL ", session(&holder)));
    has(", on node node\n");
    has(&format!(
        "token    {}\n",
        holder.fencing_token().expect("held")
    ));
    // No control character of a value reaches the terminal.
    has("value    {\"job\":\"\\u{1b}[31m5\"}\n");
    has("\n3 wait in line:\n");
    let wishes: Vec<&str> = lines
        .iter()
        .filter(|line| line.contains(". "))
        .map(|line| line.rsplit(", ").next().unwrap())
        .collect();
    assert_eq!(
        wishes,
        ["to hold it alone", "to be one of 3", "to hold it alone"]
    );
    assert!(!ended.stdout.contains('\u{1b}'), "colours on no terminal");

    let json = who_json(key, 0);
    assert_eq!(json["state"], "held");
    let exclusive = &json["exclusive"];
    assert_eq!(exclusive["session"], session(&holder));
    assert_eq!(exclusive["pid"], pid);
    assert!(exclusive["program"].is_string() && exclusive["host"].is_string());
    assert!(exclusive.get("value_base64").is_none(), "{json}");
    let of = |name: &str| -> Vec<Json> {
        let line = json["line"].as_array().unwrap();
        line.iter().map(|waiter| waiter[name].clone()).collect()
    };
    assert_eq!(of("mode"), ["exclusive", "share", "exclusive"]);
    assert_eq!(of("pid"), [pid, pid, pid]);
    holder.release().expect("held");
    for waiter in waiters {
        waiter.join().unwrap();
    }
    nothing_of(consul(), key);
}

#[test]
fn the_time_of_a_lock_is_told() {
    let holder = held(consul(), "who-since", &[]);
    let ended = who(&["who-since"]).expect_code(0);
    assert!(ended.stdout.contains("since    20"), "{ended:?}");
    assert!(ended.stdout.contains(" UTC, ") && ended.stdout.contains(" ago\n"));
    let json = who_json("who-since", 0);
    let since = json["exclusive"]["since"].as_str().unwrap();
    assert!(since.starts_with("20") && since.ends_with('Z'), "{json}");
    holder.release().expect("held");
}

#[test]
fn a_session_of_another_program_is_shown_by_its_name() {
    let key = "service/web/leader";
    let session = foreign(consul(), key, json!({}));
    let ended = who(&["--pattern", "%s", key, "--value"]).expect_code(0);
    let begin = format!("{key} is held\n  \"Consul API Lock\"\n     session  {session}, TTL 1m");
    assert!(ended.stdout.starts_with(&begin), "{ended:?}");
    assert!(ended.stdout.ends_with("value    theirs\n"), "{ended:?}");
    consul().destroy(&session);
}

#[test]
fn a_key_is_shared_with_and_without_a_limit() {
    for (key, options, state) in [
        (
            "who-permits",
            &[("mode", "share"), ("limit", "3")][..],
            "shared by 2 of 3",
        ),
        ("who-readers", &[("mode", "share")][..], "shared by 2"),
    ] {
        let sharers = [held(consul(), key, options), held(consul(), key, options)];
        let ended = who(&[key]).expect_code(0);
        assert!(
            ended
                .stdout
                .starts_with(&format!("{} is {state}\n", full(key))),
            "{ended:?}"
        );
        for sharer in &sharers {
            assert!(ended.stdout.contains(&session(sharer)), "{ended:?}");
        }
        assert_eq!(who_json(key, 0)["state"], "shared");
        // The next exclusive holder waits for their end.
        let writer = lock(consul(), key, &[("acquire_timeout_ms", "60000")]);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| writer.acquire());
            until("it waits for those that share", || is_held(key));
            let ended = who(&[key]).expect_code(0);
            let first = ended.stdout.lines().next().unwrap();
            assert_eq!(
                first,
                format!(
                    "{} is {state}: its next holder waits for those that share it",
                    full(key)
                )
            );
            for sharer in &sharers {
                sharer.release().expect("held");
            }
            waiting.join().unwrap().expect("its turn");
        });
        writer.release().expect("held");
    }
}

#[test]
fn without_the_right_to_read_sessions_a_holder_has_no_name() {
    let settings = "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }";
    let consul = Consul::start_with(settings);
    let root = crate::support::locks::client(&consul, &[("token", "root")]);
    let holder = Lock::new("who-nameless", None, Some(&root)).expect("a lock");
    holder.acquire().expect("free");
    let rules = r#"{"Name": "keys", "Rules": "key_prefix \"\" { policy = \"read\" }"}"#;
    consul.request("PUT", "/v1/acl/policy", rules);
    let token = consul.request(
        "PUT",
        "/v1/acl/token",
        r#"{"Policies": [{"Name": "keys"}]}"#,
    );
    let token: Json = serde_json::from_str(&token.body).unwrap();
    let mut command = consul_lock(&consul, &["who", "who-nameless"]);
    command.env("CONSUL_HTTP_TOKEN", token["SecretID"].as_str().unwrap());
    let ended = Running::start(&mut command).end().expect_code(0);
    for words in [
        "  a session without a name\n",
        &session(&holder),
        "the token lacks session:read",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended:?}");
    }
    holder.release().expect("held");
}

#[test]
fn a_question_without_an_answer_is_no_free_key() {
    let mut command = consul_lock(consul(), &["who", "a"]);
    command.env("CONSUL_HTTP_ADDR", "127.0.0.1:1");
    command.args(["--request-timeout-ms", "300"]);
    let ended = Running::start(&mut command).end().expect_code(69);
    assert!(
        ended.stderr.starts_with(
            "consul-lock: could not read the holders of the lock \"locks/ephemeral/a\" at 127.0.0.1:1"
        ),
        "{ended:?}"
    );
    assert_eq!(ended.stdout, "");
    let ended = who(&["a//b"]).expect_code(64);
    assert!(ended.stderr.contains("a//b"), "{ended:?}");
    let ended = who(&[]).expect_code(64);
    assert!(ended.stderr.contains("KEY"), "{ended:?}");
}
