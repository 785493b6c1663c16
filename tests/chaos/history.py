"""What the journals of a run say: lives, holds, faults, rows. Nothing here judges."""

import base64
import bisect
import collections
import json

from journal import read

SECOND = 10**9
FOREVER = 1 << 62


class Hold:
    """One lock, from the call of acquire on."""

    def __init__(self, life, line):
        self.life, self.name, self.lines = life, line.hold, [line]
        self.keys = line.keys.split(",")
        self.is_exclusive = line.mode == "exclusive"
        self.limit, self.timeout, self.renews = int(line.limit), int(line.timeout), line.renew == "yes"
        self.called = line.at
        self.answered = self.released = None
        self.status = self.end = None
        self.token, self.slot, self.session = 0, -1, ""
        # The instants between which the lock was held for certain: the end of the first call of is_held that said yes
        # (it was held at some instant before), and the beginning of the last one.
        self.first_true = self.last_true = None
        self.first_false = None
        self.true_line = None
        self.again = []
        self.writes = {}
        self.notices = []
        self.release_called = None

    @property
    def is_granted(self):
        return self.status == "OK"

    def add(self, line):
        event = line.event
        if event != "held":
            self.lines.append(line)
        if event == "answer":
            self.answered, self.status = line.at, line.status
            self.token, self.slot, self.session = int(line.token), int(line.slot), line.session
        elif event == "held":
            if line.values["is"] == "yes":
                if self.first_false is not None:
                    self.again.append(line)
                if self.first_true is None:
                    self.first_true = line.at
                self.last_true, self.true_line = line.before, line
            elif self.first_false is None:
                self.first_false = line.at
                self.lines.append(line)
        elif event == "write":
            self.writes[line.row] = [line, None]
        elif event == "written":
            self.writes[line.row][1] = line
        elif event == "lost":
            self.notices.append(line)
        elif event == "release":
            self.release_called = line.at
        elif event == "released":
            self.released, self.end = line.at, line.status
            # "The lock was held until now": until the release was called, at least.
            if line.status == "OK" and not self.life.is_foreign and self.first_true is not None:
                self.last_true, self.true_line = self.release_called, line

    def conflicts(self, other):
        """May the two not hold one key at once? For holds that have a key in common."""
        if self.is_exclusive or other.is_exclusive:
            return True
        return self.slot >= 0 and self.slot == other.slot


class Life:
    """One process of a worker."""

    def __init__(self, line):
        self.name, self.kind, self.host = line.name, line.kind, line.host
        self.worker = self.name.partition(".")[0]
        self.behind = int(line.behind)
        self.agents, self.node = line.agents.split(","), line.node
        self.offset, self.ppm = line.offset, line.ppm
        self.is_foreign = self.kind == "foreign"
        self.killed = None
        self.end = None
        self.stops = []
        self.last = line.at

    def stopped_between(self, begin, end):
        """For how long the process stood still in this time."""
        return sum(max(0, min(end, b) - max(begin, a)) for a, b in self.stops)


class Fault:
    def __init__(self, line):
        self.kind, self.begin, self.end, self.line = line.kind, line.at, FOREVER, line
        self.hosts = line.values.get("hosts", "").split(",")

    def __str__(self):
        return self.kind


class Row:
    """A row that a worker wrote, as Consul shows it."""

    def __init__(self, told):
        self.key = told["Key"]
        self.created, self.modified = told["CreateIndex"], told["ModifyIndex"]
        self.value = base64.b64decode(told["Value"] or "").decode()
        self.hold = self.key.removeprefix("chaos/data/").rpartition(".")[0]


class History:
    def __init__(self, folder):
        self.folder = folder
        self.lives, self.faults, self.not_done = {}, {}, []
        self.left, self.looks, self.died = [], [], []
        self.calm = self.over = FOREVER
        self.begin = 0
        for line in read(folder / "faults"):
            self.take(line)
        self.holds = {}
        for life in self.lives.values():
            path = folder / f"worker-{life.name}"
            for line in read(path, life.behind) if path.exists() else ():
                self.hear(life, line)
        # The rows at the end, and those that stood there before a snapshot took their place.
        self.rows = self.rows_of("rows-last.json")
        self.former = [
            (fault, self.rows_of(f"rows-{fault.line.number}.json"))
            for fault in self.faults.values()
            if fault.kind == "snapshot-restored"
        ]

    def rows_of(self, name):
        path = self.folder / name
        return {row["Key"]: Row(row) for row in json.loads(path.read_text())} if path.exists() else {}

    def take(self, line):
        """A line of the journal of the run itself."""
        event = line.event
        if event == "life":
            self.lives[line.name] = Life(line)
        elif event == "fault":
            self.faults[line.number] = Fault(line)
        elif event == "mended":
            self.faults[line.number].end = line.at
        elif event == "killed":
            self.lives[line.name].killed = line.at
        elif event == "stopped":
            self.lives[line.name].stops.append((line.at, FOREVER))
        elif event == "continued":
            begin, _ = self.lives[line.name].stops.pop()
            self.lives[line.name].stops.append((begin, line.at))
        elif event in ("begin", "calm", "over"):
            setattr(self, event, line.at)
        elif event == "left":
            self.left.append(line)
        elif event == "looked":
            self.looks.append(line)
        elif event == "died":
            self.died.append(line)
        elif event == "not-done":
            self.not_done.append(line)

    def hear(self, life, line):
        """A line of a worker."""
        life.last = line.at
        if line.event == "end":
            life.end = line
        elif line.event == "acquire":
            self.holds[line.hold] = Hold(life, line)
        elif line.event != "start":
            self.holds[line.hold].add(line)

    def granted_of(self):
        """The holds that were granted, by key."""
        by_key = collections.defaultdict(list)
        for hold in self.holds.values():
            if hold.is_granted:
                for key in hold.keys:
                    by_key[key].append(hold)
        return by_key


def merge(spans):
    """Joins spans of time that overlap, and sorts them."""
    merged = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return merged


def common(first, second):
    """The time that is in both; both are merged."""
    found = []
    ends = [end for _, end in second]
    for begin, end in first:
        for n in range(bisect.bisect_right(ends, begin), len(second)):
            if second[n][0] >= end:
                break
            found.append([max(begin, second[n][0]), min(end, second[n][1])])
    return found


def without(first, second):
    """The time that is in the first only; both are merged."""
    found = []
    for begin, end in first:
        for b, e in common([[begin, end]], second):
            if b > begin:
                found.append([begin, b])
            begin = e
        if begin < end:
            found.append([begin, end])
    return found


def length(spans):
    return sum(end - begin for begin, end in spans)
