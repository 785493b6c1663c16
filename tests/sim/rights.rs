//! What a real Consul's ACLs let the requests of a waiting line do: the facts of `docs/protocol.md`
//! on rights, by the library's own requests and its judgement of the answers.

use std::fmt::Write as _;

use super::real::{Agent, Connection, ROOT, start_agent_with};
use crate::consul::encode::{Scope, encode};
use crate::consul::http::{HttpReply, HttpRequest, Method};
use crate::consul::verdict::verdict;
use crate::core::messages::{
    Answer, Below, Fault, Found, Hold, Key, Limit, LockTarget, Request, See, SessionId, Sharers,
    Slot, Stalled, Value, Want, permits_of,
};
use crate::error::Status;

const FIRST: u64 = 0x00a;
const OURS: u64 = 0x3ff;

struct Asker {
    connection: Connection,
    made: usize,
}

impl Asker {
    fn new(agent: &Agent) -> Asker {
        Asker {
            connection: agent.connect(),
            made: 0,
        }
    }

    fn http(&mut self, mut request: HttpRequest, token: &str) -> HttpReply {
        let mark = if request.target.contains('?') {
            '&'
        } else {
            '?'
        };
        let _ = write!(request.target, "{mark}token={token}");
        self.connection.ask(&request)
    }

