//! The model, its server and a real Consul, and the form in which their replies are compared.

use super::*;

/// A Consul that answers requests.
pub(super) trait Consul {
    fn ask(&mut self, request: &HttpRequest) -> HttpReply;
    /// Sends a request while a blocking query waits. The second reply is that of the query.
    fn ask_while(&mut self, waits: &HttpRequest, request: &HttpRequest) -> [HttpReply; 2];
    /// Waits until this time after the beginning.
    fn wait_until(&mut self, at: Duration);
}

/// The model, and the time in it: every request takes a millisecond.
pub(super) struct Modelled {
    pub(super) model: Model,
    begin: Time,
    now: Time,
}

impl Modelled {
    pub(super) fn new(seed: u64, edition: Edition) -> Modelled {
        let begin = Time(1_000_000_000);
        let mut model = Model::new(seed);
        model.set_edition(edition);
        let mut modelled = Modelled {
            model,
            begin,
            now: begin,
        };
        make_ready(&mut modelled);
        modelled
    }

    fn begin(&mut self, request: &HttpRequest) -> Served {
        self.now = self.now + Duration::from_millis(1);
        self.model.handle(self.now, request)
    }

    /// Waits until Consul answers the request.
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

/// A real Consul has had a session before it counts as ready.
fn make_ready(consul: &mut dyn Consul) {
    let steps = [
        Step::create(0, "10s", "", "0s"),
        Step::put("/v1/session/destroy/{S0}", ""),
    ];
    let mut party = Party::new(consul);
    for step in &steps {
        party.step(step);
    }
}

/// What listens at an address, in real time: a Consul, or the server of the model.
pub(super) struct Remote {
    connection: Connection,
    waiting: Connection,
    begin: Instant,
}

impl Remote {
    pub(super) fn real(agent: &Agent) -> Remote {
        Remote::at(|| agent.connect())
    }

    pub(super) fn served(server: &ModelServer) -> Remote {
        let mut remote = Remote::at(|| server.connect());
        make_ready(&mut remote);
        remote
    }

    fn at(connect: impl Fn() -> Connection) -> Remote {
        Remote {
            connection: connect(),
            waiting: connect(),
            begin: Instant::now(),
        }
    }
}

impl Consul for Remote {
    fn ask(&mut self, request: &HttpRequest) -> HttpReply {
        self.connection.ask(request)
    }

    // The answers do not depend on which request reaches Consul first: a change that came before the query is
    // after the query's index, too.
    fn ask_while(&mut self, waits: &HttpRequest, request: &HttpRequest) -> [HttpReply; 2] {
        self.waiting.send(waits);
        [self.connection.ask(request), self.waiting.receive()]
    }

    fn wait_until(&mut self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.begin.elapsed()));
    }
}

/// One of the two sides in a sequence, with what its replies have shown.
pub(super) struct Party<'a> {
    pub(super) consul: &'a mut dyn Consul,
    /// The places of the sessions by id, and the ids by place.
    names: HashMap<String, String>,
    ids: HashMap<usize, String>,
    modified: HashMap<String, String>,
    pub(super) indexes: Vec<u64>,
}

impl<'a> Party<'a> {
    pub(super) fn new(consul: &'a mut dyn Consul) -> Party<'a> {
        Party {
            consul,
            names: HashMap::new(),
            ids: HashMap::new(),
            modified: HashMap::new(),
            indexes: Vec::new(),
        }
    }

    /// Performs a step. Answers the reply in a form that must be the same on both sides.
    pub(super) fn step(&mut self, step: &Step) -> String {
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
            // The name of a session has its place, and how often that was filled.
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

    /// Appends the text with names instead of session ids, and keeps the indexes.
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
            // The index that the key has, and the index that the request named.
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

/// Removes the white space that an agent in development mode adds to its JSON.
pub(super) fn compact(text: &str) -> String {
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
