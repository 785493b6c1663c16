"""The agents of the chaos test: three servers and a client agent, with their data on disk."""

import json
import signal
import subprocess
import time

from network import address, ask

SERVERS = ["s1", "s2", "s3"]
CLIENT = "a1"
PATIENCE = 120
SETTINGS = {
    "disable_update_check": True,
    "performance": {"raft_multiplier": 1},
    "retry_interval": "1s",
    "ports": {"dns": -1, "serf_wan": -1, "grpc": -1},
}


class Agent:
    def __init__(self, consul, host, folder):
        self.consul, self.host, self.folder = consul, host, folder
        self.process = None
        folder.mkdir()
        settings = {
            **SETTINGS,
            "node_name": host,
            "data_dir": str(folder / "data"),
            "bind_addr": address(host),
            "client_addr": f"127.0.0.1 {address(host)}",
            "retry_join": [address(server) for server in SERVERS if server != host],
        }
        if host in SERVERS:
            settings |= {"server": True, "bootstrap_expect": 3}
        (folder / "settings.json").write_text(json.dumps(settings))

    def start(self):
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.host, self.consul, "agent", "-log-level=info",
                 f"-config-file={self.folder / 'settings.json'}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, name):
        self.process.send_signal(name)

    def leave(self):
        """The graceful end: the agent leaves the cluster. One that cannot is killed in the end."""
        subprocess.run(
            ["ip", "netns", "exec", self.host, self.consul, "leave"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30, check=False,
        )  # fmt: skip
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()


class Cluster:
    def __init__(self, consul, folder):
        self.agents = {host: Agent(consul, host, folder / host) for host in [*SERVERS, CLIENT]}
        for agent in self.agents.values():
            agent.start()
        self.wait(voters=3)

    def leader(self):
        """The server that most servers call the leader; None if there is none."""
        votes = []
        for server in SERVERS:
            try:
                status, _, said = ask(server, "GET", "/v1/status/leader", timeout=1)
                votes += [json.loads(said).partition(":")[0]] if status == 200 else []
            except (OSError, ValueError):
                continue
        for server in SERVERS:
            if votes.count(address(server)) >= 2:
                return server
        return None

    def is_well(self, voters):
        """So many servers vote at least, and each agent takes a session."""
        try:
            _, _, said = ask("s1", "GET", "/v1/operator/raft/configuration")
            if sum(server["Voter"] for server in json.loads(said)["Servers"]) < voters:
                return False
            for host in self.agents:
                status, _, said = ask(host, "PUT", "/v1/session/create", b'{"TTL":"10s","Behavior":"delete"}')
                if status != 200:
                    return False
                ask(host, "PUT", f"/v1/session/destroy/{json.loads(said)['ID']}")
        except (OSError, ValueError, KeyError):
            return False
        return True

    def wait(self, voters):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.is_well(voters):
                return
            time.sleep(0.5)
        raise SystemExit(f"chaos: the cluster is not well after {PATIENCE} s; the logs of the agents say why")
