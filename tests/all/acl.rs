//! The rights that locks need, as docs/acl.md has them, on a real agent with default-deny.

use crate::support::prelude::{self, *};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::support::agent::temporary_folder;
use crate::support::http::exchange;
use crate::support::program::says;
use crate::support::root;
use crate::support::scripted::{Answer, Scripted};

const KEY: &str = "nightly-report";
const FULL: &str = "locks/ephemeral/nightly-report";

fn start() -> Consul {
    Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }",
    )
}

/// The policies of docs/acl.md, in its order.
fn policies() -> [String; 8] {
    let text = fs::read_to_string(root().join("docs/acl.md")).unwrap();
    let blocks: Vec<String> = text
        .split("```hcl\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect();
    blocks.try_into().expect("eight policies")
}

/// A token with these rules: its secret and its accessor.
fn token(consul: &Consul, rules: &str) -> (String, String) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let name = format!("rules-{}", LAST.fetch_add(1, Ordering::Relaxed));
    let body = json!({"Name": name, "Rules": rules}).to_string();
    let reply = consul.request("PUT", "/v1/acl/policy", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = json!({"Policies": [{"Name": name}]}).to_string();
    let reply = consul.request("PUT", "/v1/acl/token", &body);
    let made: Json = serde_json::from_str(&reply.body).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("SecretID"), text("AccessorID"))
}

fn client(consul: &Consul, name: &str, value: &str) -> Client {
    prelude::client(consul.address(), &[(name, value)])
}

fn client_with(consul: &Consul, rules: &str) -> Client {
    client(consul, "token", &token(consul, rules).0)
}

fn lock(client: &Client, acquire_timeout_ms: i64) -> Lock {
    lock_within(client, KEY, acquire_timeout_ms)
}

/// A newer Consul names itself what the token lacks, so that of what it needs only the rule is told.
fn denied(outcome: Result<(), Error>, why: &str) {
    let error = outcome.expect_err("no rights");
    assert_eq!(error.status, Status::Denied, "{error}");
    let says = |what: &str| error.message.contains(what);
    if says("lacks permission") {
        let (needs, rule) = why.split_once(", as with ").unwrap_or((why, ""));
        let permission = needs.trim_start_matches("needs ").split(' ').next();
        let lacks = format!("lacks permission '{}' on \"", permission.unwrap_or(""));
        assert!(says(&lacks) && says(&format!("as with {rule}")), "{error}");
    } else {
        assert!(says(why), "{error}");
    }
    assert!(says("docs/acl.md"), "{error}");
    println!("{error}");
}

#[test]
fn the_smallest_policies() {
    let consul = start();
    let [one, line, _, all, look, write, ..] = policies();
    let holder = lock(&client(&consul, "token", "root"), 0);
    for rules in [&one, &line, &all] {
        let client = client_with(&consul, rules);
        let mine = lock(&client, 0);
        mine.acquire().unwrap();
        mine.renew().unwrap();
        mine.check().unwrap();
        mine.release().unwrap();
        let again = lock(&client, 5_000);
        again.acquire().unwrap();
        again.release().unwrap();
    }
    holder.acquire().unwrap();
    for rules in [&one, &line, &all] {
        let (secret, _) = token(&consul, rules);
        // The error tells the holder by its name and node.
        let client = self::client(&consul, "token", &secret);
        let error = lock(&client, 0).acquire().expect_err("held");
        assert_eq!(error.status, Status::NotAcquired);
        assert!(
            error.message.contains("\"consul_lock ") && error.message.contains("on node node"),
            "{error}"
        );
        // Waiting has a ticket, or says once that it has none.
        let address = format!("address={}", consul.address());
        let token = format!("token={secret}");
        let key = format!("key={KEY}");
        let said = says(
            &[
                "take",
                "log=2",
                &key,
                "lock.acquire_timeout_ms=3000",
                &address,
                &token,
            ],
            &[],
        );
        assert!(said.contains("NOT_ACQUIRED"), "{said}");
        assert_eq!(
            said.matches("in no particular order").count(),
            usize::from(rules == &one),
            "{said}"
        );
        let waits = lock(&client, 20_000);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| waits.acquire());
            if rules == &one {
                thread::sleep(Duration::from_millis(300));
            } else {
                until("it stands in line", || {
                    consul
                        .keys()
                        .iter()
                        .any(|key| key.starts_with(&format!("{FULL}/.fifo/")))
                });
            }
            waits.cancel();
            assert_eq!(
                waiting.join().unwrap().unwrap_err().status,
                Status::Cancelled
            );
        });
    }
    // A client that may only read sees the holder, and can do nothing else.
    let looks = client_with(&consul, &look);
    let seen = looks.holder(KEY).unwrap().expect("a holder");
    assert_eq!(Some(seen.session.to_string()), holder.session_id());
    assert!(seen.name.unwrap().starts_with("consul_lock ") && seen.node.is_some());
    holder.release().unwrap();
    denied(
        lock(&looks, 0).acquire(),
        "session:write on the agent's node",
    );
    // Under a lock.
    let writes = lock(&client_with(&consul, &format!("{all}{write}")), 0);
    writes.acquire().unwrap();
    writes.put_if_held("data/x", b"1").unwrap();
    writes.delete_if_held("data/x").unwrap();
    denied(
        writes.put_if_held("other/x", b"1"),
        "needs key:write on \"other/x\" and key:read on \"locks/ephemeral/nightly-report\"",
    );
    assert!(writes.is_held());
    writes.release().unwrap();
    consul.has_nothing_left();
}

