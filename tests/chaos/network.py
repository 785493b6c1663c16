"""The hosts of the chaos test: network namespaces on one switch (wire.c), with faults between any two."""

import contextlib
import ctypes
import http.client
import pathlib
import socket
import subprocess
import threading

HOSTS = ["s1", "s2", "s3", "a1", "h1", "h2"]
NAMESPACES = pathlib.Path("/run/netns")
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def address(host):
    return f"10.77.0.{HOSTS.index(host) + 1}"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def inside(host):
    """The sockets that this thread makes meanwhile are the host's."""

    def enter(path):
        with open(path) as namespace:
            if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns {path}")

    enter(NAMESPACES / host)
    try:
        yield
    finally:
        enter("/proc/1/ns/net")


class Connection(http.client.HTTPConnection):
    """A connection from the host to its own agent: no fault of the network is between them."""

    def __init__(self, host, timeout):
        super().__init__("127.0.0.1", 8500, timeout=timeout)
        self.namespace = host

    def connect(self):
        with inside(self.namespace):
            self.sock = socket.create_connection((self.host, self.port), self.timeout)


def ask(host, method, path, body=b"", timeout=10):
    """Asks the host's agent, and gives the status, the index and the body of the answer; OSError without one."""
    connection = Connection(host, timeout)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, int(answer.getheader("X-Consul-Index") or 0), answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


class Network:
    """The namespaces end with the mount namespace and the processes of this program (scripts/chaos)."""

    def __init__(self, wire, seed):
        NAMESPACES.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", NAMESPACES], check=True)
        for host in HOSTS:
            ip("netns", "add", host)
        self.wire = subprocess.Popen(
            [wire, str(seed), *HOSTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if self.wire.stdout.readline().strip() != "ready":
            raise SystemExit("chaos: the switch does not start")
        for number, host in enumerate(HOSTS, 1):
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", "lan", "address", f"02:00:00:00:00:{number:02x}")
            ip("-n", host, "addr", "add", f"{address(host)}/24", "dev", "lan")
            ip("-n", host, "link", "set", "lan", "up")
        # What is wrong with each way, by the fault: two faults of one way do not mend each other.
        self.faults = {}
        self.mutex = threading.Lock()

    def say(self, line):
        with self.mutex:
            self.wire.stdin.write(line + "\n")
            return self.wire.stdout.readline().strip()

    def set_way(self, source, target):
        present = [fault[source, target] for fault in self.faults.values() if (source, target) in fault]
        worst = [max(way[n] for way in present) if present else 0 for n in range(4)]
        self.say(f"way {source} {target} {' '.join(map(str, worst))}")

    def begin(self, fault, ways, cut=0, loss=0, delay=0, jitter=0):
        """Cuts or worsens ways, pairs of hosts. Frames of 1,000, and microseconds."""
        self.faults[fault] = dict.fromkeys(ways, (cut, loss, delay, jitter))
        for way in ways:
            self.set_way(*way)

    def mend(self, fault):
        for way in self.faults.pop(fault, {}):
            self.set_way(*way)
