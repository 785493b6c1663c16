//! Three servers on three loopback addresses, with their data on disk.

use super::consul::{Consul, comes_true};
use super::ports;

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Consul>,
    /// The arguments with which an agent joins, and the ports of the servers and of the gossip.
    join: Vec<String>,
    rpc: u16,
    serf: u16,
}

impl Cluster {
    /// Starts them and waits until each takes writes.
    pub(crate) fn start() -> Cluster {
        Cluster::start_with("")
    }

    /// The same with settings of their own, in HCL.
    pub(crate) fn start_with(settings: &str) -> Cluster {
        Cluster::start_as([1; 3], settings)
    }

    /// The same, and the first of them wins elections: the others wait longer before they stand for one, 5 to 10 s.
    pub(crate) fn led_by_the_first(settings: &str) -> Cluster {
        Cluster::start_as([2, 5, 5], settings)
    }

    fn start_as(multipliers: [u32; 3], settings: &str) -> Cluster {
        let mut said = String::new();
        // Another process may take a port between our look and a server's start.
        for _ in 0..5 {
            let cluster = Cluster::run(multipliers, settings);
            let ready: Result<(), String> = cluster.servers.iter().try_for_each(Consul::ready);
            match ready {
                Ok(()) => return cluster,
                Err(text) => said = text,
            }
            if !said.contains("address already in use") {
                break;
            }
        }
        panic!("{said}");
    }

    fn run(multipliers: [u32; 3], settings: &str) -> Cluster {
        let [rpc, serf] = ports::free();
        let join = (1..=3).map(|i| format!("-retry-join=127.0.0.{i}:{serf}"));
        let join: Vec<String> = join.collect();
        let server = |(multiplier, i): (u32, usize)| {
            let [http] = ports::free();
            let mut arguments = vec![
                "-server".to_owned(),
                "-bootstrap-expect=3".to_owned(),
                "-data-dir=data".to_owned(),
                format!("-bind=127.0.0.{i}"),
                format!("-server-port={rpc}"),
                format!("-serf-lan-port={serf}"),
                "-retry-interval=1s".to_owned(),
            ];
            arguments.extend(join.clone());
            let settings = format!("performance {{ raft_multiplier = {multiplier} }}\n{settings}");
            Consul::run(&format!("server-{i}"), http, &arguments, &settings)
        };
        Cluster {
            servers: multipliers.into_iter().zip(1..).map(server).collect(),
            join,
            rpc,
            serf,
        }
    }

    /// An agent that is no server, as it stands on the machines of users.
    pub(crate) fn client_agent(&self) -> Consul {
        let [http] = ports::free();
        let mut arguments = vec![
            "-data-dir=data".to_owned(),
            "-bind=127.0.0.4".to_owned(),
            format!("-serf-lan-port={}", self.serf),
            "-retry-interval=1s".to_owned(),
        ];
        arguments.extend(self.join.clone());
        let agent = Consul::run("client", http, &arguments, "");
        agent.ready().unwrap_or_else(|said| panic!("{said}"));
        agent
    }

    /// The number of the one that leads, once there is one.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        let is_led = comes_true(|| {
            leader = (0..self.servers.len()).find(|&server| self.leads(server));
            leader.is_some()
        });
        if !is_led {
            let logs: Vec<String> = self.servers.iter().map(Consul::log).collect();
            panic!("never a leader; the logs end:\n{}", logs.join("\n\n"));
        }
        leader.expect("a leader")
    }

    /// The number of one that does not lead.
    pub(crate) fn follower(&self) -> usize {
        (self.leader() + 1) % self.servers.len()
    }

    /// Starts a killed server again, with its data, and waits until it takes writes.
    pub(crate) fn restart(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.restart();
        server.ready().unwrap_or_else(|said| panic!("{said}"));
    }

    /// Does it believe so itself? A paused one is not asked for long. (Not `/v1/agent/self`: it waits
    /// for a lock that a new leader may hold while it asks the old one, paused, for up to 30 s.)
    fn leads(&self, server: usize) -> bool {
        let itself = format!("\"127.0.0.{}:{}\"", server + 1, self.rpc);
        let reply = self.servers[server].answer_within_a_second("/v1/status/leader");
        reply.is_some_and(|reply| reply.body.trim() == itself)
    }
}