#[test]
fn what_is_missing_is_named() {
    let consul = start();
    let session = "session_prefix \"\" { policy = \"write\" }";
    let read = format!("key \"{FULL}\" {{ policy = \"read\" }}");
    let write = format!("key \"{FULL}\" {{ policy = \"write\" }}");
    let key_read =
        format!("needs key:read on \"{FULL}\", as with key \"{FULL}\" {{ policy = \"read\" }}");
    let key_write =
        format!("needs key:write on \"{FULL}\", as with key \"{FULL}\" {{ policy = \"write\" }}");
    let of_session = "needs session:write on the agent's node, as with session_prefix \"\" { policy = \"write\" }";
    for (rules, why) in [
        ("", &*key_read),
        (session, &key_read),
        (&write, of_session),
        (
            &format!("{write} session \"elsewhere\" {{ policy = \"write\" }}"),
            of_session,
        ),
        (
            &format!("{write} session_prefix \"\" {{ policy = \"read\" }}"),
            of_session,
        ),
        // A transaction's 409.
        (&format!("{read} {session}"), &key_write),
    ] {
        let client = client_with(&consul, rules);
        for patience in [0, 20_000] {
            denied(lock(&client, patience).acquire(), why);
        }
    }
    let unknown = "11111111-2222-3333-4444-555555555555";
    let error = lock(&client(&consul, "token", unknown), 0)
        .acquire()
        .expect_err("unknown");
    assert!(!error.message.contains(unknown), "{error}");
    denied(Err(error), "Consul does not know the token");
    // For an empty token, Consul takes the anonymous one.
    denied(lock(&client(&consul, "token", ""), 0).acquire(), &key_read);
    // Without the right to read sessions, the holder is told by its session's id alone.
    let holder = lock(&client(&consul, "token", "root"), 0);
    holder.acquire().unwrap();
    let blind = client_with(&consul, &read);
    let error = lock(&blind, 0).acquire().expect_err("held");
    assert!(
        error.message.contains(&holder.session_id().unwrap()),
        "{error}"
    );
    assert!(!error.message.contains("on node"), "{error}");
    holder.release().unwrap();
    consul.has_nothing_left();
}

/// Those who share a key stand below it: the rule for the key alone is not enough, and the error names the other one.
/// The caller of a question is told at once: a token that Consul does not know may become known, but later than a
/// caller that asks for a holder waits.
#[test]
fn a_question_with_an_unknown_token_is_asked_once() {
    let consul = start();
    let stranger = client(&consul, "token", "11111111-2222-3333-4444-555555555555");
    denied(stranger.holder(KEY).map(drop), "does not know the token");
    denied(stranger.holders(KEY).map(drop), "does not know the token");
    let stats: Json = serde_json::from_str(&stranger.stats()).unwrap();
    // A read of the key for the first question; for the second one a read of the key, and one of what stands below.
    let asked = stats["requests"].as_object().unwrap().values();
    let asked: u64 = asked.map(|count| count.as_u64().unwrap()).sum();
    assert!((2..=3).contains(&asked), "{stats}");
}

