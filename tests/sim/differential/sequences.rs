//! The sequences: random ones, and the oddities that chance does not ask for.

use super::others::of_other_clients;
use super::*;

pub(super) struct Writer {
    random: Random,
    prefix: String,
    keys: Vec<String>,
    /// The key that has a line, in every other sequence.
    main: Option<Key>,
    sessions: u64,
    steps: Vec<(Option<Duration>, Step)>,
}

/// Two or three keys, up to four sessions, up to 24 requests. Every other sequence is about the line
/// of the first key, with its neighbours for the other keys.
pub(super) fn sequence(seed: u64) -> Vec<(Option<Duration>, Step)> {
    let mut random = Random::new(seed);
    let prefix = format!("d/{seed}/");
    let of_a_line = seed % 2 == 1;
    let names = if of_a_line {
        ["k", "kx", "k/x"]
    } else {
        ["a", "b", "b/c"]
    };
    let count = 2 + random.below(2) as usize;
    let keys = names.iter().take(count);
    let mut writer = Writer {
        keys: keys.map(|name| format!("{prefix}{name}")).collect(),
        main: of_a_line.then(|| format!("{prefix}k").into()),
        sessions: 2 + random.below(3),
        prefix,
        random,
        steps: Vec::new(),
    };
    for place in 0..writer.sessions {
        writer.create(place);
    }
    // An operation on a key may now meet a ticket.
    if let Some(main) = &writer.main {
        writer
            .keys
            .extend(SLOTS.map(|slot| Slot::new(slot).ticket_of(main)));
        let shares = limits().map(|limit| SHARES.map(|slot| limit.row_of(main, Slot::new(slot))));
        let shares = shares.into_iter().flatten();
        writer.keys.extend(shares.map(|row| row.to_string()));
    }
    for _ in 0..6 + writer.random.below(19) {
        match writer.main.clone() {
            Some(main) if writer.random.chance(400) => writer.in_line(&main),
            Some(main) if writer.random.chance(700) => writer.sharing(&main),
            _ => writer.anything(),
        }
    }
    for key in writer.keys.clone() {
        writer.push(Step::get(format!("/v1/kv/{key}?consistent=")));
    }
    for place in 0..writer.sessions {
        writer.push(Step::put(format!("/v1/session/destroy/{{S{place}}}"), ""));
    }
    let prefix = writer.prefix.clone();
    writer.push(Step::txn(&[op("get-tree", &prefix, "")]));
    for key in writer.keys.clone() {
        writer.push(Step::delete(format!("/v1/kv/{key}")));
    }
    writer.steps
}

/// The slots of tickets: few, so that two tickets meet.
pub(super) const SLOTS: [u64; 3] = [0x000, 0x00a, 0x3ff];

/// The slots of shared rows.
const SHARES: [u64; 2] = [0, 1];

/// The limits with which sessions share a key.
pub(super) fn limits() -> [Limit; 2] {
    [Limit::READERS, Limit::new(3).expect("a limit")]
}

pub(super) fn op(verb: &str, key: &str, rest: &str) -> String {
    format!("{{\"KV\":{{\"Verb\":\"{verb}\",\"Key\":\"{key}\"{rest}}}}}")
}

