//! The model against a real Consul: the same random requests go to both, and both must say the
//! same. So what the simulation shows holds for Consul as far as its rules are asked for here.
//!
//! Compared are the status, the text, and the indexes: not their values, which differ from run to
//! run, but which are equal and which is greater, over a whole sequence. LockIndex counts exactly.
//!
//! Needs a Consul: CONSUL_BIN or PATH. `DIFFERENTIAL_SEED=N` replays one sequence in words.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::model::{Edition, Flaw, Model, Served};
use super::plan::Random;
use super::real::{Agent, Connection, start_agent};
use crate::clock::Time;
use crate::consul::encode::{Scope, encode};
use crate::consul::http::{HttpReply, HttpRequest, Method};
use crate::core::messages::{Found, Key, LineSlot, Request, SessionId, Ticket, Value, line_of};

const SEQUENCES: u64 = 2_000;

/// A node of the catalog that no agent owns.
const NODE: &str = "locks";

/// A session that never was.
const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";

/// `api.LockFlagValue` of Consul's Go client.
const LOCK_FLAGS: &str = "3304740253564472344";

/// A request with places to fill in, which differ from one Consul to the other: `{S1}` is the
/// second session's id, `{M:key}` the ModifyIndex that a reply last showed for a key, and
/// `{M:/v1/kv/key}` the index that came with the last reply for a path.
#[derive(Clone)]
struct Step {
    method: Method,
    target: String,
    body: String,
    /// The reply names a session, which gets this place.
    session: Option<usize>,
    /// What is asked while this one waits.
    meanwhile: Option<Box<Step>>,
}

impl Step {
    fn get(target: impl Into<String>) -> Step {
        Step {
            method: Method::Get,
            target: target.into(),
            body: String::new(),
            session: None,
            meanwhile: None,
        }
    }

    fn put(target: impl Into<String>, body: impl Into<String>) -> Step {
        Step {
            method: Method::Put,
            target: target.into(),
            body: body.into(),
            session: None,
            meanwhile: None,
        }
    }

    fn delete(target: impl Into<String>) -> Step {
        Step {
            method: Method::Delete,
            target: target.into(),
            body: String::new(),
            session: None,
            meanwhile: None,
        }
    }

    fn create(session: usize, ttl: &str, behavior: &str, lock_delay: &str) -> Step {
        let body = format!(
            "{{\"Name\":\"n{session}\",\"TTL\":\"{ttl}\",\"Behavior\":\"{behavior}\",\
             \"LockDelay\":\"{lock_delay}\",\"Checks\":[],\"NodeChecks\":[]}}"
        );
        Step {
            session: Some(session),
            ..Step::put("/v1/session/create", body)
        }
    }

    fn create_on_node(session: usize) -> Step {
        let body = format!(
            "{{\"Name\":\"n\",\"TTL\":\"10s\",\"Behavior\":\"delete\",\"LockDelay\":\"0s\",\
             \"NodeChecks\":[],\"Node\":\"{NODE}\"}}"
        );
        Step {
            session: Some(session),
            ..Step::put("/v1/session/create", body)
        }
    }

    fn txn(ops: &[String]) -> Step {
        Step::put("/v1/txn", format!("[{}]", ops.join(",")))
    }

    /// A request of the library's own.
    fn of(request: &Request) -> Step {
        let http = encode(request, &Scope::default()).expect("memory");
        let body = String::from_utf8(http.body.expect("a body")).expect("text");
        Step::put(http.target, body)
    }

    fn meanwhile(self, other: Step) -> Step {
        Step {
            meanwhile: Some(Box::new(other)),
            ..self
        }
    }

    fn words(&self) -> String {
        let own = format!("{:?} {} {}", self.method, self.target, self.body);
        match &self.meanwhile {
            None => own,
            Some(other) => format!("{own}\nwhile that waits: {}", other.words()),
        }
    }
}

