"""The workers of the chaos test: which there are, where they live, and their lives."""

import os
import pathlib
import random
import signal
import subprocess

from network import address

# The name, the program, the host, the agents whose addresses it has ("" is its own host's), and whether its sessions
# are bound to a node that no agent owns.
CREW = [
    ("c1", "c", "a1", [""], False),
    ("c2", "c", "h1", ["s1", "s2", "s3"], True),
    ("c3", "c", "h2", ["s2", "s1"], True),
    ("go1", "go", "s1", [""], True),
    ("go2", "go", "h2", ["s3", "s1", "a1"], True),
    ("go3", "go", "s2", [""], False),
    ("node1", "node", "h1", ["s2", "s3", "s1"], True),
    ("node2", "node", "a1", [""], True),
    ("foreign1", "foreign", "a1", [""], False),
    ("foreign2", "foreign", "h2", ["s2"], False),
]
WORKERS = pathlib.Path(__file__).resolve().parent / "workers"
NODE = "locks"
# Seconds by which the boot clock of a worker differs, and parts of a million by which it is fast or slow.
OFFSETS = [0, 0, 1000, 86_400, 10_000_000, -600]
RATES = [0, 0, 400, -400]


class Worker:
    """One place in the crew; a kill begins a new life of it."""

    def __init__(self, place, built, folder, journal, seed, boot_less_monotonic):
        self.name, self.kind, self.host, self.agents, self.has_node = place
        self.built, self.folder, self.journal = built, folder, journal
        self.chance = random.Random(f"{seed} {self.name}")
        self.boot_less_monotonic = boot_less_monotonic
        self.life = 0
        self.process = None

    def start(self, ppm=None, sabotage=""):
        self.life += 1
        name = f"{self.name}.{self.life}"
        offset, rate = self.chance.choice(OFFSETS), self.chance.choice(RATES)
        rate = rate if ppm is None else ppm
        if self.kind == "foreign":
            offset = rate = 0
        environment = {
            **os.environ,
            "CHAOS_JOURNAL": str(self.folder / f"worker-{name}"),
            "CHAOS_NAME": name,
            "CHAOS_SEED": str(self.chance.randrange(1 << 30)),
            "CHAOS_ADDRESS": ",".join(f"{address(a) if a else '127.0.0.1'}:8500" for a in self.agents),
            "CHAOS_SESSION_NODE": NODE if self.has_node else "",
            "CHAOS_BOOT_LESS_MONOTONIC": str(self.boot_less_monotonic),
            "CHAOS_SABOTAGE": sabotage,
            "CHAOS_PPM": str(rate),
        }
        program = {
            "c": [self.built / "worker-c"],
            "go": [self.built / "worker-go"],
            "node": ["node", WORKERS / "worker.mjs"],
            "foreign": [self.built / "foreign"],
        }[self.kind]
        words = ["ip", "netns", "exec", self.host]
        if offset:
            words += ["unshare", "--time", "--boottime", str(offset)]
        if rate:
            words += ["env", f"LD_PRELOAD={self.built / 'slow_clock.so'}"]
        # The journal of Node has the clock of this program: it is made of CLOCK_MONOTONIC, which has no offset.
        behind = 0 if self.kind == "node" else offset * 10**9
        self.journal.note(
            "life", name=name, kind=self.kind, host=self.host, behind=behind, offset=offset, ppm=rate,
            agents=",".join(a or self.host for a in self.agents), node=NODE if self.has_node else "",
        )  # fmt: skip
        with (self.folder / f"output-{name}").open("w") as output:
            self.process = subprocess.Popen(
                [*words, *program], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def title(self):
        return f"{self.name}.{self.life}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.journal.note("killed", name=self.title)

    def stop(self):
        self.journal.note("stopped", name=self.title)
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)
        self.journal.note("continued", name=self.title)