#[test]
fn sharing_a_key_needs_the_rule_for_the_prefix() {
    let consul = start();
    let [one, _, shares, ..] = policies();
    let share = ("mode", "share");
    let (may, may_not) = (client_with(&consul, &shares), client_with(&consul, &one));
    // The waiters of one client stand behind each other.
    let another = client_with(&consul, &shares);
    let make = |client, more: &[(&str, &str)], wait: &str| {
        let more = [&[("acquire_timeout_ms", wait)], more].concat();
        prelude::lock(client, KEY, &more)
    };
    for more in [&[share][..], &[share, ("limit", "2")]] {
        let lock = make(&may, more, "0");
        lock.acquire().unwrap();
        lock.check().unwrap();
        lock.renew().unwrap();
        lock.upgrade(0).unwrap();
        lock.downgrade().unwrap();
        // The writer waits for the share, with a ticket and at the gate.
        let writer = make(&may, &[], "20000");
        let reader = make(&another, more, "20000");
        thread::scope(|scope| {
            let writes = scope.spawn(|| writer.acquire());
            until("it has the gate", || consul.holder(FULL).is_some());
            let reads = scope.spawn(|| reader.acquire());
            until("the reader stands in line", || {
                let keys = consul.keys();
                keys.iter().any(|key| key.contains("/.fifo/"))
            });
            lock.release().unwrap();
            writes.join().unwrap().unwrap();
            writer.release().unwrap();
            reads.join().unwrap().unwrap();
        });
        reader.release().unwrap();

        for wait in ["0", "20000"] {
            let refused = make(&may_not, more, wait).acquire();
            denied(
                refused,
                &format!(
                    "needs key:write on \"{FULL}\", as with key_prefix \"{FULL}\" {{ policy = \"write\" }}"
                ),
            );
        }
    }
    let exclusive = make(&may_not, &[], "0");
    exclusive.acquire().unwrap();
    denied(
        exclusive.downgrade(),
        &format!("as with key_prefix \"{FULL}\" {{ policy = \"write\" }}"),
    );
    assert!(exclusive.is_held());
    exclusive.check().unwrap();
    exclusive.release().unwrap();
    consul.has_nothing_left();
}

/// The rule for the key alone: Consul does not show who shares it, so an exclusive lock of that token does not wait for
/// them. It excludes exclusive locks, and newcomers that share, as any other.
#[test]
fn with_the_rule_for_the_key_alone_a_lock_does_not_see_who_shares_it() {
    let consul = start();
    let [one, _, shares, ..] = policies();
    let (may, may_not) = (client_with(&consul, &shares), client_with(&consul, &one));
    let share = prelude::lock(&may, KEY, &[("mode", "share")]);
    share.acquire().unwrap();
    for wait in [0, 5_000] {
        let blind = lock(&may_not, wait);
        blind.acquire().unwrap();
        share.check().unwrap();
        let late = prelude::lock(&may, KEY, &[("mode", "share"), ("acquire_timeout_ms", "0")]);
        assert_eq!(late.acquire().unwrap_err().status, Status::NotAcquired);
        assert_eq!(
            lock(&may, 0).acquire().unwrap_err().status,
            Status::NotAcquired
        );
        blind.release().unwrap();
    }
    share.release().unwrap();
    consul.has_nothing_left();
}