    fn put(&mut self, target: &str, body: &serde_json::Value) -> serde_json::Value {
        let request = HttpRequest {
            method: Method::Put,
            target: target.to_owned(),
            body: Some(body.to_string().into_bytes()),
        };
        let reply = self.http(request, ROOT);
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    fn token(&mut self, rules: &str) -> String {
        self.made += 1;
        let name = format!("p{}", self.made);
        let policy = serde_json::json!({"Name": name, "Rules": rules});
        self.put("/v1/acl/policy", &policy);
        let token = serde_json::json!({"Policies": [{"Name": name}]});
        let made = self.put("/v1/acl/token", &token);
        made["SecretID"].as_str().expect("a token").to_owned()
    }

    fn session(&mut self) -> SessionId {
        let body = serde_json::json!({"TTL": "3600s", "Behavior": "delete", "LockDelay": "0s"});
        let made = self.put("/v1/session/create", &body);
        SessionId(made["ID"].as_str().expect("a session").into())
    }

    fn ask(&mut self, request: &Request, token: &str) -> Result<Answer, Fault> {
        let http = encode(request, &Scope::default()).expect("memory");
        let reply = self.http(http, token);
        verdict(request, Ok(reply))
    }

    /// The answer in a word, with the numbers of tickets and of shares, or the denial.
    fn word_of_share(&mut self, request: &Request, token: &str) -> String {
        match self.ask(request, token) {
            Ok(Answer::Locked { below, .. }) => format!("locked {}", shown(&below)),
            Ok(Answer::Proved { below, .. }) => format!("proved {}", shown(&below)),
            Ok(Answer::Line(below)) => format!("line {}", shown(&below)),
            Ok(Answer::Names { names, .. }) if names.is_empty() => "no names".to_owned(),
            Ok(Answer::Names { names, .. }) => format!("names {}", names.len()),
            Err(Fault::Final(error)) if error.status == Status::Denied => "denied".to_owned(),
            said => panic!("{request:?}: {said:?}"),
        }
    }

    /// What a token may do with a key that one session shares and for which another one waits, in this order: survey,
    /// share with a limit, lock the key, join to share, prove the key, downgrade, upgrade, prove the row, list the slots.
    fn rights_of_shares(&mut self, key: &str, rules: &str) -> String {
        let token = self.token(rules);
        let key: Key = key.into();
        let value = || Value(b"v".to_vec().into());
        let [other, waiter, ours] = [self.session(), self.session(), self.session()];
        let limit = Limit::new(3).expect("a limit");
        let (own, all) = (Slot::new(1), Sharers::All);
        let see = |line: bool| See { line, sharers: all };
        let targets = || {
            vec![LockTarget {
                key: key.clone(),
                found: Found::Absent,
            }]
        };
        let enter = |slot: Slot, session: &SessionId| Request::Lock {
            targets: targets(),
            hold: Hold::Share {
                limit,
                slot,
                value: value(),
                probe: false,
            },
            session: session.clone(),
            see: see(true),
        };
        let join = |slot: u64, session: &SessionId| Request::Join {
            keys: [key.clone()].into(),
            slots: vec![Slot::new(slot)],
            want: Want::Share(limit),
            session: session.clone(),
            see: see(true),
        };
        let gate = Request::Lock {
            targets: targets(),
            hold: Hold::Exclusive { value: value() },
            session: ours.clone(),
            see: see(false),
        };
        let survey = Request::Survey {
            targets: targets(),
            see: see(true),
        };
        let unlock = |row: Key| Request::Unlock {
            rows: vec![row],
            session: ours.clone(),
            lines: vec![],
        };
        let prove = |row: Key, gates: Vec<Key>| Request::Prove {
            rows: vec![row],
            session: ours.clone(),
            gates,
        };
        let row = limit.row_of(&key, own);
        let downgrade = |token| Request::Downgrade {
            key: key.clone(),
            token,
            session: ours.clone(),
            limit,
            slot: own,
            value: value(),
        };
        let upgrade = |token| Request::Upgrade {
            target: targets().remove(0),
            token,
            session: ours.clone(),
            limit,
            slot: own,
            value: value(),
        };
        let names = Request::WatchNames {
            folder: permits_of(&key).into(),
            index: 0,
            wait: std::time::Duration::from_millis(1),
        };
        self.ask(&enter(Slot::new(0), &other), ROOT)
            .expect("a share");
        self.ask(&join(FIRST, &waiter), ROOT).expect("a ticket");
        let mut words = vec![self.word_of_share(&survey, &token)];
        words.push(self.word_of_share(&enter(own, &ours), &token));
        let _ = self.ask(&unlock(row.clone()), ROOT);
        words.push(self.word_of_share(&gate, &token));
        let _ = self.ask(&unlock(key.clone()), ROOT);
        words.push(self.word_of_share(&join(OURS, &ours), &token));
        self.ask(&gate, ROOT).expect("the key");
        words.push(self.word_of_share(&prove(key.clone(), vec![key.clone()]), &token));
        let index = self.index_of(&key);
        words.push(self.word_of_share(&downgrade(index), &token));
        if words.last().is_some_and(|word| word == "denied") {
            self.ask(&downgrade(index), ROOT).expect("a share");
        }
        let index = self.index_of(&row);
        words.push(self.word_of_share(&upgrade(index), &token));
        if words.last().is_some_and(|word| word != "denied") {
            let index = self.index_of(&key);
            self.ask(&downgrade(index), ROOT).expect("a share");
        }
        words.push(self.word_of_share(&prove(row.clone(), vec![]), &token));
        self.ask(&unlock(row), ROOT).expect("free");
        words.push(self.word_of_share(&names, &token));
        for session in [other, waiter, ours] {
            self.ask(&Request::DestroySession { session }, ROOT)
                .expect("destroyed");
        }
        words.join(", ")
    }

    /// The answer in a word, with the number of tickets, or the denial.
    fn word(&mut self, request: &Request, token: &str) -> String {
        match self.ask(request, token) {
            Ok(Answer::Locked { below, .. }) => format!("locked {}", tickets(&below)),
            Ok(Answer::Unlocked { below }) => format!("unlocked {}", tickets(&below)),
            Ok(Answer::Line(below)) => format!("line {}", tickets(&below)),
            Ok(answer) => format!("{answer:?}").to_lowercase(),
            Err(Fault::Final(error)) if error.status == Status::Denied => "denied".to_owned(),
            Err(fault) => panic!("{request:?}: {fault:?}"),
        }
    }

    /// The ModifyIndex of a row.
    fn index_of(&mut self, row: &Key) -> u64 {
        let read = Request::Read {
            key: row.clone(),
            consistent: true,
        };
        match self.ask(&read, ROOT) {
            Ok(Answer::Row { row: Some(row), .. }) => row.modify_index,
            answer => panic!("{answer:?}"),
        }
    }

    /// The first ticket in line, if there is one.
    fn first(&mut self, read_line: &Request) -> Vec<Stalled> {
        let Request::ReadLine { keys, .. } = read_line else {
            panic!("{read_line:?}")
        };
        let Ok(Answer::Line(below)) = self.ask(read_line, ROOT) else {
            panic!("no line")
        };
        let line = below.into_iter().flat_map(|below| below.line);
        line.filter(|ticket| ticket.slot == Slot::new(FIRST))
            .map(|ticket| Stalled {
                key: keys[0].clone(),
                slot: ticket.slot,
                modify_index: ticket.modify_index,
            })
            .collect()
    }

    /// What a token may do with a key that has one ticket in line, in this order: survey a free key and a held one,
    /// read the line, lock and unlock with the line, join, clear, take.
    fn rights(&mut self, key: &str, rules: &str) -> String {
        let token = self.token(rules);
        let key: Key = key.into();
        let value = Value(b"v".to_vec().into());
        let [first, ours] = [self.session(), self.session()];
        let see = See {
            line: true,
            sharers: Sharers::None,
        };
        let targets = vec![LockTarget {
            key: key.clone(),
            found: Found::Absent,
        }];
        let hold = Hold::Exclusive { value };
        let join = |slot: u64, session: &SessionId| Request::Join {
            keys: [key.clone()].into(),
            slots: vec![Slot::new(slot)],
            want: Want::Exclusive,
            session: session.clone(),
            see,
        };
        let lock = Request::Lock {
            targets: targets.clone(),
            hold: hold.clone(),
            session: ours.clone(),
            see,
        };
        let unlock = Request::Unlock {
            rows: vec![key.clone()],
            session: ours.clone(),
            lines: vec![key.clone()],
        };
        let survey = Request::Survey {
            targets: targets.clone(),
            see,
        };
        let read_line = Request::ReadLine {
            keys: vec![key.clone()],
            see,
        };
        self.ask(&join(FIRST, &first), ROOT).expect("a ticket");
        let mut words = vec![self.word(&survey, &token)];
        self.ask(&lock, ROOT).expect("the lock");
        words.push(self.word(&survey, &token));
        self.ask(&unlock, ROOT).expect("free");
        words.push(self.word(&read_line, &token));
        words.push(self.word(&lock, &token));
        self.ask(&lock, ROOT).expect("the lock");
        words.push(self.word(&unlock, &token));
        let _ = self.ask(&unlock, ROOT);
        words.push(self.word(&join(OURS, &ours), &token));
        self.ask(&join(OURS, &ours), ROOT).expect("a ticket");
        let clear = Request::Clear {
            ahead: self.first(&read_line),
        };
        words.push(self.word(&clear, &token));
        let take = Request::Take {
            targets,
            hold,
            slots: vec![Slot::new(OURS)],
            session: ours.clone(),
            ahead: self.first(&read_line),
            see: See::NOTHING,
        };
        words.push(self.word(&take, &token));
        for session in [first, ours] {
            self.ask(&Request::DestroySession { session }, ROOT)
                .expect("destroyed");
        }
        words.join(", ")
    }
}

/// An agent that denies what no policy allows.
fn agent_with(list_policy: bool) -> Agent {
    start_agent_with(&format!(
        "acl {{ enabled = true default_policy = \"deny\" \
         enable_key_list_policy = {list_policy} tokens {{ master = \"{ROOT}\" }} }}"
    ))
}

#[test]
fn rights_in_a_line() {
    for list_policy in [false, true] {
        let agent = agent_with(list_policy);
        let mut asker = Asker::new(&agent);
        for (rules, expected) in [
            (
                "key_prefix \"KEY\" { policy = \"write\" }",
                "line 1, exists(0), line 1, locked 1, unlocked 1, line 2, cleared, locked 0",
            ),
            // The line looks empty, and the token may not join it; nothing else is in the way.
            (
                "key \"KEY\" { policy = \"write\" }",
                "line 0, exists(0), line 0, locked 0, unlocked 0, denied, denied, denied",
            ),
            (
                "key \"KEY\" { policy = \"write\" } key_prefix \"KEY/\" { policy = \"read\" }",
                "line 1, exists(0), line 1, locked 1, unlocked 1, denied, denied, denied",
            ),
            (
                "key_prefix \"KEY\" { policy = \"read\" }",
                "denied, denied, line 1, denied, denied, denied, denied, denied",
            ),
            (
                "key \"KEY\" { policy = \"read\" }",
                "denied, denied, line 0, denied, denied, denied, denied, denied",
            ),
            (
                "",
                "denied, denied, line 0, denied, denied, denied, denied, denied",
            ),
        ] {
            let said = asker.rights("KEY", rules);
            assert_eq!(said, expected, "{rules}, list policy {list_policy}");
        }
    }
}

/// What a lock that shares its key, or meets others that do, may do.
#[test]
fn rights_of_shares() {
    for list_policy in [false, true] {
        let agent = agent_with(list_policy);
        let mut asker = Asker::new(&agent);
        for (rules, expected, names) in [
            (
                "key_prefix \"KEY\" { policy = \"write\" }",
                "line 1+1, locked 1+2, locked 0+1, line 2+1, proved 0+1, locked 0+0, locked 0+1, proved 0+0",
                ["names 1", "names 1"],
            ),
            // One that shares needs its row and its ticket. An exclusive lock works, and sees no share.
            (
                "key \"KEY\" { policy = \"write\" }",
                "line 0+0, denied, locked 0+0, denied, proved 0+0, denied, denied, denied",
                ["no names", "denied"],
            ),
            (
                "key \"KEY\" { policy = \"write\" } key_prefix \"KEY/\" { policy = \"read\" }",
                "line 1+1, denied, locked 0+1, denied, proved 0+1, denied, denied, proved 0+0",
                ["names 1", "denied"],
            ),
            (
                "key_prefix \"KEY\" { policy = \"read\" }",
                "denied, denied, denied, denied, proved 0+1, denied, denied, proved 0+0",
                ["names 1", "denied"],
            ),
            (
                "key \"KEY\" { policy = \"read\" }",
                "denied, denied, denied, denied, proved 0+0, denied, denied, denied",
                ["no names", "denied"],
            ),
            (
                "",
                "denied, denied, denied, denied, denied, denied, denied, denied",
                ["no names", "denied"],
            ),
        ] {
            let names = names[usize::from(list_policy)];
            let said = asker.rights_of_shares("KEY", rules);
            let expected = format!("{expected}, {names}");
            assert_eq!(said, expected, "{rules}, list policy {list_policy}");
        }
    }
}

/// How many tickets and shares the answer shows.
fn shown(below: &[Below]) -> String {
    let sharers: usize = below.iter().map(|below| below.sharers.len()).sum();
    format!("{}+{sharers}", tickets(below))
}

/// How many tickets the answer shows.
fn tickets(below: &[Below]) -> usize {
    below.iter().map(|below| below.line.len()).sum()
}