/// A Consul of which one can ask things.
trait Consul {
    fn ask(&mut self, request: &HttpRequest) -> HttpReply;
    /// Asks something while a blocking query waits, whose answer is the second.
    fn ask_while(&mut self, waits: &HttpRequest, request: &HttpRequest) -> [HttpReply; 2];
    /// Waits until so long after the beginning.
    fn wait_until(&mut self, at: Duration);
}

/// The model, and the time in it: every request takes a millisecond.
struct Modelled {
    model: Model,
    begin: Time,
    now: Time,
}

impl Modelled {
    fn new(seed: u64, edition: Edition) -> Modelled {
        let begin = Time(1_000_000_000);
        let mut model = Model::new(seed);
        model.set_edition(edition);
        let mut modelled = Modelled {
            model,
            begin,
            now: begin,
        };
        // A real one has had a session before it counts as ready.
        let steps = [
            Step::create(0, "10s", "", "0s"),
            Step::put("/v1/session/destroy/{S0}", ""),
        ];
        let mut party = Party::new(&mut modelled);
        for step in &steps {
            party.step(step);
        }
        modelled
    }

    fn begin(&mut self, request: &HttpRequest) -> Served {
        self.now = self.now + Duration::from_millis(1);
        self.model.handle(self.now, request)
    }

    /// Waits until it is answered.
    fn end(&mut self, served: Served) -> HttpReply {
        let watch = match served {
            Served::Reply(reply) => return reply,
            Served::Parked(watch) => watch,
        };
        loop {
            if let Some((_, reply)) = self.model.woken().into_iter().find(|(id, _)| *id == watch) {
                return reply;
            }
            self.now = self.model.next_event_at().expect("a wait ends");
            self.model.advance(self.now);
        }
    }
}

impl Consul for Modelled {
    fn ask(&mut self, request: &HttpRequest) -> HttpReply {
        let served = self.begin(request);
        self.end(served)
    }

    fn ask_while(&mut self, waits: &HttpRequest, request: &HttpRequest) -> [HttpReply; 2] {
        let waits = self.begin(waits);
        let Served::Reply(reply) = self.begin(request) else {
            panic!("both wait: {request:?}");
        };
        [reply, self.end(waits)]
    }

    fn wait_until(&mut self, at: Duration) {
        self.now = self.now.max(self.begin + at);
    }
}

struct Real {
    connection: Connection,
    waiting: Connection,
    begin: Instant,
}

impl Real {
    fn new(agent: &Agent) -> Real {
        Real {
            connection: agent.connect(),
            waiting: agent.connect(),
            begin: Instant::now(),
        }
    }
}

impl Consul for Real {
    fn ask(&mut self, request: &HttpRequest) -> HttpReply {
        self.connection.ask(request)
    }

    // Whichever reaches Consul first, the answers are the same: a change that came before the query
    // is after the query's index, too.
    fn ask_while(&mut self, waits: &HttpRequest, request: &HttpRequest) -> [HttpReply; 2] {
        self.waiting.send(waits);
        [self.connection.ask(request), self.waiting.receive()]
    }

    fn wait_until(&mut self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.begin.elapsed()));
    }
}

/// What one of the two said in a sequence.
struct Party<'a> {
    consul: &'a mut dyn Consul,
    /// The sessions' places by id, and the ids by place.
    names: HashMap<String, String>,
    ids: HashMap<usize, String>,
    modified: HashMap<String, String>,
    indexes: Vec<u64>,
}