/// A lock of several keys needs the rule for each, and names the one that is missing.
#[test]
fn several_keys_need_the_rule_for_each() {
    let consul = start();
    let rules = "session_prefix \"\" { policy = \"write\" } \
                 key_prefix \"locks/ephemeral/a\" { policy = \"write\" } \
                 key_prefix \"locks/ephemeral/b\" { policy = \"write\" }";
    let here = client_with(&consul, rules);
    let make = |keys: &[&str], wait: &str| {
        let mut options = Options::new();
        options.set("acquire_timeout_ms", wait).unwrap();
        Lock::new_all(keys, Some(&options), Some(&here)).unwrap()
    };
    let lock = make(&["b", "a"], "0");
    lock.acquire().unwrap();
    let waits = make(&["a", "b"], "20000");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(200));
        lock.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
    waits.release().unwrap();
    for wait in ["0", "20000"] {
        let error = make(&["a", "c"], wait).acquire().unwrap_err();
        denied(
            Err(error),
            "needs key:write on \"locks/ephemeral/c\", as with key \"locks/ephemeral/c\" { policy = \"write\" }",
        );
    }
    consul.has_nothing_left();
}

/// A token that was just made reaches a server later than others.
#[test]
fn a_token_that_becomes_known_is_waited_for() {
    let consul = start();
    let [_, _, _, all, ..] = policies();
    let secret = "22222222-3333-4444-5555-666666666666";
    let client = client(&consul, "token", secret);
    // One attempt, and one look, is told at once or within its limit.
    denied(lock(&client, 0).acquire(), "Consul does not know the token");
    denied(
        lock(&client, 1_000).acquire(),
        "Consul does not know the token",
    );
    let waits = lock(&client, 30_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(700));
        let body = json!({"Name": "later", "Rules": all}).to_string();
        assert_eq!(consul.request("PUT", "/v1/acl/policy", &body).status, 200);
        let body = json!({"SecretID": secret, "Policies": [{"Name": "later"}]}).to_string();
        assert_eq!(consul.request("PUT", "/v1/acl/token", &body).status, 200);
        waiting.join().unwrap().unwrap();
    });
    waits.release().unwrap();
    consul.has_nothing_left();
}

/// A token that may make the node of the sessions makes it. One that may not is told the command, and its
/// locks use what the command has made.
#[test]
fn a_node_for_the_sessions() {
    let consul = start();
    let [.., with_node, agent] = policies();
    let client = |rules: &str, node: &str| {
        let mut options = Options::new();
        options.set("address", consul.address()).unwrap();
        options.set("token", &token(&consul, rules).0).unwrap();
        options.set("session_node", node).unwrap();
        Client::new(Some(&options)).unwrap()
    };
    let taken = |client: &Client| {
        let lock = lock(client, 0);
        lock.acquire().unwrap_or_else(|error| panic!("{error}"));
        let id = lock.session_id().unwrap();
        let sessions = consul.sessions();
        let row = sessions.iter().find(|row| row["ID"] == id.as_str());
        assert_eq!(row.unwrap()["Node"], "locks");
        lock.renew().unwrap();
        lock.release().unwrap();
    };
    let (session, node) = with_node.split_once("node ").unwrap();
    let without = client(session, "locks");
    for patience in [0, 20_000] {
        let error = lock(&without, patience).acquire().expect_err("no node");
        let words = [
            "PUT /v1/catalog/register",
            "(option session_node)",
            "makes it, once: curl -X PUT ",
        ];
        for part in words {
            assert!(error.message.contains(part), "{error}");
        }
        denied(
            Err(error),
            "needs node:write on \"locks\", as with node \"locks\" { policy = \"write\" }",
        );
    }
    let error = lock(&without, 0).acquire().expect_err("no node");
    let command = error.message.split("once: ").nth(1).expect("a command");
    let made = std::process::Command::new("sh")
        .args(["-c", &command.replacen("curl", "curl -s", 1)])
        .env("CONSUL_HTTP_TOKEN", "root")
        .output()
        .expect("a shell");
    assert_eq!(
        String::from_utf8_lossy(&made.stdout).trim(),
        "true",
        "{made:?}"
    );
    taken(&without);
    let body = json!({"Node": "locks"}).to_string();
    let reply = consul.request("PUT", "/v1/catalog/deregister", &body);
    assert_eq!(reply.body.trim(), "true");
    assert!(node.starts_with("\"locks\""));
    taken(&client(&with_node, "locks"));
    // Sessions of another node are no business of that token.
    denied(
        lock(&client(&with_node, "other"), 0).acquire(),
        "needs session:write on \"other\"",
    );
    // The right to ask the agent is the one that it takes.
    let asks = |rules: &str| {
        let header = [("X-Consul-Token", &*token(&consul, rules).0)];
        let (address, limit) = (consul.address(), Duration::from_secs(10));
        let reply = exchange(address, "GET", "/v1/agent/self", &header, "", limit);
        reply.unwrap().status()
    };
    assert_eq!((asks(&agent), asks(&with_node)), (200, 403));
    consul.has_nothing_left();
}

