//! A real Consul for one test program: an agent on free loopback ports, ended with the test.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::agent::{Agent, binary, common_args, log, stand_in, temporary_folder, version};
use super::http::exchange;
use super::ports;

/// How long a Consul may take for what it is expected to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one request may take. An agent without a leader takes 7 s to say so.
const REQUEST: Duration = Duration::from_secs(15);

/// The token of the tests' own requests: the management token, where a test has ACLs on.
const TOKEN: &str = "root";

/// What came back of a request of the test's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `X-Consul-Index`; 0 if there is none.
    pub(crate) index: u64,
    pub(crate) body: String,
}

/// A Consul process. It ends when this is dropped, and also when the test is killed.
pub(crate) struct Consul {
    agent: Agent,
    program: PathBuf,
    arguments: Vec<String>,
    address: String,
    folder: PathBuf,
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(comes_true(is_so), "never so: {what}");
}

/// Is it so, at the latest after a while?
pub(crate) fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

impl Consul {
    /// A dev agent that takes writes, or `consul-lock dev` where TEST_CONSUL_DEV names it.
    pub(crate) fn start() -> Consul {
        match stand_in() {
            Some(command) => Consul::stand_in(command),
            None => Consul::start_with(""),
        }
    }

    /// `consul-lock dev` on a free port, of the version that the tests have.
    fn stand_in(command: PathBuf) -> Consul {
        let [http] = ports::free();
        let (major, minor) = version();
        let arguments = [
            "dev".to_owned(),
            "--node=node".to_owned(),
            format!("--listen=127.0.0.1:{http}"),
            format!("--like={major}.{minor}"),
        ];
        let consul = Consul::launch(command, http, arguments.to_vec(), temporary_folder());
        consul.ready().expect("it is ready");
        consul
    }

    /// A real dev agent with settings of its own, in HCL.
    pub(crate) fn start_with(settings: &str) -> Consul {
        let mut said = String::new();
        // Another process may take a port between our look and the agent's start.
        for _ in 0..5 {
            let [http, server, lan] = ports::free();
            let arguments = [
                "-dev".to_owned(),
                "-bind=127.0.0.1".to_owned(),
                format!("-server-port={server}"),
                format!("-serf-lan-port={lan}"),
            ];
            let consul = Consul::run("node", http, &arguments, settings);
            match consul.ready() {
                Ok(()) => return consul,
                Err(text) => said = text,
            }
            if !said.contains("address already in use") {
                break;
            }
        }
        panic!("{said}");
    }

    /// Starts a process in a new folder.
    pub(crate) fn run(node: &str, http: u16, arguments: &[String], settings: &str) -> Consul {
        let folder = temporary_folder();
        std::fs::write(folder.join("settings.hcl"), settings).expect("the settings");
        let mut all = common_args(node);
        all.push(format!("-http-port={http}"));
        all.push("-config-file=settings.hcl".to_owned());
        all.extend_from_slice(arguments);
        Consul::launch(binary().clone(), http, all, folder)
    }

    fn launch(program: PathBuf, http: u16, arguments: Vec<String>, folder: PathBuf) -> Consul {
        Consul {
            agent: Agent::start(&program, &arguments, &folder),
            program,
            arguments,
            address: format!("127.0.0.1:{http}"),
            folder,
        }
    }

    /// Kills it if it lives, and starts it again: same address, same data (a dev agent has none).
    /// Does not wait until it is ready.
    pub(crate) fn restart(&mut self) {
        self.agent.kill_and_keep_folder();
        self.agent = Agent::start(&self.program, &self.arguments, &self.folder);
    }

