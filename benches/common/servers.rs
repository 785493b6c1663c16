//! The servers that the benches measure against, each kind started by the bench itself.

use serde_json::Value as Json;

use crate::support::cluster::Cluster;
use crate::support::consul::Consul;

/// Consul serves 200 connections of one address by default, which is less than 200 waiting
/// processes of one machine need.
const MANY_CONNECTIONS: &str = "limits { http_max_conns_per_client = 4000 }";

/// A dev agent, or three servers with their data on disk.
pub(crate) enum Servers {
    Dev(Consul),
    Three(Cluster, usize),
}

impl Servers {
    pub(crate) fn dev() -> Servers {
        Servers::Dev(Consul::start_with(MANY_CONNECTIONS))
    }

    pub(crate) fn three() -> Servers {
        let cluster = Cluster::start_with(MANY_CONNECTIONS);
        let leader = cluster.leader();
        Servers::Three(cluster, leader)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Servers::Dev(_) => "dev agent",
            Servers::Three(..) => "three servers",
        }
    }

    /// The one to ask: the leader, as its index is that of the last write.
    pub(crate) fn consul(&self) -> &Consul {
        match self {
            Servers::Dev(consul) => consul,
            Servers::Three(cluster, leader) => &cluster.servers[*leader],
        }
    }

    /// The session of another program, which holds `key` with the flags of Go's `api.Lock`. `api.Lock` and the lock
    /// of npm consul refuse a key with other flags instead of waiting for it.
    pub(crate) fn hold(&self, key: &str) -> String {
        let consul = self.consul();
        let body = r#"{"Name":"another program","TTL":"60s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let session = consul.request("PUT", "/v1/session/create", body).body;
        let session: Json = serde_json::from_str(&session).expect("a session");
        let session = session["ID"].as_str().expect("an id").to_owned();
        let acquire = format!("/v1/kv/{key}?acquire={session}&flags=3304740253564472344");
        assert_eq!(consul.request("PUT", &acquire, "").body.trim(), "true");
        session
    }

    /// Ends what killed contenders have left, so that it does not weigh on the next measurement.
    pub(crate) fn sweep(&self) {
        let consul = self.consul();
        for session in consul.sessions() {
            consul.destroy(session["ID"].as_str().expect("an id"));
        }
    }

    pub(crate) fn version(&self) -> String {
        let reply = self.consul().request("GET", "/v1/agent/self", "");
        let agent: Json = serde_json::from_str(&reply.body).expect("JSON");
        agent["Config"]["Version"]
            .as_str()
            .expect("a version")
            .to_owned()
    }
}
