//! Consul ends sessions by itself: when, what the library reports, and what protects, on three real
//! servers.

use consul_lock::error::LostReason;

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

/// Has the first server lead, unless it leads already: stops each other leader until another one is elected.
fn let_the_first_lead(cluster: &Cluster) {
    at_last("the first one leads", || {
        let leader = cluster.leader();
        if leader != 0 {
            cluster.servers[leader].pause();
            let _ = cluster.leader();
            cluster.servers[leader].resume();
        }
        leader == 0
    });
}

/// The leader keeps the time of sessions. One that stood still for more than two TTLs believes that all are
/// over; it fails to end them, for others lead by then, and tries again 10, 30, 70 and 150 s after it woke: if
/// it leads then, sessions end that were renewed meanwhile, of whatever node. The holder is told.
#[test]
fn a_leader_that_stood_still() {
    // Removed, it would have to become a voter again before it may lead.
    let cluster = Cluster::led_by_the_first("autopilot { cleanup_dead_servers = false }");
    let servers: Vec<&Consul> = cluster.servers.iter().rev().collect();
    let client = client(&servers, &[("session_node", NODE)]);
    // Not each time: see there.
    let ends_one = (0..4).any(|_| a_frozen_leader_ends_a_renewed_session(&cluster, &client));
    assert!(
        ends_one,
        "never so; the log ends:\n{}",
        cluster.servers[0].log()
    );
}

/// Lets the first server stand still and lead again. False: it ended no session that was renewed.
///
/// A server that wakes also learns that it leads no longer, and then stops the timers of all sessions. That may come
/// before the first timer fires. So there are eight sessions, whose timers are not all in one of Go's lists (there is
/// one for each processor). And on a busy machine an election may take longer than the leases.
fn a_frozen_leader_ends_a_renewed_session(cluster: &Cluster, client: &Client) -> bool {
    let [frozen, ..] = &cluster.servers[..] else {
        panic!("three servers");
    };
    let options = [("lock_timeout_seconds", "20"), ("auto_renew", "true")];
    let renewed = (0..8).map(|number| take(client, &format!("renewed-{number}"), &options));
    let renewed: Vec<Lock> = renewed.collect();
    let_the_first_lead(cluster);
    frozen.pause();
    thread::sleep(Duration::from_secs(41));
    frozen.resume();
    let deadline = Instant::now() + Duration::from_secs(80);
    while Instant::now() < deadline && renewed.iter().any(Lock::is_held) {
        let_the_first_lead(cluster);
        thread::sleep(Duration::from_millis(500));
        // The reason for a lock that was not renewed would be EXPIRED. With its session the key ends, too, which is
        // what a watch sees.
        let ended = |lock: &&Lock| {
            let ends = [LostReason::SessionGone, LostReason::KeyGone];
            lock.why_lost().is_some_and(|why| ends.contains(&why))
        };
        if let Some(ended) = renewed.iter().find(ended) {
            is_told_as_lost(ended);
            let log = frozen.log();
            assert!(log.contains("Invalidation failed"), "another cause: {log}");
            return true;
        }
    }
    false
}

/// An election ends no session. Every TTL starts again: the session of a dead holder lives longer, and ends at last.
#[test]
fn an_election_starts_every_ttl_again() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let other = &cluster.servers[(leader + 1) % 3];
    let node = json!({"Node": NODE, "Address": "127.0.0.1"}).to_string();
    assert_eq!(
        other.request("PUT", "/v1/catalog/register", &node).status,
        200
    );
    // No process renews it.
    let body = json!({"Node": NODE, "TTL": "10s", "NodeChecks": []}).to_string();
    let reply = other.request("PUT", "/v1/session/create", &body);
    let session: Json = serde_json::from_str(&reply.body).expect("a session");
    let session = session["ID"].as_str().expect("an id");
    let made = Instant::now();
    thread::sleep(Duration::from_secs(12));
    cluster.servers[leader].kill();
    let next = &cluster.servers[cluster.leader()];
    // Consul takes two TTLs, and the network a moment.
    let longest = Duration::from_secs(23).saturating_sub(made.elapsed());
    thread::sleep(longest);
    assert!(has_session(next, session), "it began to count again");
    at_last("it ends", || !has_session(next, session));
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
