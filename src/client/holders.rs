//! All that hold a key or wait for it, as one JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use crate::core::messages::{Limit, Want};
use crate::core::{Holders, Party, Role};

impl Holders {
    /// The object that docs/guide.md describes, "Who holds and who waits".
    pub fn json(&self) -> String {
        let of = |role| {
            let parties = self.all.iter().filter(move |party| party.role == role);
            parties.map(Party::json).collect::<Vec<Json>>()
        };
        json!({
            "key": &*self.key,
            "exclusive": of(Role::Exclusive).into_iter().next(),
            "sharers": of(Role::Sharer),
            "line": of(Role::Waiter),
        })
        .to_string()
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

    fn json(&self) -> Json {
        let holder = &self.holder;
        let mut json = json!({
            "session": &*holder.session.0,
            "name": holder.name,
            "node": holder.node,
            "ttl_ms": holder.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        });
        let mut put = |name: &str, value: Json| {
            if let Some(json) = json.as_object_mut() {
                json.insert(name.to_owned(), value);
            }
        };
        if self.role == Role::Waiter {
            put(
                "mode",
                json!(if self.shares() { "share" } else { "exclusive" }),
            );
            put(
                "keys",
                json!(self.keys.iter().map(|key| &**key).collect::<Vec<&str>>()),
            );
        } else {
            put("fencing_token", json!(holder.fencing_token));
            put("since_ms", json!(holder.since));
            put("value_base64", json!(BASE64.encode(&**holder.value.0)));
        }
        if self.shares() {
            put("limit", json!(self.limit()));
        }
        if self.role == Role::Sharer {
            put("slot", json!(self.slot()));
        }
        json
    }
}