impl<'a> Party<'a> {
    fn new(consul: &'a mut dyn Consul) -> Party<'a> {
        Party {
            consul,
            names: HashMap::new(),
            ids: HashMap::new(),
            modified: HashMap::new(),
            indexes: Vec::new(),
        }
    }

    /// Does a step, and tells the reply in a form that must be the other's.
    fn step(&mut self, step: &Step) -> String {
        let request = self.request(step);
        let Some(other) = &step.meanwhile else {
            let reply = self.consul.ask(&request);
            return self.told(step, &reply);
        };
        let other_request = self.request(other);
        let replies = self.consul.ask_while(&request, &other_request);
        let [other, own] = [(other.as_ref(), &replies[0]), (step, &replies[1])]
            .map(|(step, reply)| self.told(step, reply));
        format!("{other}\n    {own}")
    }

    fn request(&self, step: &Step) -> HttpRequest {
        let body = self.fill(&step.body);
        HttpRequest {
            method: step.method,
            target: self.fill(&step.target),
            body: (!body.is_empty()).then(|| body.into_bytes()),
        }
    }

    fn told(&mut self, step: &Step, reply: &HttpReply) -> String {
        let body = compact(&String::from_utf8_lossy(&reply.body));
        if let Some(place) = step.session.filter(|_| reply.status == 200) {
            let id = body.split('"').nth(3).unwrap_or_default().to_owned();
            // A name tells the place and how often it was filled.
            let name = format!("<S{place}.{}>", self.names.len());
            self.names.insert(id.clone(), name);
            self.ids.insert(place, id);
        }
        let mut told = format!("{} ", reply.status);
        if let Some(index) = reply.index {
            self.indexes.push(index);
            let path = step.target.split('?').next().unwrap_or_default();
            self.modified.insert(path.to_owned(), index.to_string());
            told.push_str("[index #] ");
        }
        self.tell(&body, &mut told);
        told
    }

    fn fill(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{S") {
            let (place, after) = after.split_once('}').expect("a place ends");
            out.push_str(before);
            let place: usize = place.parse().expect("the number of a session");
            out.push_str(self.ids.get(&place).map_or(UNKNOWN, String::as_str));
            rest = after;
        }
        out.push_str(rest);
        while let Some(from) = out.find("{M:") {
            let to = from + out[from..].find('}').expect("a place ends");
            let index = self
                .modified
                .get(&out[from + 3..to])
                .map_or("1", String::as_str);
            out = format!("{}{index}{}", &out[..from], &out[to + 1..]);
        }
        out
    }

    /// The text with names for the sessions, and the indexes set aside.
    fn tell(&mut self, body: &str, out: &mut String) {
        let mut key = "";
        for (i, word) in body.split('"').enumerate() {
            if i > 0 {
                out.push('"');
            }
            let digits = word
                .trim_start_matches(':')
                .trim_end_matches(|c: char| !c.is_ascii_digit());
            let label = out.rsplit('"').nth(1).unwrap_or_default().to_owned();
            if (label == "CreateIndex" || label == "ModifyIndex") && word.starts_with(':') {
                self.indexes.push(digits.parse().expect("an index"));
                if label == "ModifyIndex" {
                    self.modified.insert(key.to_owned(), digits.to_owned());
                }
                out.push_str(":#");
                out.push_str(&word[1 + digits.len()..]);
                continue;
            }
            // The index that the key has, and the one that it was asked for.
            if let Some(indexes) = word.strip_prefix(", current modify index ") {
                let (has, _) = indexes.split_once(" != ").expect("two indexes");
                self.indexes.push(has.parse().expect("an index"));
                out.push_str(", current modify index # != #");
                continue;
            }
            if out.ends_with("\"Key\":\"") {
                key = word;
            }
            // Consul's texts quote an id with a backslash before the quote, or with an apostrophe.
            match self.names.iter().find(|(id, _)| word.contains(id.as_str())) {
                Some((id, name)) => out.push_str(&word.replace(id.as_str(), name)),
                None => out.push_str(word),
            }
        }
    }
}

/// Without the white space that an agent in development mode adds to its JSON.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    let json = text.starts_with(['{', '[', '"']);
    for c in text.trim_end().chars() {
        if quoted || !json || !c.is_ascii_whitespace() {
            out.push(c);
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    out
}

/// Runs a sequence on both. The error tells it in words up to where they differ.
fn compare(
    steps: &[(Option<Duration>, Step)],
    model: &mut dyn Consul,
    real: &mut dyn Consul,
) -> Result<String, String> {
    let (mut model, mut real) = (Party::new(model), Party::new(real));
    let mut told = String::new();
    for (at, step) in steps {
        if let Some(at) = at {
            model.consul.wait_until(*at);
            real.consul.wait_until(*at);
            let _ = write!(told, "at {at:?}: ");
        }
        let (expected, said) = (real.step(step), model.step(step));
        let _ = writeln!(told, "{}\n    {expected}", step.words());
        if said != expected {
            return Err(format!("{told}The model says:\n    {said}\n"));
        }
        if let Some(why) = order_differs(&model.indexes, &real.indexes) {
            return Err(format!("{told}{why}\n"));
        }
    }
    Ok(told)
}

/// The indexes of both, in the order in which they were shown, must be ordered alike.
fn order_differs(model: &[u64], real: &[u64]) -> Option<String> {
    let mut pairs: Vec<(u64, u64)> = real.iter().copied().zip(model.iter().copied()).collect();
    pairs.sort_unstable();
    let differs = |pair: &&[(u64, u64)]| pair[0].0.cmp(&pair[1].0) != pair[0].1.cmp(&pair[1].1);
    let pair = pairs.windows(2).find(differs)?;
    Some(format!(
        "Indexes: {} and {} are {} and {} in the model; all: {real:?}, model: {model:?}",
        pair[0].0, pair[1].0, pair[0].1, pair[1].1
    ))
}

// Random sequences.

struct Writer {
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
fn sequence(seed: u64) -> Vec<(Option<Duration>, Step)> {
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
            .extend(SLOTS.map(|slot| LineSlot::new(slot).ticket_of(main)));
    }
    for _ in 0..6 + writer.random.below(19) {
        match writer.main.clone() {
            Some(main) if writer.random.chance(600) => writer.in_line(&main),
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

/// Few, so that they meet.
const SLOTS: [u64; 3] = [0x000, 0x00a, 0x3ff];

fn op(verb: &str, key: &str, rest: &str) -> String {
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

    /// A session that may be dead by now, or one that never was.
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

    /// A few, so that an identical write is frequent.
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
            // An index of the past answers at once, the present one after its wait.
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
                // What was there lives on, and is still to be ended.
                self.push(Step::put(format!("/v1/session/destroy/{{S{place}}}"), ""));
                return self.create(place);
            }
        };
        self.push(step);
    }

    fn slot(&mut self) -> LineSlot {
        LineSlot::new(SLOTS[self.random.below(SLOTS.len() as u64) as usize])
    }

    /// What the library asks of a key that has a line.
    fn in_line(&mut self, main: &Key) {
        let key = main.clone();
        let session = SessionId(self.session().into());
        let slot = self.slot();
        let ahead: Vec<Ticket> = (0..self.random.below(3))
            .map(|_| Ticket {
                slot: self.slot(),
                session: session.clone(),
                create_index: 0,
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
        let request = match self.random.below(18) {
            0..=1 => Request::Lock {
                key,
                found,
                value,
                session,
                line: true,
            },
            2..=3 => Request::Unlock {
                key,
                session,
                line: true,
            },
            4..=5 => Request::Survey { key },
            6 => Request::ReadLine { key },
            7..=10 => Request::Join { key, slot, session },
            11..=14 => Request::Take {
                key,
                found,
                slot,
                value,
                session,
                ahead: ahead.clone(),
            },
            15 if !ahead.is_empty() => Request::Clear {
                key,
                ahead: ahead.clone(),
            },
            // An index of the past answers at once, the present one after its wait; with no ticket
            // so far it is the whole table's.
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
const INDEX_OF_MAIN: u64 = 987_654_321;

/// What random sequences don't ask: the texts of what is refused at once.
fn oddities() -> Vec<(Option<Duration>, Step)> {
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
        // Names that newer ones refuse: outer spaces, and dots or spaces that are hidden by an encoding.
        Step::put("/v1/kv/%20o", "v"),
        Step::put("/v1/kv/o/a%20", "v"),
        Step::get("/v1/kv/o/a%20"),
        Step::put("/v1/kv/o/%252e%252E/b", "v"),
        Step::get("/v1/kv/o/a%2520b"),
        Step::get("/v1/kv/o/a..b%2541"),
        Step::delete("/v1/kv/o/a%2520b"),
        // Names that all take.
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
        // On a node that no agent owns: before it is there, while it is, and when it is gone.
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
    .map(|step| (None, step))
    .to_vec()
}

/// The sequences of many seeds, one after another.
fn compare_all(
    seeds: std::ops::Range<u64>,
    model: &mut dyn Consul,
    real: &mut dyn Consul,
) -> Result<usize, String> {
    let mut requests = 0;
    for seed in seeds {
        let steps = sequence(seed);
        requests += steps.len();
        if let Err(told) = compare(&steps, model, real) {
            return Err(format!(
                "sequence {seed}:\n{told}DIFFERENTIAL_SEED={seed} replays it"
            ));
        }
    }
    Ok(requests)
}

#[test]
fn the_model_says_what_consul_says() {
    let agent = start_agent();
    let mut model = Modelled::new(1, agent.edition());
    let mut real = Real::new(&agent);
    if let Ok(seed) = std::env::var("DIFFERENTIAL_SEED") {
        let seed: u64 = seed.parse().expect("a number");
        let told = compare(&sequence(seed), &mut model, &mut real);
        println!("{}", told.as_ref().unwrap_or_else(|error| error));
        assert!(told.is_ok());
        return;
    }
    let begun = Instant::now();
    if let Err(told) = compare(&oddities(), &mut model, &mut real) {
        panic!("{told}");
    }
    let requests =
        compare_all(0..SEQUENCES, &mut model, &mut real).unwrap_or_else(|told| panic!("{told}"));
    println!(
        "{SEQUENCES} sequences, {requests} requests, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn a_wrong_rule_is_noticed() {
    let modelled = |seed| Modelled::new(seed, Edition::V1_22);
    let right = compare_all(0..300, &mut modelled(1), &mut modelled(2));
    assert!(right.is_ok(), "two right models differ: {right:?}");
    for flaw in [
        Flaw::PutKeepsLockIndex,
        Flaw::RelockIsAChange,
        Flaw::ReleaseDeletes,
        Flaw::NoRollback,
    ] {
        let mut wrong = modelled(1);
        wrong.model.break_rule(flaw);
        let found = compare_all(0..300, &mut wrong, &mut modelled(2));
        assert!(found.is_err(), "{flaw:?} is not noticed");
    }
}

/// What wakes a blocking query, and what does not: a change of the key for a key that is there, any
/// change below for one that is not, and for a listing any change below its prefix.
#[test]
fn the_model_wakes_whom_consul_wakes() {
    let session = |place: usize| format!(",\"Session\":\"{{S{place}}}\"");
    let lock = |key: &str, place| Step::txn(&[op("lock", key, &session(place))]);
    let set = |key: &str| Step::put(format!("/v1/kv/{key}"), "v");
    let (key, line) = ("w/k", "/v1/kv/w/k/.fifo/");
    let [first, second] = ["w/k/.fifo/000", "w/k/.fifo/00a"];
    let read = |key: &str| Step::get(format!("/v1/kv/{key}"));
    let watch = |key: &str, other: Step| {
        let query = format!("?index={{M:/v1/kv/{key}}}&wait=200ms");
        Step::get(format!("/v1/kv/{key}{query}")).meanwhile(other)
    };
    let names = |other: Step| {
        let target = format!("{line}?keys&index={{M:{line}}}&wait=200ms");
        Step::get(target).meanwhile(other)
    };
    let destroy = |place: usize| Step::put(format!("/v1/session/destroy/{{S{place}}}"), "");
    let steps = [
        Step::create(0, "3600s", "delete", "0s"),
        Step::create(1, "3600s", "delete", "0s"),
        lock(key, 0),
        read(key),
        watch(key, lock(first, 0)),
        watch(key, lock(first, 1)),
        watch(key, lock(key, 1)),
        watch(key, lock(key, 0)),
        watch(key, set("w/kx")),
        watch(key, set("w/k/x")),
        watch(key, set(key)),
        watch(key, Step::delete(format!("/v1/kv/{key}"))),
        // Nobody has it now: whatever comes and goes below it wakes.
        watch(key, lock(second, 1)),
        watch(key, lock(second, 0)),
        watch(key, Step::txn(&[op("delete", second, "")])),
        watch(key, set("w/k/x/y")),
        watch(key, lock(key, 1)),
        // A ticket, as the next in line watches it.
        lock(second, 1),
        read(first),
        watch(first, Step::txn(&[op("delete", second, "")])),
        watch(first, lock(second, 1)),
        watch(first, Step::txn(&[op("lock", first, &session(0))])),
        watch(first, destroy(0)),
        // The whole line.
        Step::get(format!("{line}?keys")),
        names(set(key)),
        names(set("w/kx")),
        names(set("w/k/x")),
        names(set("w/k/.fifoo")),
        names(lock(first, 1)),
        names(lock(second, 1)),
        names(lock(first, 0)),
        names(Step::txn(&[
            op("delete", first, ""),
            op("delete", second, ""),
        ])),
        names(set("w/k/.fifoo")),
        names(set("w/k/.fif")),
        names(lock(second, 1)),
        names(destroy(1)),
    ]
    .map(|step| (None, step));
    let agent = start_agent();
    let told = compare(
        &steps,
        &mut Modelled::new(1, agent.edition()),
        &mut Real::new(&agent),
    );
    println!("{}", told.as_ref().unwrap_or_else(|error| error));
    assert!(told.is_ok(), "{}", told.unwrap_err());
}

/// Sessions end at twice their TTL, a renewed one later; a lock-delay begins then. The probes keep
/// a second's distance from what they look for.
#[test]
fn the_model_ends_sessions_when_consul_does() {
    let lock = |key: &str, session: usize| {
        Step::txn(&[op(
            "lock",
            &format!("t/{key}"),
            &format!(",\"Session\":\"{{S{session}}}\""),
        )])
    };
    let read = |key: &str| Step::get(format!("/v1/kv/t/{key}"));
    let renew = |session: usize| Step::put(format!("/v1/session/renew/{{S{session}}}"), "");
    let destroy = |session: usize| Step::put(format!("/v1/session/destroy/{{S{session}}}"), "");
    let at = |ms: u64, step: Step| (Some(Duration::from_millis(ms)), step);
    let steps = [
        at(0, Step::create(0, "10s", "delete", "0s")),
        at(0, Step::create(1, "10s", "delete", "0s")),
        at(0, Step::create(4, "10s", "delete", "3s")),
        at(0, Step::create(5, "3600s", "delete", "0s")),
        at(0, lock("plain", 0)),
        at(0, lock("renewed", 1)),
        at(0, lock("destroyed", 4)),
        at(0, destroy(4)),
        // Sessions that end at the same instant end in any order: these end one after the other.
        at(300, Step::create(2, "10s", "release", "4s")),
        at(300, lock("released", 2)),
        at(600, Step::create(3, "10s", "delete", "4s")),
        at(600, lock("delayed", 3)),
        at(1_500, lock("destroyed", 5)),
        at(1_500, Step::put("/v1/kv/t/destroyed?acquire={S5}", "v")),
        at(1_500, Step::put("/v1/kv/t/destroyed", "v")),
        at(4_500, lock("destroyed", 5)),
        at(7_000, renew(1)),
        at(18_500, read("plain")),
        at(18_500, read("released")),
        at(18_500, read("delayed")),
        at(21_000, read("plain")),
        at(21_000, read("released")),
        at(21_000, read("delayed")),
        at(21_000, read("renewed")),
        at(21_000, lock("plain", 5)),
        at(21_000, lock("released", 5)),
        at(21_000, lock("delayed", 5)),
        at(21_000, renew(0)),
        at(25_500, lock("released", 5)),
        at(25_500, lock("delayed", 5)),
        at(25_500, read("renewed")),
        at(28_500, read("renewed")),
        at(28_500, renew(1)),
    ];
    let agent = start_agent();
    let told = compare(
        &steps,
        &mut Modelled::new(1, agent.edition()),
        &mut Real::new(&agent),
    );
    println!("{}", told.as_ref().unwrap_or_else(|error| error));
    assert!(told.is_ok(), "{}", told.unwrap_err());
}
