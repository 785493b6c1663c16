//! What the library reads of Consul's JSON. A text is borrowed from the body; only one with escapes is copied. A member
//! that Consul leaves out or sends as null is None; one of another type spoils the body, as it is not Consul's.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;

/// The whole body. None: the body is no text, or has another form.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    // serde_json passes over unknown members without a look at their bytes.
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// A text. (serde borrows what stands in a struct itself, but copies what stands in an option or a list.)
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The answer to a transaction, and to one that was rolled back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transaction<'a> {
    #[serde(borrow)]
    pub(super) results: Option<Vec<OfKv<'a>>>,
    pub(super) errors: Option<Vec<OperationError<'a>>>,
}

/// A result of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct OfKv<'a> {
    #[serde(rename = "KV", borrow)]
    pub(super) row: Option<KvRow<'a>>,
}

/// A row of the KV store.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KvRow<'a> {
    #[serde(borrow)]
    pub(super) key: Text<'a>,
    pub(super) session: Option<Text<'a>>,
    pub(super) create_index: u64,
    pub(super) modify_index: u64,
    pub(super) flags: u64,
    pub(super) value: Option<Text<'a>>,
}

/// Why an operation of a transaction failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OperationError<'a> {
    #[serde(rename = "OpIndex")]
    pub(super) number: usize,
    #[serde(borrow)]
    pub(super) what: Text<'a>,
}

/// A session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownSession<'a> {
    #[serde(rename = "ID", borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) node: Option<Text<'a>>,
    #[serde(rename = "TTL")]
    pub(super) ttl: Option<Text<'a>>,
}

/// What the catalog says of a node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfNode<'a> {
    #[serde(borrow)]
    pub(super) node: Option<Node<'a>>,
}

/// A node of the catalog.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node<'a> {
    #[serde(rename = "Node", borrow)]
    pub(super) name: Text<'a>,
    pub(super) meta: Option<NodeMeta<'a>>,
}

/// What a program has noted of a node.
#[derive(Debug, Deserialize)]
pub(super) struct NodeMeta<'a> {
    #[serde(rename = "external-node", borrow)]
    pub(super) external: Option<Text<'a>>,
}

/// What an agent says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Agent<'a> {
    #[serde(borrow)]
    pub(super) config: AgentConfig<'a>,
    pub(super) stats: Option<AgentStats<'a>>,
}

/// The settings of an agent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AgentConfig<'a> {
    pub(super) server: bool,
    #[serde(rename = "NodeName", borrow)]
    pub(super) node: Text<'a>,
}

/// The counters of an agent.
#[derive(Debug, Deserialize)]
pub(super) struct AgentStats<'a> {
    #[serde(borrow)]
    pub(super) raft: Option<Raft<'a>>,
}

/// A server's part in Raft.
#[derive(Debug, Deserialize)]
pub(super) struct Raft<'a> {
    #[serde(rename = "num_peers", borrow)]
    pub(super) peers: Option<Text<'a>>,
}

/// The value of a ticket.
#[derive(Debug, Deserialize)]
pub(super) struct TicketValue<'a> {
    #[serde(borrow)]
    pub(super) keys: Option<Vec<Text<'a>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_escapes_is_borrowed_and_a_name_with_escapes_is_the_same_name() {
        let body = br#"{"\u004beyX":0,"\u004bey":"a","Session":"\u0061","CreateIndex":1,"ModifyIndex":2,"Flags":3,"Value":"b"}"#;
        let row: KvRow<'_> = parse(body).expect("a row");
        assert!(
            matches!(&row.key, Text(Cow::Borrowed("a"))) && row.session.as_deref() == Some("a"),
            "{row:?}"
        );
        assert!(
            matches!(row.value, Some(Text(Cow::Borrowed("b")))),
            "{row:?}"
        );
    }

    #[test]
    fn what_is_absent_or_null_is_none_and_another_type_or_a_second_member_spoils_the_body() {
        for none in ["{}", r#"{"ID":null}"#] {
            let session: ShownSession<'_> = parse(none.as_bytes()).expect(none);
            assert!(session.id.is_none());
        }
        for spoiled in [r#"{"ID":5}"#, r#"{"ID":"a","ID":"a"}"#, r#"{"ID":"a"} b"#] {
            assert!(
                parse::<ShownSession<'_>>(spoiled.as_bytes()).is_none(),
                "{spoiled}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_text_spoil_the_body_also_in_unknown_members() {
        assert!(parse::<ShownSession<'_>>(b"{\"ID\":\"a\",\"Other\":\"\xff\"}").is_none());
    }
}