/// Behind a symbolic link, as Kubernetes has it; and while a lock is held and waited for.
#[test]
fn a_token_that_is_replaced_is_found() {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(temporary_folder);
    let consul = start();
    let [_, _, _, all, ..] = policies();
    let replace = |secret: &str, name: &str| {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("token"), format!("{secret}\n")).unwrap();
        let aside = folder.join("aside");
        symlink(name, &aside).unwrap();
        fs::rename(&aside, folder.join("data")).unwrap();
    };
    let (first, accessor) = token(&consul, &all);
    replace(&first, "1");
    let _ = symlink("data/token", folder.join("token"));
    let path = folder.join("token");
    let client = client(&consul, "token_file", path.to_str().unwrap());
    let held = lock(&client, 0);
    held.acquire().unwrap();
    let waits = lock(&client, 30_000);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits.acquire());
        thread::sleep(Duration::from_millis(300));
        let (second, accessor_of_second) = token(&consul, &all);
        replace(&second, "2");
        let delete = |accessor: &str| {
            let reply = consul.request("DELETE", &format!("/v1/acl/token/{accessor}"), "");
            assert_eq!(reply.body.trim(), "true");
        };
        delete(&accessor);
        held.renew().unwrap();
        held.check().unwrap();
        held.release().unwrap();
        waiting.join().unwrap().unwrap();
        // Nothing to be found there any more: the old token is all we have, and it is refused.
        fs::write(&path, " \n").unwrap();
        delete(&accessor_of_second);
        let error = waits.renew().expect_err("refused");
        assert_eq!(error.status, Status::Denied, "{error}");
        assert!(!error.message.contains(&second), "{error}");
        let (third, _) = token(&consul, &all);
        replace(&third, "3");
        waits.renew().unwrap();
        waits.release().unwrap();
    });
    consul.has_nothing_left();
    fs::remove_dir_all(folder).unwrap();
}

/// Nothing that is put in its place makes a call wait for longer than it may.
#[test]
fn a_token_file_that_becomes_a_fifo_blocks_nobody() {
    let folder = temporary_folder();
    let path = folder.join("token");
    fs::write(&path, "a-token\n").unwrap();
    let refuses = Arc::new(AtomicBool::new(false));
    let now = refuses.clone();
    let consul = Arc::new(Consul::start());
    let behind = consul.clone();
    let server = Scripted::start(move |asked| {
        if now.load(Ordering::SeqCst) {
            return Answer::reply(403, "Permission denied");
        }
        let reply = behind.request(&asked.method, &asked.target, &asked.body);
        match reply.index {
            0 => Answer::reply(reply.status, &reply.body),
            index => Answer::indexed(reply.status, index, &reply.body),
        }
    });
    let mut options = Options::new();
    options.set("address", server.address()).unwrap();
    options.set("token_file", path.to_str().unwrap()).unwrap();
    let client = Client::new(Some(&options)).unwrap();
    let before = lock(&client, 0);
    before.acquire().unwrap();
    before.release().unwrap();
    fs::remove_file(&path).unwrap();
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    refuses.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    for patience in [0, 500, -1] {
        let error = lock(&client, patience).acquire().expect_err("refused");
        assert_eq!(error.status, Status::Denied, "{error}");
    }
    refuses.store(false, Ordering::SeqCst);
    let after = lock(&client, 0);
    after.acquire().unwrap();
    after.release().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60));
    consul.has_nothing_left();
    fs::remove_dir_all(folder).unwrap();
}
