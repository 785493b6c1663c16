//! The agent: its version, and those of its settings that matter to locks.

use serde_json::{Value as Json, json};

use super::{Patient, Report};
use crate::connection;

/// The oldest version that has all that the library asks for.
const OLDEST: (u64, u64) = (1, 8);

/// What the agent says of itself, if the token may read it. None: this Consul cannot make locks.
pub fn check(patient: &Patient<'_>, report: &mut Report) -> Option<Option<Json>> {
    let reply = match patient.get("/v1/agent/self") {
        Ok(reply) => reply,
        Err(error) => {
            report.fail("agent", &error.message, "", json!({}));
            return None;
        }
    };
    let agent: Option<Json> = match reply.status {
        200 => serde_json::from_slice(&reply.body).ok(),
        _ => None,
    };
    let Some(agent) = agent else {
        let text = "version and settings cannot be read: the token has no right agent:read";
        let advice =
            "give it agent_prefix \"\" { policy = \"read\" }, or ask an operator for the settings";
        let facts = json!({"http_status": reply.status});
        report.warn("agent", text, advice, facts);
        return Some(None);
    };
    version(&agent, report)?;
    server(patient, &agent, report);
    connections(patient, &agent, report);
    Some(Some(agent))
}

fn version(agent: &Json, report: &mut Report) -> Option<()> {
    let version = text(agent, "/Config/Version").unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    let number = parts.next().flatten().zip(parts.next().flatten());
    let facts = json!({"version": version});
    match number {
        Some(number) if number < OLDEST => {
            let text = format!("Consul {version} is too old");
            report.fail("version", &text, "use Consul 1.8 or newer", facts);
            return None;
        }
        Some(_) => report.ok("version", &format!("Consul {version}"), facts),
        None => report.warn("version", "the agent does not tell its version", "", facts),
    }
    Some(())
}

/// Sessions are bound to the node of the agent, and end with that node.
fn server(patient: &Patient<'_>, agent: &Json, report: &mut Report) {
    let node = text(agent, "/Config/NodeName").unwrap_or_default();
    let is_server = agent.pointer("/Config/Server").and_then(Json::as_bool);
    let is_server = is_server.unwrap_or(false);
    let alone = text(agent, "/Stats/raft/num_peers") == Some("0");
    let leaves = agent.pointer("/DebugConfig/LeaveOnTerm");
    let leaves = leaves.and_then(Json::as_bool);
    let own = connection::value(patient.matches, "session_node");
    let facts = json!({
        "node": node,
        "server": is_server,
        "leave_on_terminate": leaves,
        "session_node": own,
    });
    if let Some(own) = own {
        let text = format!("sessions are bound to the node {own} (session_node), and to no agent");
        report.ok("agent", &text, facts);
    } else if is_server && alone {
        let text = format!("a server without others (node {node}): its loss ends every lock");
        report.ok("agent", &text, facts);
    } else if is_server {
        let text = format!(
            "a server: sessions are bound to its node {node}, and end when that server is stopped or replaced"
        );
        let advice = "use a client agent on this machine, or set session_node (docs/operating.md)";
        report.warn("agent", &text, advice, facts);
    } else if leaves == Some(true) {
        let text = format!(
            "a client agent (node {node}) that leaves at TERM: a restart of it ends all locks made through it"
        );
        let advice =
            "set leave_on_terminate = false on the agent, or session_node (docs/operating.md)";
        report.warn("agent", &text, advice, facts);
    } else {
        let text = format!("a client agent (node {node}) that does not leave at TERM");
        report.ok("agent", &text, facts);
    }
}

fn connections(patient: &Patient<'_>, agent: &Json, report: &mut Report) {
    let limit = agent.pointer("/DebugConfig/HTTPMaxConnsPerClient");
    let Some(limit) = limit.and_then(Json::as_i64) else {
        return;
    };
    let own = connection::value(patient.matches, "max_connections");
    let own: i64 = own.and_then(|own| own.parse().ok()).unwrap_or(32);
    let facts = json!({"http_max_conns_per_client": limit, "max_connections": own});
    if limit > 0 && limit < own * 2 {
        let text = format!(
            "the agent takes {limit} connections from one address, and one client of this library may open {own}"
        );
        let advice =
            "raise limits.http_max_conns_per_client of the agent, or lower max_connections";
        report.warn("connections", &text, advice, facts);
    } else {
        let most = match limit {
            ..=0 => "any number of".to_owned(),
            limit => limit.to_string(),
        };
        let text = format!(
            "the agent takes {most} connections from one address; a client opens {own} at most"
        );
        report.ok("connections", &text, facts);
    }
}

fn text<'a>(json: &'a Json, path: &str) -> Option<&'a str> {
    json.pointer(path)?.as_str()
}
