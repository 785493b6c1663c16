//! The catalog and the agent, as far as a lock looks at them.

use serde_json::{Value as Json, json};

use crate::edition::Edition;
use crate::keys::MAX_BODY;
use crate::model::{Model, Reply};
use crate::requests::not_known;
use crate::time::Time;
use crate::wire::{field, parse_failed, reply};

/// A node of the catalog.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    address: String,
    meta: Json,
    create_index: u64,
    modify_index: u64,
}

impl Node {
    /// The node of an agent.
    pub(crate) fn of_agent(index: u64) -> Node {
        Node {
            address: "127.0.0.1".to_owned(),
            meta: json!({"consul-network-segment": ""}),
            create_index: index,
            modify_index: index,
        }
    }

    fn row(&self, name: &str) -> Json {
        json!({
            "ID": "", "Node": name, "Address": self.address, "Datacenter": "dc1", "TaggedAddresses": null,
            "Meta": self.meta, "CreateIndex": self.create_index, "ModifyIndex": self.modify_index,
        })
    }
}

impl Model {
    pub(crate) fn register(&mut self, body: &[u8]) -> Reply {
        let json: Json = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(error) => return parse_failed(body, &error),
        };
        if let Some(what) = ["Service", "Check", "Checks"]
            .into_iter()
            .find(|what| field(&json, what).is_some_and(|it| !it.is_null()))
        {
            return not_known(&format!("{what} in a registration"));
        }
        let name = match node_of(&json) {
            Ok(name) => name,
            Err(refusal) => return refusal,
        };
        let Some(address) = field(&json, "Address").and_then(Json::as_str) else {
            return reply(500, "Must provide address if SkipNodeUpdate is not set");
        };
        let index = self.write();
        let meta = field(&json, "NodeMeta").cloned().unwrap_or_default();
        let skips = field(&json, "SkipNodeUpdate").and_then(Json::as_bool);
        match self.nodes.get_mut(name) {
            Some(_) if skips == Some(true) => {}
            Some(node) => {
                self.nodes_index = index;
                node.address = address.to_owned();
                node.meta = meta;
                node.modify_index = index;
            }
            None => {
                self.nodes_index = index;
                let node = Node {
                    address: address.to_owned(),
                    meta,
                    create_index: index,
                    modify_index: index,
                };
                self.nodes.insert(name.to_owned(), node);
            }
        }
        reply(200, "true")
    }

    pub(crate) fn deregister(&mut self, now: Time, body: &[u8]) -> Reply {
        let json: Json = match serde_json::from_slice(body) {
            Ok(json) => json,
            Err(error) => return parse_failed(body, &error),
        };
        if let Some(what) = ["ServiceID", "CheckID"]
            .into_iter()
            .find(|what| field(&json, what).is_some_and(|it| it != ""))
        {
            return not_known(&format!("{what} in a deregistration"));
        }
        match node_of(&json) {
            Ok(node) => self.remove_node(now, node),
            Err(refusal) => return refusal,
        }
        reply(200, "true")
    }

    pub(crate) fn node(&self, node: &str) -> Reply {
        match self.nodes.get(node) {
            None if self.store.edition.has_index_of_missing_node() => {
                of_catalog(self.nodes_index, &Json::Null)
            }
            None => of_catalog(1, &Json::Null),
            Some(it) => {
                let row = json!({"Node": it.row(node), "Services": {}});
                of_catalog(it.modify_index, &row)
            }
        }
    }

    pub(crate) fn list_nodes(&self) -> Reply {
        let nodes = self.nodes.iter().map(|(name, node)| node.row(name));
        of_catalog(self.nodes_index, &nodes.collect())
    }

    pub(crate) fn checks(&self, node: &str) -> Reply {
        let serf = json!({
            "Node": self.node, "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing", "Notes": "",
            "Output": "Agent alive and reachable", "ServiceID": "", "ServiceName": "", "ServiceTags": [],
            "Definition": {}, "CreateIndex": 10, "ModifyIndex": 10,
        });
        let is_there = node == self.node && self.nodes.contains_key(node);
        let checks: Vec<Json> = is_there.then_some(serf).into_iter().collect();
        of_catalog(if is_there { 10 } else { 1 }, &checks.into())
    }

    pub(crate) fn agent(&self) -> Reply {
        let agent = json!({
            "Config": {
                "Datacenter": "dc1",
                "NodeName": self.node,
                "NodeID": "00000000-0000-0000-0000-000000000000",
                "Revision": "",
                "Server": true,
                "Version": self.store.edition.version(),
            },
            "DebugConfig": {
                "ACLsEnabled": false,
                "KVMaxValueSize": MAX_BODY,
                "SessionTTLMin": "0s",
                "TxnMaxReqLen": MAX_BODY,
            },
            "Stats": {
                "consul": {"leader": "true", "server": "true"},
                "raft": {
                    "commit_index": self.index.to_string(),
                    "num_peers": self.peers.to_string(),
                    "state": "Leader",
                },
            },
            "Member": {"Name": self.node, "Addr": "127.0.0.1", "Status": 1},
            "Meta": {},
        });
        reply(200, agent.to_string())
    }
}

fn of_catalog(index: u64, json: &Json) -> Reply {
    Reply {
        index: Some(index),
        ..reply(200, json.to_string())
    }
}

impl Edition {
    /// The version that an agent of this edition says it has.
    pub fn version(self) -> &'static str {
        match self {
            Edition::V1_8 => "1.8.7",
            Edition::V1_16 => "1.16.4",
            Edition::V1_22 => "1.22.0",
        }
    }
}

/// The node that a registration names.
fn node_of(json: &Json) -> Result<&str, Reply> {
    match field(json, "Node").and_then(Json::as_str) {
        None | Some("") => Err(reply(500, "Must provide node")),
        Some(node) => Ok(node),
    }
}
