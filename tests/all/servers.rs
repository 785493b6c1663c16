//! A real ACL system, and three real servers that lose their leader.

use crate::support::cluster::Cluster;
use crate::support::consul::comes_true;
use crate::support::contender::{Contender, Plan, Role, has_contended};
use crate::support::ports;
use crate::support::prelude::*;
use crate::support::scratch;

fn lock_at(address: &str, token: &str, key: &str, wait_ms: &str) -> Lock {
    let client = client(address, &[("token", token)]);
    lock(&client, key, &[("acquire_timeout_ms", wait_ms)])
}

#[test]
fn rights() {
    let consul = Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"root\" } }",
    );
    let token = |rules: &str| {
        let name = format!("p{}", consul.raft_index());
        let body = serde_json::json!({"Name": name, "Rules": rules}).to_string();
        assert_eq!(consul.request("PUT", "/v1/acl/policy", &body).status, 200);
        let body = serde_json::json!({"Policies": [{"Name": name}]}).to_string();
        let reply = consul.request("PUT", "/v1/acl/token", &body);
        let json: Json = serde_json::from_str(&reply.body).unwrap();
        json["SecretID"].as_str().expect("a token").to_owned()
    };
    let session = "session_prefix \"\" { policy = \"write\" }";
    let key = "key_prefix \"locks/ephemeral/\" { policy = \"write\" }";
    let read = "key_prefix \"locks/ephemeral/\" { policy = \"read\" }";
    let full = token(&format!("{session} {key}"));

    // The token of the environment, as a program has it that sets no option.
    let first = crate::support::compile(
        &crate::support::root().join("examples/first.c"),
        "first-acl",
        &[],
    );
    let program = |token: &str| {
        let mut command = std::process::Command::new(&first);
        command
            .env("CONSUL_HTTP_ADDR", consul.address())
            .env("CONSUL_HTTP_TOKEN", token);
        let output = command.output().expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    assert_eq!(program(&full), (true, "making the report\n".to_owned()));
    let (worked, told) = program("nobody");
    assert!(
        !worked && told.contains("ACL not found") && !told.contains("nobody"),
        "{told}"
    );

    let lock = lock_at(consul.address(), &full, "k", "0");
    lock.acquire().unwrap();
    let error = lock_at(consul.address(), &full, "k", "0")
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::NotAcquired);
    lock.release().unwrap();

    for (rules, what) in [
        (String::new(), "GET /v1/kv"),
        (key.to_owned(), "PUT /v1/session/create"),
        (session.to_owned(), "GET /v1/kv"),
        (format!("{session} {read}"), "PUT /v1/txn"),
    ] {
        let token = token(&rules);
        for wait in ["0", "5000"] {
            let error = lock_at(consul.address(), &token, "k", wait)
                .acquire()
                .unwrap_err();
            assert_eq!(error.status, Status::Denied, "{rules}: {error}");
            assert!(error.message.contains(what), "{rules}: {error}");
            assert!(!error.message.contains(&token), "{error}");
        }
    }
    let unknown = "11111111-2222-3333-4444-555555555555";
    let error = lock_at(consul.address(), unknown, "k", "0")
        .acquire()
        .unwrap_err();
    assert_eq!(error.status, Status::Denied);
    assert!(
        error.message.contains("ACL not found") && !error.message.contains(unknown),
        "{error}"
    );
    consul.has_nothing_left();
}

#[test]
fn a_leader_that_dies_while_we_acquire_hold_and_release() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let address = cluster.servers[(leader + 1) % 3].address();
    let held = lock_at(address, "", "held", "0");
    held.acquire().unwrap();
    let token = held.fencing_token();

    cluster.servers[leader].kill();
    let begun = Instant::now();
    let waiting = lock_at(address, "", "taken-meanwhile", "60000");
    waiting.acquire().expect("an election is survived");
    assert!(begun.elapsed() < Duration::from_secs(60));
    waiting.release().unwrap();

    held.renew().unwrap();
    held.check().unwrap();
    assert_eq!(held.fencing_token(), token);
    held.release().unwrap();
    let again = lock_at(address, "", "held", "30000");
    again.acquire().unwrap();
    assert!(again.fencing_token() > token);
    again.release().unwrap();
    cluster.servers[(leader + 1) % 3].has_nothing_left();
}

#[test]
fn a_leader_that_is_paused() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let address = cluster.servers[(leader + 1) % 3].address();
    cluster.servers[leader].pause();
    let lock = lock_at(address, "", "k", "60000");
    lock.acquire().expect("a paused leader is replaced");
    cluster.servers[leader].resume();
    lock.check().unwrap();
    lock.release().unwrap();
    cluster.servers[(leader + 1) % 3].has_nothing_left();
}