impl Writer {
    fn push(&mut self, step: Step) {
        self.steps.push((None, step));
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.random.below(among.len() as u64) as usize]
    }

    fn key(&mut self) -> String {
        let key = self.random.below(self.keys.len() as u64);
        self.keys[key as usize].clone()
    }

    /// The place of a session, which may have ended, or the id of a session that never existed.
    fn session(&mut self) -> String {
        if self.random.chance(60) {
            return UNKNOWN.to_owned();
        }
        format!("{{S{}}}", self.random.below(self.sessions))
    }

    fn create(&mut self, place: u64) {
        let behavior = self.pick(&["delete", "delete", "release", ""]);
        let ttl = self.pick(&["3600s", "86400s", "1h30m", ""]);
        let lock_delay = self.pick(&["0s", "0s", "0s", "15s", "90s"]);
        self.push(Step::create(place as usize, ttl, behavior, lock_delay));
    }

    /// A flag and a value: few of them, so that identical writes are frequent.
    fn content(&mut self) -> String {
        let value = self.pick(&["", "dg==", "dg==", "dmFsdWU="]);
        let flags = self.pick(&["0", "7", LOCK_FLAGS, LOCK_FLAGS]);
        format!(",\"Value\":\"{value}\",\"Flags\":{flags}")
    }

    fn any_op(&mut self) -> String {
        let key = self.key();
        let content = self.content();
        let session = self.session();
        let as_session = format!(",\"Session\":\"{session}\"");
        let when = match self.random.below(4) {
            0 => ",\"Index\":0".to_owned(),
            1 => ",\"Index\":1".to_owned(),
            _ => format!(",\"Index\":{{M:{key}}}"),
        };
        match self.random.below(14) {
            13 => op("check-index", &key, &when),
            12 => op("check-not-exists", &key, ""),
            0..=2 => op("lock", &key, &(content + &as_session)),
            3 => op("unlock", &key, &(content + &as_session)),
            4..=5 => op("check-session", &key, &as_session),
            6 => op("delete", &key, ""),
            7 => op("get", &key, ""),
            8 => op("get-tree", &self.prefix, ""),
            9 => op("set", &key, &content),
            10 => op("cas", &key, &(content + &when)),
            _ => op("delete-cas", &key, &when),
        }
    }

    fn anything(&mut self) {
        let (key, session) = (self.key(), self.session());
        let as_session = format!(",\"Session\":\"{session}\"");
        let step = match self.random.below(30) {
            0..=5 => {
                let content = self.content();
                Step::txn(&[op("lock", &key, &(content + &as_session))])
            }
            6..=7 => {
                let content = self.content();
                Step::txn(&[op("unlock", &key, &(content + &as_session))])
            }
            8..=10 => Step::txn(&[
                op("check-session", &key, &as_session),
                op("delete", &key, ""),
            ]),
            11 => Step::txn(&[op("check-session", &key, &as_session)]),
            12..=14 => {
                let ops: Vec<String> = (0..2 + self.random.below(3))
                    .map(|_| self.any_op())
                    .collect();
                Step::txn(&ops)
            }
            15 => Step::txn(&[self.any_op()]),
            16..=17 => self.put(&key, &format!("?acquire={session}")),
            18 => self.put(&key, &format!("?release={session}")),
            19 => self.put(&key, ""),
            20 => Step::delete(format!("/v1/kv/{key}")),
            21..=22 => Step::get(format!("/v1/kv/{key}")),
            // Consul answers a query with a past index at once, and one with the present index after its wait.
            23 => {
                let index = self.pick(&["0", "1", "{M:"]);
                let index = if index == "{M:" {
                    format!("{{M:{key}}}")
                } else {
                    index.to_owned()
                };
                Step::get(format!("/v1/kv/{key}?index={index}&wait=2ms"))
            }
            24..=25 => Step::put(format!("/v1/session/destroy/{session}"), ""),
            26 => Step::put(format!("/v1/session/renew/{session}"), ""),
            27 => Step::get(format!("/v1/session/info/{session}")),
            _ => {
                let place = self.random.below(self.sessions);
                // The session of this place lives on, and the sequence must still end it.
                self.push(Step::put(format!("/v1/session/destroy/{{S{place}}}"), ""));
                return self.create(place);
            }
        };
        self.push(step);
    }

    fn slot(&mut self) -> Slot {
        Slot::new(SLOTS[self.random.below(SLOTS.len() as u64) as usize])
    }

    /// A request of the library for a key that has a line.
    fn in_line(&mut self, main: &Key) {
        let key = main.clone();
        let session = SessionId(self.session().into());
        let slot = self.slot();
        let ahead: Vec<Stalled> = (0..self.random.below(3))
            .map(|_| Stalled {
                key: key.clone(),
                slot: self.slot(),
                modify_index: 0,
            })
            .collect();
        let value = Value(b"v".to_vec().into());
        let found = match self.random.below(4) {
            0 => Found::Unlocked(1),
            1 => Found::Unlocked(INDEX_OF_MAIN),
            2 => Found::Ours,
            _ => Found::Absent,
        };
        let see = See {
            line: true,
            sharers: Sharers::All,
        };
        let targets = vec![LockTarget {
            key: key.clone(),
            found,
        }];
        let hold = Hold::Exclusive { value };
        let request = match self.random.below(18) {
            0..=1 => Request::Lock {
                targets,
                hold,
                session,
                see,
            },
            2..=3 => Request::Unlock {
                rows: vec![key.clone()],
                session,
                lines: vec![key],
            },
            4..=5 => Request::Survey { targets, see },
            6 => Request::ReadLine {
                keys: vec![key],
                see,
            },
            7..=10 => Request::Join {
                keys: [key].into(),
                slots: vec![slot],
                want: Want::Exclusive,
                session,
                see,
            },
            11..=14 => Request::Take {
                targets,
                hold,
                slots: vec![slot],
                session,
                ahead: ahead.clone(),
                see,
            },
            15 if !ahead.is_empty() => Request::Clear {
                ahead: ahead.clone(),
            },
            // Consul answers a query with a past index at once, and one with the present index after its wait.
            // With no ticket so far that is the index of the whole table.
            kind => {
                let path = format!("/v1/kv/{}", line_of(main));
                let query = match kind {
                    16 => "?keys",
                    _ => "?keys&index=1&wait=2ms",
                };
                self.push(Step::get(format!("{path}{query}")));
                return self.push(Step::get(format!(
                    "{path}?keys&index={{M:{path}}}&wait=2ms"
                )));
            }
        };
        let mut step = Step::of(&request);
        let index = format!("\"Index\":{INDEX_OF_MAIN}");
        step.body = step
            .body
            .replace(&index, &format!("\"Index\":{{M:{main}}}"));
        for ticket in &ahead {
            let name = ticket.slot.ticket_of(main);
            let (shown, rest) = (format!("\"Key\":\"{name}\",\"Index\":"), "0}");
            let index = self.pick(&["{M}", "{M}", "{M}", "1"]);
            let index = index.replace("{M}", &format!("{{M:{name}}}"));
            step.body =
                step.body
                    .replacen(&format!("{shown}{rest}"), &format!("{shown}{index}}}"), 1);
        }
        self.push(step);
    }

    /// A request of the library for a key that sessions share, or for that key and another one at once.
    fn sharing(&mut self, main: &Key) {
        let session = SessionId(self.session().into());
        let value = Value(b"v".to_vec().into());
        let limit = limits()[usize::from(self.random.chance(700))];
        let slot = Slot::new(SHARES[usize::from(self.random.chance(300))]);
        let other: Key = format!("{main}/x").into();
        let mut keys = vec![main.clone()];
        if self.random.chance(400) {
            keys.push(other);
        }
        let sharers = match self.random.below(3) {
            0 => Sharers::Limited,
            _ => Sharers::All,
        };
        let line = self.random.chance(500);
        let see = See { line, sharers };
        let target = |key: &Key| LockTarget {
            key: key.clone(),
            found: Found::Absent,
        };
        let mut targets: Vec<LockTarget> = keys.iter().map(target).collect();
        targets[0].found = match self.random.below(6) {
            0 => Found::Unlocked(INDEX_OF_MAIN),
            1 => Found::Ours,
            2 => Found::Unchecked,
            _ => Found::Absent,
        };
        let hold = match self.random.below(3) {
            0 => Hold::Exclusive { value },
            _ => Hold::Share {
                limit,
                slot,
                value,
                probe: self.random.chance(200),
            },
        };
        let row = limit.row_of(main, slot);
        let rows = match self.random.below(3) {
            0 => keys.clone(),
            _ => vec![row],
        };
        let slots = keys.iter().map(|_| self.slot()).collect();
        let value = Value(b"u".to_vec().into());
        let target = targets[0].clone();
        let request = match self.random.below(21) {
            0..=6 => Request::Lock {
                targets,
                hold,
                session,
                see,
            },
            7..=8 => Request::Join {
                keys: keys.into(),
                slots,
                want: Want::Share(limit),
                session,
                see,
            },
            9..=10 => Request::Take {
                targets,
                hold,
                slots,
                session,
                ahead: Vec::new(),
                see,
            },
            11..=12 => Request::Survey { targets, see },
            13..=14 => Request::Prove {
                rows,
                session,
                gates: keys,
            },
            15..=16 => Request::Downgrade {
                key: main.clone(),
                token: INDEX_OF_MAIN,
                session,
                limit,
                slot,
                value,
            },
            17..=18 => Request::Upgrade {
                target,
                token: INDEX_OF_MAIN,
                session,
                limit,
                slot,
                value,
            },
            19 => Request::Unlock {
                rows,
                session,
                lines: if line { keys } else { Vec::new() },
            },
            _ => {
                let path = format!("/v1/kv/{}", permits_of(main));
                self.push(Step::get(format!("{path}?keys&index=1&wait=2ms")));
                return self.push(Step::get(format!(
                    "{path}?keys&index={{M:{path}}}&wait=2ms"
                )));
            }
        };
        let mut step = Step::of(&request);
        let index = format!("\"Index\":{INDEX_OF_MAIN}");
        step.body = step
            .body
            .replace(&index, &format!("\"Index\":{{M:{main}}}"));
        self.push(step);
    }

    fn put(&mut self, key: &str, query: &str) -> Step {
        let body = self.pick(&["", "v", "v", "value"]);
        let flags = self.pick(&["", "", "flags=7"]);
        let mark = match (query, flags) {
            (_, "") => "",
            ("", _) => "?",
            _ => "&",
        };
        Step::put(format!("/v1/kv/{key}{query}{mark}{flags}"), body)
    }
}

