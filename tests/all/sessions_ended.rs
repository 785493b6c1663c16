//! Consul ends sessions by itself: when, what the library reports, and what protects, on three real
//! servers.

use crate::support::cluster::Cluster;
use crate::support::log::Log;
use crate::support::prelude::{self, *};

/// The node that no agent owns.
const NODE: &str = "locks";

fn client(servers: &[&Consul], options: &[(&str, &str)]) -> Client {
    let addresses: Vec<&str> = servers.iter().map(|server| server.address()).collect();
    let patience = [("request_timeout_ms", "3000")];
    prelude::client(&addresses.join(","), &[&patience, options].concat())
}

fn take(client: &Client, key: &str, options: &[(&str, &str)]) -> Lock {
    let lock = lock(
        client,
        key,
        &[&[("acquire_timeout_ms", "60000")], options].concat(),
    );
    lock.acquire().unwrap_or_else(|error| panic!("{error}"));
    lock
}

/// Waits longer than for an answer: Consul takes its time for what it does by itself.
fn at_last(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn session(lock: &Lock) -> String {
    lock.session_id().expect("a session")
}

fn has_session(server: &Consul, id: &str) -> bool {
    let reply = server.request("GET", &format!("/v1/session/info/{id}"), "");
    match serde_json::from_str::<Json>(&reply.body) {
        Ok(Json::Array(rows)) => !rows.is_empty(),
        // Without a leader for a moment.
        _ => true,
    }
}

/// The holder learns of it, by itself or when it asks.
fn is_told_as_lost(lock: &Lock) {
    at_last("the holder is told", || {
        let checked = lock.check();
        !lock.is_held() && checked.is_err_and(|error| error.status != Status::Unavailable)
    });
}

/// Autopilot removes a server that is dead, and all sessions of its node; those of `session_node` live
/// on, and are released through another server. The log has warned of it, once.
#[test]
fn a_server_that_dies() {
    let log = Log::listen();
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let [leader, server] = [leader, (leader + 1) % 3].map(|server| &cluster.servers[server]);
    let own = take(&client(&[server, leader], &[]), "own", &[]);
    let more = client(&[server, leader], &[("session_node", NODE)]);
    let kept = take(&more, "kept", &[]);
    let about = [server.address(), "is a Consul server", "session_node"];
    until("the log warns", || !log.said(&about).is_empty());

    server.kill();
    let ended = session(&own);
    at_last("autopilot removes it", || !has_session(leader, &ended));
    is_told_as_lost(&own);
    assert!(kept.is_held() && has_session(leader, &session(&kept)));
    at_last("it is checked elsewhere", || kept.check().is_ok());
    kept.release().unwrap();
    let warned = log.said(&about);
    assert_eq!(warned.len(), 1, "{warned:?}");
    leader.has_nothing_left();
}

/// An agent that leaves takes the sessions of its node with it; and a node that is deregistered is made
/// again for the next lock.
#[test]
fn an_agent_that_leaves_and_a_node_that_is_deregistered() {
    let log = Log::listen();
    let cluster = Cluster::start();
    let server = &cluster.servers[0];
    let agent = cluster.client_agent();
    let plain = client(&[&agent, server], &[]);
    let own = take(&plain, "own", &[]);
    let with_node = client(&[&agent, server], &[("session_node", NODE)]);
    let kept = take(&with_node, "kept", &[]);
    // It is held for longer than it takes to look at the agent, which is no server.
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(log.said(&[agent.address()]), [""; 0]);

    assert_eq!(agent.request("PUT", "/v1/agent/leave", "").status, 200);
    let ended = session(&own);
    at_last("its sessions end", || !has_session(server, &ended));
    is_told_as_lost(&own);
    assert!(kept.is_held() && has_session(server, &session(&kept)));
    at_last("it is checked elsewhere", || kept.check().is_ok());

    let body = json!({"Node": NODE}).to_string();
    let reply = server.request("PUT", "/v1/catalog/deregister", &body);
    assert_eq!(reply.status, 200);
    is_told_as_lost(&kept);
    let again = take(&with_node, "kept", &[]);
    again.release().unwrap();
    server.has_nothing_left();
}

/// New servers do not know an agent that was unreachable when they began: they "reap" it.
#[test]
fn a_client_agent_that_is_reaped() {
    let mut cluster = Cluster::start();
    let agent = cluster.client_agent();
    let servers: Vec<&Consul> = cluster.servers.iter().collect();
    let [first, second, third] = servers[..] else {
        panic!("three servers");
    };
    // Through the agent, whose node it is bound to; then it is asked of the servers.
    let own = take(&client(&[&agent, first, second, third], &[]), "own", &[]);
    let more = client(&[&agent, first, second, third], &[("session_node", NODE)]);
    let kept = take(&more, "kept", &[]);
    agent.pause();
    at_last("it is seen to fail", || {
        let reply = first.request("GET", "/v1/health/node/client", "");
        reply.body.contains("critical")
    });
    assert!(has_session(first, &session(&own)));
    for server in &mut cluster.servers {
        server.restart();
    }
    let first = &cluster.servers[0];
    first.ready().unwrap();
    let ended = session(&own);
    at_last("it is reaped", || !has_session(first, &ended));
    is_told_as_lost(&own);
    assert!(kept.is_held() && has_session(first, &session(&kept)));
    at_last("it is checked elsewhere", || kept.check().is_ok());
    kept.release().unwrap();
}

/// The leader keeps the time of sessions. One that stood still for more than two TTLs believes that all are
/// over; it fails to end them, for others lead by then, and tries again 10 s, 30 s and 70 s after it woke: if
/// it leads then, sessions end that were renewed meanwhile, of whatever node. The holder is told.
#[test]
fn a_leader_that_stood_still() {
    // Removed, it would have to become a voter again before it may lead.
    let cluster = Cluster::start_with("autopilot { cleanup_dead_servers = false }");
    let frozen = cluster.leader();
    let [first, second, last] = [1, 2, 3].map(|next| &cluster.servers[(frozen + next) % 3]);
    let client = client(&[first, second, last], &[("session_node", NODE)]);
    let options = [("lock_timeout_seconds", "10"), ("auto_renew", "true")];
    let renewed = take(&client, "renewed", &options);
    let ended = session(&renewed);
    last.pause();
    thread::sleep(Duration::from_secs(21));
    last.resume();
    at_last("it ends a session that was renewed", || {
        let leader = cluster.leader();
        if leader != frozen {
            cluster.servers[leader].pause();
            let _ = cluster.leader();
            cluster.servers[leader].resume();
        }
        thread::sleep(Duration::from_millis(500));
        !has_session(last, &ended)
    });
    is_told_as_lost(&renewed);
}

/// A node that an agent owns is no node to bind sessions to; and a lone server is removed by none.
#[test]
fn what_is_warned_of() {
    let log = Log::listen();
    let consul = Consul::start();
    let lone = take(&client(&[&consul], &[]), "lone", &[]);
    let marked = take(
        &client(&[&consul], &[("session_node", NODE)]),
        "marked",
        &[],
    );
    let owned = take(
        &client(&[&consul], &[("session_node", "node")]),
        "owned",
        &[],
    );
    let about = [
        consul.address(),
        "\"node\" (option session_node)",
        "external-node",
    ];
    until("the log warns", || !log.said(&about).is_empty());
    let row = |lock: &Lock| {
        let (id, rows) = (session(lock), consul.sessions());
        let row = rows.into_iter().find(|row| row["ID"] == id.as_str());
        row.expect("the session")
    };
    assert_eq!(row(&marked)["Node"], NODE);
    assert_eq!(row(&marked)["NodeChecks"], json!([]));
    assert_eq!(row(&lone)["Node"], "node");
    for lock in [lone, marked, owned] {
        lock.release().unwrap();
    }
    let warned = log.said(&[consul.address()]);
    assert_eq!(warned.len(), 1, "{warned:?}");
    consul.has_nothing_left();
}