    /// Waits until it takes writes and knows its own node, which sessions need; else says what is
    /// in its log.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let mut is_ready = false;
        comes_true(|| {
            is_ready = self.takes_sessions();
            is_ready || self.agent.has_ended()
        });
        if is_ready {
            return Ok(());
        }
        let (address, log) = (&self.address, self.log());
        Err(format!(
            "Consul at {address} never takes writes; its log ends:\n{log}"
        ))
    }

    /// The last lines of its log.
    pub(crate) fn log(&self) -> String {
        log(&self.folder)
    }

    fn takes_sessions(&self) -> bool {
        let body = r#"{"Name":"ready","TTL":"120s","Behavior":"delete"}"#;
        let Some(reply) = self.try_request("PUT", "/v1/session/create", body, REQUEST) else {
            return false;
        };
        let session: Json = serde_json::from_str(&reply.body).unwrap_or_default();
        session["ID"].as_str().is_some_and(|id| {
            let destroy = format!("/v1/session/destroy/{id}");
            self.try_request("PUT", &destroy, "", REQUEST)
                .is_some_and(|reply| reply.body.trim() == "true")
        })
    }

    /// What CONSUL_HTTP_ADDR is to be.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The agent's process.
    pub(crate) fn pid(&self) -> u32 {
        self.agent.pid()
    }

    /// One request past the library, with the token "root".
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Reply {
        self.try_request(method, path, body, REQUEST)
            .unwrap_or_else(|| panic!("{} does not answer {method} {path}", self.address))
    }

    fn try_request(&self, method: &str, path: &str, body: &str, limit: Duration) -> Option<Reply> {
        let token = [("X-Consul-Token", TOKEN)];
        let reply = exchange(&self.address, method, path, &token, body, limit).ok()?;
        let index = reply.header("X-Consul-Index");
        Some(Reply {
            status: reply.status(),
            index: index.and_then(|index| index.parse().ok()).unwrap_or(0),
            body: String::from_utf8_lossy(&reply.body).into_owned(),
        })
    }

    /// A GET of what every healthy agent answers at once.
    pub(crate) fn answer_within_a_second(&self, path: &str) -> Option<Reply> {
        self.try_request("GET", path, "", Duration::from_secs(1))
    }

    fn json(&self, path: &str) -> Json {
        let reply = self.request("GET", path, "");
        serde_json::from_str(&reply.body).unwrap_or(Json::Null)
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<Json> {
        self.json(&format!("/v1/kv/{key}")).get(0).cloned()
    }

    /// The session that holds a key.
    pub(crate) fn holder(&self, key: &str) -> Option<String> {
        self.row(key)?["Session"].as_str().map(str::to_owned)
    }

    pub(crate) fn sessions(&self) -> Vec<Json> {
        let sessions = self.json("/v1/session/list");
        let sessions = sessions.as_array().expect("a list of sessions");
        sessions.clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let reply = self.request("GET", "/v1/kv/?keys", "");
        match reply.status {
            200 => serde_json::from_str(&reply.body).expect("a list of keys"),
            404 => Vec::new(),
            _ => panic!("no list of keys: {reply:?}"),
        }
    }

    /// The Raft index of the last write, of whatever kind: the difference of two is the number of
    /// writes in between. (A leader adds one of its own each minute.)
    pub(crate) fn raft_index(&self) -> u64 {
        let agent = self.json("/v1/agent/self");
        let index = agent["Stats"]["raft"]["commit_index"]
            .as_str()
            .map(str::parse);
        index.expect("Stats.raft.commit_index").expect("a number")
    }

    /// The same once no write has come for 300 ms: a young agent still registers itself.
    pub(crate) fn quiet_raft_index(&self) -> u64 {
        let mut index = self.raft_index();
        until("no more writes", || {
            let before = index;
            std::thread::sleep(Duration::from_millis(300));
            index = self.raft_index();
            index == before
        });
        index
    }

    /// The id of another program's new session, which holds `key`.
    pub(crate) fn other_holds(&self, key: &str) -> String {
        let body = r#"{"Name":"somebody else","TTL":"60s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}"#;
        let reply = self.request("PUT", "/v1/session/create", body);
        let session: Json = serde_json::from_str(&reply.body).expect("a session");
        let session = session["ID"].as_str().expect("an id").to_owned();
        let acquire = format!("/v1/kv/{key}?acquire={session}");
        assert_eq!(self.request("PUT", &acquire, "theirs").body.trim(), "true");
        session
    }

    pub(crate) fn destroy(&self, session: &str) {
        let reply = self.request("PUT", &format!("/v1/session/destroy/{session}"), "");
        assert_eq!(reply.body.trim(), "true");
    }

    /// No key and no session is left, at the latest after a moment.
    #[track_caller]
    pub(crate) fn has_nothing_left(&self) {
        let mut left = String::new();
        // Consul may be without a leader for a moment.
        let is_empty = comes_true(|| {
            // Or count connections that are closed by now.
            let lists = ["/v1/session/list", "/v1/kv/?keys"].map(|path| {
                let reply = self.try_request("GET", path, "", REQUEST);
                reply.map_or("no answer".to_owned(), |reply| reply.body.trim().to_owned())
            });
            left = lists.join(", ");
            lists == ["[]", "[]"] || lists == ["[]", ""]
        });
        assert!(is_empty, "left in Consul at {}: {left}", self.address);
    }

    /// Stops Consul without ending it: no request gets an answer.
    pub(crate) fn pause(&self) {
        self.agent.pause();
    }

    pub(crate) fn resume(&self) {
        self.agent.resume();
    }

    /// Ends Consul at once, as a crash does. No server listens at its address afterwards.
    pub(crate) fn kill(&self) {
        self.agent.kill();
    }
}