/// Stands for the ModifyIndex of the key that has a line, which the sequence knows when it runs.
pub(super) const INDEX_OF_MAIN: u64 = 987_654_321;

/// Requests that random sequences do not have: Consul refuses them at once, with a text.
pub(super) fn oddities() -> Vec<(Option<Duration>, Step)> {
    let as_nobody = ",\"Session\":\"\"";
    let as_short = ",\"Session\":\"x\"";
    let register = Request::RegisterNode { node: NODE.into() };
    [
        Step::get("/v1/kv/o/missing"),
        Step::get("/v1/session/list"),
        Step::create(0, "10s", "delete", "0s"),
        Step::get("/v1/session/list"),
        Step {
            session: Some(1),
            ..Step::put("/v1/session/create", "")
        },
        Step::get("/v1/session/info/{S1}"),
        Step {
            session: Some(2),
            ..Step::put(
                "/v1/session/create",
                "{\"Name\":\"a<b> & \\\"c\\\" é\",\"LockDelay\":5,\"NodeChecks\":null}",
            )
        },
        Step::get("/v1/session/info/{S2}"),
        Step::create(3, "9s", "delete", "0s"),
        Step::create(3, "86401s", "delete", "0s"),
        Step::create(3, "1500ms", "delete", "0s"),
        Step::create(3, "0s", "delete", "0s"),
        Step::create(4, "10s", "bogus", "0s"),
        Step::put("/v1/session/destroy/x", ""),
        Step::put("/v1/session/renew/x", ""),
        Step::get("/v1/session/info/x"),
        Step::put("/v1/txn", "[]"),
        Step::txn(&[op("bogus", "o/k", "")]),
        Step::txn(&[op("lock", "", "")]),
        Step::txn(&[op("get", "", "")]),
        Step::txn(&[op("lock", "o/k", as_nobody), op("unlock", "o/k", as_nobody)]),
        Step::txn(&[
            op("lock", "o/k", as_short),
            op("unlock", "o/k", as_short),
            op("set", "o/k", ""),
        ]),
        Step::txn(&[
            op("set", "o/k", ""),
            op("check-session", "o/k", as_nobody),
            op("get", "o/k", ""),
        ]),
        Step::txn(&[op("check-session", "o/k", as_short)]),
        Step::put("/v1/kv/o/k?acquire=", "v"),
        Step::put("/v1/kv/o/k?acquire=x", "v"),
        Step::put("/v1/kv/o/k?release=", "v"),
        Step::put("/v1/kv/o/k?release=x", "v"),
        Step::put("/v1/kv/", "v"),
        Step::put("/v1/kv/o/a%20b%2Fc%C3%BC%22", "v"),
        Step::get("/v1/kv/o/a%20b%2Fc%C3%BC%22"),
        // Names that newer Consuls refuse: outer spaces, and dots or spaces that an encoding hides.
        Step::put("/v1/kv/%20o", "v"),
        Step::put("/v1/kv/o/a%20", "v"),
        Step::get("/v1/kv/o/a%20"),
        Step::put("/v1/kv/o/%252e%252E/b", "v"),
        Step::get("/v1/kv/o/a%2520b"),
        Step::get("/v1/kv/o/a..b%2541"),
        Step::delete("/v1/kv/o/a%2520b"),
        // Names that all Consuls accept.
        Step::put("/v1/kv/o/50%25", "v"),
        Step::get("/v1/kv/o/50%25"),
        Step::get("/v1/kv/o/50%25%20off"),
        Step::get("/v1/kv/o/a%2541b..."),
        Step::get("/v1/kv/o/..."),
        Step::get("/v1/kv/o/k?index=abc"),
        Step::get("/v1/kv/o/k?index=-1"),
        Step::get("/v1/kv/o/k?index=1&wait=1"),
        Step::put("/v1/session/destroy/{S0}", ""),
        Step::put("/v1/session/destroy/{S1}", ""),
        Step::put("/v1/session/destroy/{S2}", ""),
        Step::put("/v1/session/destroy/{S3}", ""),
        Step::get("/v1/session/list"),
        // A node that no agent owns: before it exists, while it exists, and when it is gone.
        Step::create_on_node(5),
        Step::of(&register),
        Step::of(&register),
        Step::create_on_node(5),
        Step::get("/v1/session/info/{S5}"),
        Step::put("/v1/kv/o/n?acquire={S5}", "v"),
        Step::put("/v1/catalog/deregister", format!("{{\"Node\":\"{NODE}\"}}")),
        Step::get("/v1/kv/o/n"),
        Step::put("/v1/session/renew/{S5}", ""),
        Step::get("/v1/session/list"),
        Step::create_on_node(5),
    ]
    .into_iter()
    .chain(of_other_clients())
    .map(|step| (None, step))
    .collect()
}
