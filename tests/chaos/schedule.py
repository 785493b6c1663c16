"""The faults of a run: which, when, and for how long. All of it follows from the seed."""

import dataclasses
import random

from agents import CLIENT, SERVERS
from crew import CREW
from network import HOSTS

# What happens to the cluster and its network, one after the other: kind, how often, least and most seconds.
CLUSTER = [
    ("partition", 4, 2, 20),
    ("one-way-partition", 2, 2, 15),
    ("isolated-server", 3, 4, 25),
    ("isolated-host", 2, 2, 25),
    ("bad-weather", 5, 5, 25),
    ("leader-killed", 3, 1, 20),
    ("leader-stopped", 3, 11, 18),
    ("leader-stopped-long", 1, 21, 35),
    ("follower-killed", 2, 1, 20),
    ("follower-left", 1, 1, 6),
    ("client-agent-killed", 2, 1, 10),
    ("client-agent-left", 2, 1, 6),
]
# What happens to workers, and what operators do, at the same time.
CREWS = [
    ("worker-killed", 4, 0, 3),
    ("worker-stopped", 3, 1, 6),
    ("worker-stopped-past-its-ttl", 4, 11, 25),
    ("session-destroyed", 4, 0, 0),
    ("key-deleted", 4, 0, 0),
    ("ticket-deleted", 2, 0, 0),
    ("snapshot-restored", 1, 2, 15),
]


@dataclasses.dataclass
class Fault:
    number: int
    kind: str
    at: float
    length: float
    what: dict

    def __str__(self):
        what = " ".join(f"{name}={value}" for name, value in self.what.items())
        return f"{self.at:7.1f} s  {self.length:5.1f} s  {self.kind} {what}".rstrip()


def details(chance, kind):
    if kind in ("partition", "one-way-partition"):
        source, target = chance.sample(HOSTS, 2)
        return {"source": source, "target": target}
    if kind == "isolated-server":
        return {"host": chance.choice(SERVERS)}
    if kind == "isolated-host":
        return {"host": chance.choice([host for host in HOSTS if host not in SERVERS])}
    if kind == "bad-weather":
        host = chance.choice([*HOSTS, "all"])
        return {
            "host": host,
            "loss": chance.choice([0, 20, 100, 300] if host != "all" else [0, 20, 100]),
            "delay": chance.choice([0, 20_000, 100_000, 300_000]),
            "jitter": chance.choice([1000, 20_000, 100_000]),
        }
    if kind.startswith("follower"):
        return {"turn": chance.randrange(2)}
    if kind.startswith("client-agent"):
        return {"host": CLIENT}
    if kind.startswith("worker"):
        return {"worker": chance.choice(CREW)[0]}
    if kind in ("session-destroyed", "key-deleted", "ticket-deleted"):
        return {"turn": chance.randrange(1 << 20)}
    return {}


def lane(chance, kinds, seconds, begin, gap, wait):
    """Draws faults; with `wait` one begins after the end of the one before."""
    at = begin
    while True:
        kind, _, least, most = chance.choices(kinds, [often for _, often, _, _ in kinds])[0]
        length = round(chance.uniform(least, most), 1)
        if at + length > seconds:
            return
        yield Fault(0, kind, round(at, 1), length, details(chance, kind))
        at += chance.uniform(*gap) + (length if wait else 0)


def draw(seed, seconds):
    """A longer run begins as a shorter one of the same seed."""
    faults = [
        *lane(random.Random(f"cluster {seed}"), CLUSTER, seconds, 8, (3, 14), True),
        *lane(random.Random(f"crew {seed}"), CREWS, seconds, 5, (1, 6), False),
    ]
    faults.sort(key=lambda fault: fault.at)
    for number, fault in enumerate(faults, 1):
        fault.number = number
    return faults
