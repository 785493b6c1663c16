//! What the body of a 200 says.

use serde_json::Value as Json;

use super::{LONGEST_NAME, duration, id, member, rows};
use crate::consul::http::HttpReply;
use crate::core::messages::{AgentRow, Answer, KeyRow, NodeRow, Request, SessionId, SessionRow};
use crate::text::one_line;

/// The answer to this request. None: the body says something else.
pub(super) fn answer(request: &Request, reply: &HttpReply) -> Option<Answer> {
    let json = || serde_json::from_slice::<Json>(&reply.body).ok();
    let rows = || rows::read(request, &json()?);
    let is_true = reply.body.trim_ascii() == b"true";
    Some(match request {
        Request::CreateSession { .. } => Answer::Created(id(member(&json()?, "ID")?)?),
        Request::RegisterNode { .. } => is_true.then_some(Answer::Registered)?,
        Request::DestroySession { .. } => is_true.then_some(Answer::Destroyed)?,
        Request::DescribeNode { node } => Answer::Node(node_row(&json()?, node)?),
        Request::DescribeAgent => Answer::Agent(Some(agent_row(&json()?)?)),
        Request::FindSession { name } => Answer::Found(find_session(&reply.body, name)?),
        Request::RenewSession { session } => match json()?.as_array()?.as_slice() {
            [row] if member(row, "ID") == Some(&session.0) => Answer::Renewed,
            _ => return None,
        },
        Request::DescribeSession { session } => {
            let json = json()?;
            let row = json.as_array()?.first();
            let row = row.filter(|row| member(row, "ID") == Some(&session.0));
            Answer::Described(row.and_then(session_row))
        }
        Request::Lock { .. }
        | Request::Take { .. }
        | Request::Downgrade { .. }
        | Request::Upgrade { .. } => {
            let rows::Rows { index, below } = rows()?;
            Answer::Locked { index, below }
        }
        Request::Unlock { .. } => Answer::Unlocked {
            below: rows()?.below,
        },
        Request::Prove { .. } => {
            let rows::Rows { index, below } = rows()?;
            Answer::Proved { index, below }
        }
        Request::Survey { .. } | Request::ReadLine { .. } | Request::Join { .. } => {
            Answer::Line(rows()?.below)
        }
        Request::Write { .. } => rows().map(|_| Answer::Written)?,
        Request::Clear { .. } => rows().map(|_| Answer::Cleared)?,
        Request::Read { key, .. } | Request::Watch { key, .. } => {
            let json = json()?;
            let row = json.get(0).filter(|row| member(row, "Key") == Some(key))?;
            Answer::Row {
                row: Some(key_row(row)?),
                index: reply.index?,
            }
        }
        Request::WatchNames { folder, .. } => {
            let name = |name: &Json| {
                let name = name.as_str()?;
                name.starts_with(&**folder).then(|| name.to_owned())
            };
            let names = json()?.as_array()?.iter().map(name).collect::<Option<_>>();
            Answer::Names {
                names: names?,
                index: reply.index?,
            }
        }
    })
}

/// Consul answers null if there is no such node, or if the token may not read the node.
fn node_row(json: &Json, node: &str) -> Option<Option<NodeRow>> {
    let Some(row) = json.get("Node") else {
        return Some(None);
    };
    let meta = row.get("Meta");
    let external = meta.and_then(|meta| member(meta, "external-node")) == Some("true");
    (member(row, "Node") == Some(node)).then_some(Some(NodeRow { external }))
}

/// A lone server has no other server that could remove its node.
fn agent_row(json: &Json) -> Option<AgentRow> {
    let config = json.get("Config")?;
    let is_server = config.get("Server")?.as_bool()?;
    let raft = json.get("Stats").and_then(|stats| stats.get("raft"));
    let peers = raft.and_then(|raft| member(raft, "num_peers"));
    Some(AgentRow {
        node: one_line(member(config, "NodeName")?, LONGEST_NAME),
        server_among_others: is_server && peers != Some("0"),
    })
}

fn session_row(json: &Json) -> Option<SessionRow> {
    Some(SessionRow {
        name: one_line(member(json, "Name")?, LONGEST_NAME),
        node: one_line(member(json, "Node")?, LONGEST_NAME),
        ttl: member(json, "TTL").and_then(duration::parse),
    })
}

fn key_row(json: &Json) -> Option<KeyRow> {
    let value = rows::value_of(json)?;
    // A key is held also by a session whose id is none of Consul's. Such an id goes into no request.
    let session = match json.get("Session") {
        None | Some(Json::Null) => None,
        Some(session) => match session.as_str()? {
            "" => None,
            text => Some(id(text).unwrap_or_else(SessionId::unreadable)),
        },
    };
    Some(KeyRow {
        session,
        create_index: json.get("CreateIndex")?.as_u64()?,
        modify_index: json.get("ModifyIndex")?.as_u64()?,
        flags: json.get("Flags").and_then(Json::as_u64).unwrap_or(0),
        value,
    })
}

/// The session of that name in a list of sessions. The function reads one session after the other: the list of a
/// large cluster has megabytes, and a hundred times that as values. None: the text is no such list.
fn find_session(list: &[u8], name: &str) -> Option<Option<SessionId>> {
    /// A session of Consul's has some hundred bytes.
    const LONGEST: usize = 64 << 10;
    let list = list.trim_ascii().strip_prefix(b"[")?;
    let mut rest = list.strip_suffix(b"]")?.trim_ascii();
    let mut found = None;
    while !rest.is_empty() {
        let one = rest.get(..LONGEST).unwrap_or(rest);
        let mut sessions = serde_json::Deserializer::from_slice(one).into_iter::<Json>();
        let session = sessions.next()?.ok()?;
        if found.is_none() && member(&session, "Name") == Some(name) {
            found = Some(id(member(&session, "ID")?)?);
        }
        rest = rest.get(sessions.byte_offset()..)?.trim_ascii();
        if let Some(more) = rest.strip_prefix(b",") {
            rest = more.trim_ascii();
            // Something follows a comma.
            rest.first()?;
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(found)
}
