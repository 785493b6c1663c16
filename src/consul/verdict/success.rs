//! What the body of a 200 says.

use super::json::{Agent, KvRow, Node, OfNode, ShownSession, Text, parse};
use super::{LONGEST_NAME, duration, id, rows};
use crate::consul::http::HttpReply;
use crate::core::messages::{AgentRow, Answer, KeyRow, NodeRow, Request, SessionId, SessionRow};
use crate::text::one_line;

/// The answer to this request. None: the body says something else.
pub(super) fn answer(request: &Request, reply: &HttpReply) -> Option<Answer> {
    let body = reply.body.as_slice();
    let rows = || rows::read(request, &parse(body)?);
    let is_true = body.trim_ascii() == b"true";
    Some(match request {
        Request::CreateSession { .. } => {
            Answer::Created(id(&parse::<ShownSession<'_>>(body)?.id?)?)
        }
        Request::RegisterNode { .. } => is_true.then_some(Answer::Registered)?,
        Request::DestroySession { .. } => is_true.then_some(Answer::Destroyed)?,
        Request::DescribeNode { node } => Answer::Node(node_row(parse(body)?, node)?),
        Request::DescribeAgent => Answer::Agent(Some(agent_row(&parse(body)?))),
        Request::FindSession { name } => Answer::Found(find_session(body, name)?),
        Request::RenewSession { session } => match &parse::<Vec<ShownSession<'_>>>(body)?[..] {
            [row] if row.id.as_deref() == Some(&*session.0) => Answer::Renewed,
            _ => return None,
        },
        Request::DescribeSession { session } => {
            let rows = parse::<Vec<ShownSession<'_>>>(body)?;
            let row = rows.first();
            let row = row.filter(|row| row.id.as_deref() == Some(&*session.0));
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
            let rows = parse::<Vec<KvRow<'_>>>(body)?;
            let row = rows.first().filter(|row| *row.key == **key)?;
            Answer::Row {
                row: Some(key_row(row)?),
                index: reply.index?,
            }
        }
        Request::WatchNames { folder, .. } => {
            let name = |name: &Text<'_>| name.starts_with(&**folder).then(|| name.to_string());
            let names = parse::<Vec<Text<'_>>>(body)?;
            let names = names.iter().map(name).collect::<Option<_>>();
            Answer::Names {
                names: names?,
                index: reply.index?,
            }
        }
    })
}

/// Consul answers null if there is no such node, or if the token may not read the node.
fn node_row(answer: Option<OfNode<'_>>, node: &str) -> Option<Option<NodeRow>> {
    let Some(Node { name, meta }) = answer.and_then(|of| of.node) else {
        return Some(None);
    };
    let external = meta.and_then(|meta| meta.external).as_deref() == Some("true");
    (*name == *node).then_some(Some(NodeRow { external }))
}

/// A lone server has no other server that could remove its node.
fn agent_row(Agent { config, stats }: &Agent<'_>) -> AgentRow {
    let raft = stats.as_ref().and_then(|stats| stats.raft.as_ref());
    let peers = raft.and_then(|raft| raft.peers.as_deref());
    AgentRow {
        node: one_line(&config.node, LONGEST_NAME),
        server_among_others: config.server && peers != Some("0"),
    }
}

fn session_row(row: &ShownSession<'_>) -> Option<SessionRow> {
    Some(SessionRow {
        name: one_line(row.name.as_deref()?, LONGEST_NAME),
        node: one_line(row.node.as_deref()?, LONGEST_NAME),
        ttl: row.ttl.as_deref().and_then(duration::parse),
    })
}

fn key_row(row: &KvRow<'_>) -> Option<KeyRow> {
    let value = rows::value_of(row)?;
    // A key is held also by a session whose id is none of Consul's. Such an id goes into no request.
    let session = row.session.as_deref().filter(|text| !text.is_empty());
    let session = session.map(|text| id(text).unwrap_or_else(SessionId::unreadable));
    Some(KeyRow {
        session,
        create_index: row.create_index,
        modify_index: row.modify_index,
        flags: row.flags,
        value,
    })
}

/// The session of that name in a list of sessions. The function reads one session after the other: the list of a
/// large cluster has megabytes. None: the text is no such list.
fn find_session(list: &[u8], name: &str) -> Option<Option<SessionId>> {
    /// A session of Consul's has some hundred bytes.
    const LONGEST: usize = 64 << 10;
    // The reader of one session passes over unknown members without a look at their bytes.
    std::str::from_utf8(list).ok()?;
    let list = list.trim_ascii().strip_prefix(b"[")?;
    let mut rest = list.strip_suffix(b"]")?.trim_ascii();
    let mut found = None;
    while !rest.is_empty() {
        let one = rest.get(..LONGEST).unwrap_or(rest);
        let mut sessions =
            serde_json::Deserializer::from_slice(one).into_iter::<ShownSession<'_>>();
        let session = sessions.next()?.ok()?;
        if found.is_none() && session.name.as_deref() == Some(name) {
            found = Some(id(session.id.as_deref()?)?);
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