/// Three times the leader dies and comes back, under contenders of all kinds at all three servers. The kernel sees no
/// two at once, and all go on within twice the TTL.
#[test]
fn leaders_that_die_under_contenders_of_all_kinds() {
    if has_contended() {
        return;
    }
    const TTL: u64 = 10;
    /// Twice the TTL, which a new leader counts from its election, and the time of the election and of the restart.
    const GOES_ON_WITHIN: Duration = Duration::from_secs(2 * TTL + 25);
    let mut cluster = Cluster::start();
    let groups: [(&str, &[Role]); 4] = [
        ("plain", &[Role::Exclusive; 3]),
        (
            "rw",
            &[
                Role::Reader,
                Role::Exclusive,
                Role::Reader,
                Role::Changer,
                Role::Exclusive,
                Role::Reader,
            ],
        ),
        ("permits", &[Role::Permit; 4]),
        ("several", &[Role::Several; 3]),
    ];
    let addresses: Vec<String> = cluster
        .servers
        .iter()
        .map(|server| server.address().to_owned())
        .collect();
    let mut contenders = Vec::new();
    for (key, roles) in groups {
        for (number, role) in roles.iter().enumerate() {
            let folder = format!("witness-{}-leaders-{key}", std::process::id());
            let plan = Plan {
                address: addresses[number % 3].clone(),
                key: key.to_owned(),
                role: *role,
                hold: Duration::from_millis(15),
                ttl_seconds: TTL,
                witness: Some(scratch(&folder)),
            };
            let test = leaders_that_die_under_contenders_of_all_kinds;
            contenders.push(Contender::start(test, plan));
        }
    }
    let all_since = |contenders: &[Contender], since: Instant| {
        let served = |one: &Contender| one.grants_since(since) > 0;
        contenders.iter().all(served)
    };
    let begun = Instant::now();
    until("all have had the lock", || all_since(&contenders, begun));
    for death in 0..3 {
        let leader = cluster.leader();
        // In full swing.
        thread::sleep(Duration::from_secs(2));
        cluster.servers[leader].kill();
        let killed = Instant::now();
        // The two others elect a leader, and go on without it.
        thread::sleep(Duration::from_secs(3));
        cluster.restart(leader);
        // PATIENCE is 30 s, and so much was waited.
        let all_go_on = comes_true(|| all_since(&contenders, killed))
            || comes_true(|| all_since(&contenders, killed));
        let took = killed.elapsed();
        println!("all go on {took:?} after death {death}");
        let stuck = contenders
            .iter()
            .filter(|one| one.grants_since(killed) == 0);
        let stuck: Vec<_> = stuck.map(|one| (&one.plan, one.lines().pop())).collect();
        assert!(all_go_on && took < GOES_ON_WITHIN, "{took:?}: {stuck:?}");
    }
    for one in &mut contenders {
        one.end_input();
    }
    let mut grants = 0;
    for one in &mut contenders {
        until("it ends well", || one.has_ended());
        one.overlaps_nobody();
        grants += one.grants_since(begun);
        let wait = one.longest_wait();
        assert!(wait < GOES_ON_WITHIN, "{:?} waited {wait:?}", one.plan);
        for line in one.lines() {
            // Whose server was dead does not know what became of its release.
            let is_known = ["release", "downgrade", "upgrade"]
                .iter()
                .flat_map(|what| {
                    ["Unconfirmed", "Lost", "Unavailable"].map(|status| (what, status))
                })
                .any(|(what, status)| line.starts_with(&format!("failed {what} {status}")));
            assert!(!line.starts_with("failed") || is_known, "{line}");
        }
    }
    println!("{grants} grants");
    drop(contenders);
    cluster.servers[0].has_nothing_left();
}

/// No agent of ours is in the other datacenter: a node of the catalog there takes the session.
#[test]
fn another_datacenter() {
    let [here_wan, there_wan] = ports::free();
    let server = |name: &str, wan: u16| {
        let [http, rpc, lan] = ports::free();
        let arguments = [
            "-dev".to_owned(),
            "-bind=127.0.0.1".to_owned(),
            format!("-datacenter={name}"),
            format!("-server-port={rpc}"),
            format!("-serf-lan-port={lan}"),
            format!("-serf-wan-port={wan}"),
        ];
        let consul = Consul::run(name, http, &arguments, "");
        consul.ready().unwrap_or_else(|said| panic!("{said}"));
        consul
    };
    let (here, there) = (server("dc1", here_wan), server("dc2", there_wan));
    let join = format!("/v1/agent/join/127.0.0.1:{there_wan}?wan=1");
    assert_eq!(here.request("PUT", &join, "").status, 200);
    until("the datacenters see each other", || {
        let nodes = here.request("GET", "/v1/catalog/nodes?dc=dc2", "");
        nodes.status == 200 && nodes.body.contains("\"dc2\"")
    });
    let mut options = Options::new();
    for (name, value) in [
        ("address", here.address()),
        ("datacenter", "dc2"),
        ("session_node", "locks"),
    ] {
        options.set(name, value).unwrap();
    }
    let client = Client::new(Some(&options)).unwrap();
    let lock = Lock::new("k", None, Some(&client)).unwrap();
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(there.holder("locks/ephemeral/k"), lock.session_id());
    assert_eq!(there.sessions()[0]["Node"], "locks");
    assert_eq!(here.keys(), [""; 0]);
    lock.renew().unwrap();
    lock.release().unwrap();
    there.has_nothing_left();
}
