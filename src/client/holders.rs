//! All that hold a key or wait for it, as one JSON object.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::core::messages::{Limit, Want};
use crate::core::{Holders, Party, Role};

impl Holders {
    /// The object that docs/guide.md describes, "Who holds and who waits".
    pub fn json(&self) -> String {
        let of = |role| {
            let parties = self.all.iter().filter(move |party| party.role == role);
            parties.map(PartyAsTold::of).collect::<Vec<_>>()
        };
        let told = HoldersAsTold {
            key: &self.key,
            exclusive: of(Role::Exclusive).into_iter().next(),
            sharers: of(Role::Sharer),
            line: of(Role::Waiter),
        };
        // Texts and numbers always have JSON.
        serde_json::to_string(&told).unwrap_or_default()
    }
}

/// [`Holders`] as a program reads them.
#[derive(Serialize)]
struct HoldersAsTold<'a> {
    key: &'a str,
    exclusive: Option<PartyAsTold<'a>>,
    sharers: Vec<PartyAsTold<'a>>,
    line: Vec<PartyAsTold<'a>>,
}

/// One of these sessions. The outer None: a session of this role has no such member.
#[derive(Serialize)]
struct PartyAsTold<'a> {
    session: &'a str,
    name: Option<&'a str>,
    node: Option<&'a str>,
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fencing_token: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<Option<i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<Option<u16>>,
}

impl PartyAsTold<'_> {
    fn of(party: &Party) -> PartyAsTold<'_> {
        let holder = &party.holder;
        let waits = party.role == Role::Waiter;
        let mode = if party.shares() { "share" } else { "exclusive" };
        let ttl_ms = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        PartyAsTold {
            session: &holder.session.0,
            name: holder.name.as_deref(),
            node: holder.node.as_deref(),
            ttl_ms: holder.ttl.map(ttl_ms),
            mode: waits.then_some(mode),
            keys: waits.then(|| party.keys.iter().map(|key| &**key).collect()),
            fencing_token: (!waits).then_some(holder.fencing_token),
            since_ms: (!waits).then_some(holder.since),
            value_base64: (!waits).then(|| BASE64.encode(&**holder.value.0)),
            limit: party.shares().then(|| party.limit()),
            slot: (party.role == Role::Sharer).then(|| party.slot()),
        }
    }
}

impl Party {
    /// How many may share the key with this session; None: the session shares without a limit, or not at all.
    pub fn limit(&self) -> Option<u16> {
        let limit = self.want.limit().filter(|limit| *limit != Limit::READERS);
        limit.map(Limit::get)
    }

    /// The number among those that share the key with a limit, from 0.
    pub fn slot(&self) -> Option<u16> {
        let slot = self.slot.filter(|_| self.limit().is_some());
        slot.map(|slot| slot.get())
    }

    /// The session shares the key, or waits for that.
    pub fn shares(&self) -> bool {
        self.want != Want::Exclusive
    }
}
