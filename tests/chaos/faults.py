"""Makes the faults of a schedule happen, and writes down what was really done, and to what."""

import json
import signal
import threading
import time
import urllib.parse

from agents import SERVERS
from journal import now
from network import HOSTS, ask

LOCKS = "locks/ephemeral/"


def ways_of(host):
    return [way for other in HOSTS if other != host for way in ((host, other), (other, host))]


def rows(host):
    """The rows of all locks, as the host's agent sees them."""
    status, _, said = ask(host, "GET", f"/v1/kv/{LOCKS}?recurse", timeout=5)
    return json.loads(said) if status == 200 else []


class Faults:
    def __init__(self, network, cluster, crew, journal, folder):
        self.network, self.cluster, self.journal, self.folder = network, cluster, journal, folder
        self.crew = {worker.name: worker for worker in crew}
        self.busy = set()
        self.begun = {}
        self.mutex = threading.Lock()
        self.is_over = threading.Event()

    def run(self, schedule):
        """Each fault has a thread of its own, which ends it."""
        begin = time.monotonic()
        threads = []
        for fault in schedule:
            self.is_over.wait(max(0, begin + fault.at - time.monotonic()))
            threads.append(threading.Thread(target=self.happen, args=(fault,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def happen(self, fault):
        kind = fault.kind
        try:
            if kind in ("session-destroyed", "key-deleted", "ticket-deleted"):
                self.operate(fault)
            elif kind == "snapshot-restored":
                self.restore(fault)
            elif kind.startswith("worker"):
                self.harm_a_worker(fault)
            else:
                self.harm_the_cluster(fault)
        except OSError as error:
            self.journal.note("not-done", number=fault.number, kind=kind, said=error)

    def take(self, *what):
        """Tells whether this fault may have these; another one may have them."""
        with self.mutex:
            if self.busy & set(what):
                return False
            self.busy |= set(what)
            return True

    def give_back(self, *what):
        with self.mutex:
            self.busy -= set(what)

    def begin(self, fault, **what):
        print(f"  {self.journal.note('fault', number=fault.number, kind=fault.kind, **what)}", flush=True)

    def end(self, fault):
        self.journal.note("mended", number=fault.number, kind=fault.kind)

    def harm_the_cluster(self, fault):
        kind, what = fault.kind, fault.what
        if kind == "partition":
            a, b = what["source"], what["target"]
            self.cut(fault, [(a, b), (b, a)], hosts=f"{a},{b}")
        elif kind == "one-way-partition":
            a, b = what["source"], what["target"]
            self.cut(fault, [(a, b)], hosts=f"{a},{b}")
        elif kind in ("isolated-server", "isolated-host"):
            self.cut(fault, ways_of(what["host"]), hosts=what["host"])
        elif kind == "bad-weather":
            host = what["host"]
            ways = ways_of(host) if host != "all" else [(a, b) for a in HOSTS for b in HOSTS if a != b]
            hosts = host if host != "all" else ",".join(HOSTS)
            self.worsen(fault, ways, hosts, **{name: what[name] for name in ("loss", "delay", "jitter")})
        else:
            self.harm_an_agent(fault)

    def cut(self, fault, ways, hosts):
        self.begin(fault, hosts=hosts)
        self.network.begin(fault.number, ways, cut=1)
        self.is_over.wait(fault.length)
        self.network.mend(fault.number)
        self.end(fault)

    def worsen(self, fault, ways, hosts, **how):
        self.begin(fault, hosts=hosts, **how)
        self.network.begin(fault.number, ways, **how)
        self.is_over.wait(fault.length)
        self.network.mend(fault.number)
        self.end(fault)

    def harm_an_agent(self, fault):
        leader = self.cluster.leader()
        if fault.kind.startswith("client-agent"):
            host = fault.what["host"]
        elif leader is None:
            self.journal.note("not-done", number=fault.number, kind=fault.kind, said="there is no leader")
            return
        elif fault.kind.startswith("follower"):
            host = [server for server in SERVERS if server != leader][fault.what["turn"]]
        else:
            host = leader
        agent = self.cluster.agents[host]
        self.begin(fault, hosts=host)
        if fault.kind.startswith("leader-stopped"):
            agent.signal(signal.SIGSTOP)
            self.is_over.wait(fault.length)
            agent.signal(signal.SIGCONT)
        else:
            if fault.kind.endswith("left"):
                agent.leave()
            else:
                agent.kill()
            self.is_over.wait(fault.length)
            agent.start()
        self.end(fault)

    def harm_a_worker(self, fault):
        worker = self.crew[fault.what["worker"]]
        if not self.take(worker.name):
            self.journal.note("not-done", number=fault.number, kind=fault.kind, said="the worker has another fault")
            return
        self.begin(fault, worker=worker.title)
        if fault.kind == "worker-killed":
            worker.kill()
            self.is_over.wait(fault.length)
            worker.start()
        else:
            worker.stop()
            self.is_over.wait(fault.length)
            worker.go_on()
        self.end(fault)
        self.give_back(worker.name)

    def operate(self, fault):
        """An operator takes a row that a session holds, and ends the session, or deletes the row."""
        is_ticket = fault.kind == "ticket-deleted"
        host = SERVERS[fault.what["turn"] % 3]
        held = [row for row in rows(host) if row.get("Session") and is_ticket == ("/.fifo/" in row["Key"])]
        if not held:
            self.journal.note("not-done", number=fault.number, kind=fault.kind, said="no such row")
            return
        row = held[fault.what["turn"] % len(held)]
        self.begin(fault, key=row["Key"], session=row["Session"])
        if fault.kind == "session-destroyed":
            ask(host, "PUT", f"/v1/session/destroy/{row['Session']}", timeout=10)
        else:
            ask(host, "DELETE", f"/v1/kv/{urllib.parse.quote(row['Key'])}", timeout=10)
        self.end(fault)

    def restore(self, fault):
        if not self.take("snapshot"):
            self.journal.note("not-done", number=fault.number, kind=fault.kind, said="another snapshot is on its way")
            return
        try:
            saved_at = now()
            status, _, snapshot = ask("s1", "GET", "/v1/snapshot", timeout=20)
            if status != 200:
                raise OSError(f"no snapshot: {snapshot[:100]!r}")
            self.is_over.wait(fault.length)
            # What stands there now and will not stand there afterwards.
            self.dump(f"rows-{fault.number}.json")
            self.begin(fault, saved=saved_at)
            status, _, said = ask("s1", "PUT", "/v1/snapshot", snapshot, timeout=60)
            self.journal.note("mended", number=fault.number, kind=fault.kind, status=status, said=said[:100])
        finally:
            self.give_back("snapshot")

    def dump(self, name):
        """Keeps the rows that the workers have written."""
        status, _, said = ask("s1", "GET", "/v1/kv/chaos/data/?recurse&consistent", timeout=20)
        if status not in (200, 404):
            raise OSError(f"the rows cannot be read: {said[:100]!r}")
        (self.folder / name).write_bytes(said if status == 200 else b"[]")
