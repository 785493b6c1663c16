"""The rules of the chaos test. Each finds in the history of a run what breaks it, and what an exception allows."""

import collections
import dataclasses

import excuses
from history import FOREVER, SECOND, common, length, merge, without

# What a call may take beyond its own limit, on a machine that is busy.
SLACK = 5 * SECOND
REQUEST_TIMEOUT = RELEASE_TIMEOUT = 10 * SECOND
# What a process needs to hear of a loss.
HEARING = 5 * SECOND
# What the library of a process that has ended may still have in Consul: nothing, once its last request has arrived.
EARLY = 8
# After a fault the cluster elects, and clients find another agent.
RECOVERY = 10 * SECOND
# For how long a key may be free with live waiters, apart from what the cluster's own faults take.
FREE = 20 * SECOND
KEYS = ["x0", "x1", "x2", "x3", "readers", "slots", "p0", "p1", "p2"]
PLAIN = KEYS[:4]
ANSWERS = {
    "answer": {"OK", "NOT_ACQUIRED", "UNAVAILABLE", "CANCELLED"},
    "written": {"OK", "LOST", "UNCONFIRMED", "UNAVAILABLE", "NOT_HELD"},
    "released": {"OK", "LOST", "UNCONFIRMED"},
}


@dataclasses.dataclass
class Violation:
    rule: str
    text: str
    lines: list


class Findings:
    def __init__(self):
        self.violations = []
        self.allowed = collections.Counter()
        self.longest = collections.Counter()

    def broken(self, rule, text, *lines):
        self.violations.append(Violation(rule, text, [line for line in lines if line is not None]))

    def permit(self, what, time=0):
        self.allowed[what] += 1
        self.longest[what] = max(self.longest[what], time)


def answer_of(hold):
    return next((line for line in hold.lines if line.event == "answer"), None)


class Later:
    """Of the holds of a key with larger tokens: the one with the least `measure` that conflicts with a hold."""

    def __init__(self, measure):
        self.measure = measure
        self.least = {}

    def add(self, hold):
        measured = self.measure(hold)
        if measured is None:
            return
        for group in ("any", "exclusive" if hold.is_exclusive else f"slot {hold.slot}"):
            if group not in self.least or measured < self.least[group][0]:
                self.least[group] = (measured, hold)

    def of(self, hold):
        groups = ["any"] if hold.is_exclusive else ["exclusive"]
        if not hold.is_exclusive and hold.slot >= 0:
            groups.append(f"slot {hold.slot}")
        found = [self.least[group] for group in groups if group in self.least]
        return min(found, key=lambda pair: pair[0]) if found else (None, None)


def exclusion(history, findings):
    """While is_held says yes, no other process has been given the key."""
    for key, holds in history.granted_of().items():
        later = Later(lambda hold: hold.answered)
        for hold in sorted(holds, key=lambda hold: -hold.token):
            if hold.token == 0:
                if hold.life.is_foreign:
                    findings.permit("api.Lock lost its lock before it could read the index")
                else:
                    findings.broken("tokens", f"{hold.name} was granted {key} without a token", *hold.lines[:2])
                continue
            answered, other = later.of(hold)
            if hold.last_true is not None and answered is not None and hold.last_true > answered:
                overlap(history, findings, key, hold, other)
            later.add(hold)


def overlap(history, findings, key, hold, other):
    time = hold.last_true - other.answered
    why = excuses.cause(history, hold, hold.last_true)
    lines = [answer_of(hold), answer_of(other), hold.true_line]
    said = f"{hold.name} still held {key} {time / 1e9:.3f} s after {other.name} had it"
    if why is None:
        findings.broken("exclusion", said, *lines)
    elif not hold.life.is_foreign and time > excuses.TTL + excuses.MARGIN:
        findings.broken("exclusion", f"{said}: longer than a lease ({why})", *lines)
    else:
        findings.permit(why, time)


def tokens(history, findings):
    """A lock that is asked for after another was granted has the larger token; no two have the same."""
    for key, holds in history.granted_of().items():
        holds = [hold for hold in holds if hold.token > 0]
        by_token = {}
        for hold in holds:
            other = by_token.setdefault(hold.token, hold)
            if other is not hold:
                findings.broken(
                    "tokens", f"two locks on {key} have the token {hold.token}", *map(answer_of, (other, hold))
                )
        answered = sorted(holds, key=lambda hold: hold.answered)
        largest, n = None, 0
        for hold in sorted(holds, key=lambda hold: hold.called):
            while n < len(answered) and answered[n].answered < hold.called:
                if largest is None or answered[n].token > largest.token:
                    largest = answered[n]
                n += 1
            if largest is not None and hold.token < largest.token:
                findings.broken(
                    "tokens", f"{hold.name} has a smaller token on {key} than {largest.name}, which was before it",
                    answer_of(largest), hold.lines[0], answer_of(hold),
                )  # fmt: skip


def writes(history, findings):
    """A write that was told OK is there, one that was told a failure is not, and all are in the holders' order."""
    rows = {}
    for _, former in history.former:
        rows |= former
    rows |= history.rows
    by_hold = collections.defaultdict(list)
    for row in rows.values():
        hold = history.holds.get(row.hold)
        if hold is None or not hold.is_granted or row.key not in hold.writes:
            findings.broken(
                "writes", f"{row.key} is in Consul, and no holder wrote it", *(hold.lines[:2] if hold else ())
            )
            continue
        by_hold[hold].append(row)
        if row.value != f"{hold.name} {hold.token}":
            findings.broken(
                "writes", f"{row.key} has the value {row.value!r}", answer_of(hold), hold.writes[row.key][0]
            )
    for hold in history.holds.values():
        for key, (write, written) in hold.writes.items():
            if written is None:
                continue
            if written.status == "OK" and key not in rows:
                if excuses.has_vanished(history, write, written):
                    findings.permit("a write vanished with the snapshot that an operator restored")
                else:
                    findings.broken("writes", f"{key} was told OK, and is not there", write, written)
            elif written.status not in ("OK", "UNCONFIRMED") and key in rows:
                findings.broken("writes", f"{key} was told {written.status}, and was applied", write, written)
    order_of_writes(history, findings, by_hold)


def order_of_writes(history, findings, by_hold):
    first = {hold: min(row.created for row in rows) for hold, rows in by_hold.items()}
    for key, holds in history.granted_of().items():
        granted, wrote = Later(lambda hold: hold.token), Later(first.get)
        for hold in sorted((hold for hold in holds if hold.token > 0), key=lambda hold: -hold.token):
            # The token of a lock that waited for those who share is older than its end of the wait.
            limits = [wrote.of(hold)] + ([granted.of(hold)] if hold.is_exclusive or hold.slot >= 0 else [])
            for row in by_hold.get(hold, ()):
                if row.created <= hold.token:
                    findings.broken(
                        "writes", f"{row.key} was applied before its lock", answer_of(hold), hold.writes[row.key][0]
                    )
                write, _ = hold.writes[row.key]
                for limit, other in limits:
                    if limit is None or row.modified < limit:
                        continue
                    if excuses.has_come_back(history, hold, write, other):
                        findings.permit("a late write under a lock that a restored snapshot gave back")
                        continue
                    findings.broken(
                        "writes",
                        f"{row.key} was applied at {row.modified}, when {other.name} had {key} (from {limit} on)",
                        answer_of(hold), write, answer_of(other),
                    )  # fmt: skip
                    break
            granted.add(hold)
            wrote.add(hold)


def outcomes(history, findings):
    """Each call has an outcome that its contract knows, and ends in time."""
    for hold in history.holds.values():
        if hold.life.is_foreign:
            continue
        for line in hold.lines:
            if line.event in ANSWERS and line.status not in ANSWERS[line.event]:
                findings.broken("outcomes", f"{hold.name}: {line.event} {line.status}", line)
        limit = hold.timeout * 10**6 or REQUEST_TIMEOUT
        patience(findings, hold, "acquire", hold.called, hold.answered, limit)
        if hold.release_called is not None:
            patience(findings, hold, "release", hold.release_called, hold.released, RELEASE_TIMEOUT)


def patience(findings, hold, what, called, answered, limit):
    life = hold.life
    end = answered or life.killed
    if end is None:
        findings.broken("outcomes", f"{hold.name}: {what} was never answered", *hold.lines[-2:])
        return
    time = end - called - life.stopped_between(called, end)
    if time > limit + SLACK:
        findings.broken("outcomes", f"{hold.name}: {what} took {time / 1e9:.1f} s of {limit / 1e9:.1f} s", *hold.lines)


def notices(history, findings):
    """The loss of a held lock is told once, that of a released one never; what is lost stays lost."""
    for hold in history.holds.values():
        life = hold.life
        if life.is_foreign or not hold.is_granted:
            continue
        if hold.again:
            findings.broken("notices", f"{hold.name} is held again after it was lost", *hold.lines, hold.again[0])
        if len(hold.notices) > 1:
            findings.broken("notices", f"the loss of {hold.name} was told {len(hold.notices)} times", *hold.notices)
        if hold.notices and hold.end == "OK":
            findings.broken("notices", f"{hold.name} was released, and its loss was told", *hold.lines)
        noticed = hold.first_false
        if noticed is None or hold.notices or (hold.release_called is not None and hold.release_called < noticed):
            continue
        last = life.killed or life.last
        if last - noticed - life.stopped_between(noticed, last) > HEARING:
            findings.broken("notices", f"the loss of {hold.name} was never told", *hold.lines)


def leftovers(history, findings):
    """In the end nothing is left; of a process that ended well nothing is left early."""
    if not history.looks or history.looks[-1].last != "yes":
        findings.broken("leftovers", "the run did not come to its end")
        return
    last = int(history.looks[-1].seconds)
    ended = {life.name for life in history.lives.values() if life.end is not None and life.end.status == "OK"}
    early = min((int(look.seconds) for look in history.looks if int(look.seconds) >= EARLY), default=last)
    for line in history.left:
        seconds = int(line.seconds)
        life = line.name.partition("_")[0]
        if seconds == last and line.row and not line.session:
            # api.Lock deletes its key only if it gets to call Destroy.
            findings.permit("a key without a session, which api.Lock left")
        elif seconds == last:
            findings.broken("leftovers", f"{line.row or 'a session'} of {life} is left", line)
        elif seconds == early and life in ended and not life.startswith("foreign"):
            if line.row:
                findings.broken("leftovers", f"{line.row} is left {seconds} s after {life} ended well", line)
            else:
                findings.permit("a session without a lock, left to its TTL")


def lives(history, findings):
    """No worker dies by itself, each ends when it is told to, and each key is taken again once all is well."""
    for line in history.died:
        findings.broken("lives", f"{line.name} died by itself", line)
    for life in history.lives.values():
        if life.killed is None and life.end is None:
            findings.broken("lives", f"{life.name} did not end")
        elif life.end is not None and life.end.status != "OK":
            findings.broken("lives", f"the shutdown of {life.name} ended with {life.end.status}", life.end)
    by_key = history.granted_of()
    for key in KEYS:
        taken = [
            hold for hold in by_key[key] if history.calm <= hold.answered <= history.over and not hold.life.is_foreign
        ]
        if not taken:
            findings.broken("lives", f"no worker got {key} after all faults were over")


def free_times(history, findings, seen):
    """How long each plain key was free while live waiters waited: at all, and apart from the faults of the cluster."""
    trouble = merge(
        (fault.begin, min(fault.end, FOREVER - RECOVERY) + RECOVERY)
        for fault in history.faults.values()
        if fault.hosts != [""] or fault.kind == "snapshot-restored"
    )
    longest = longest_calm = 0
    for key in PLAIN:
        free = without([[history.begin, history.over]], seen.held(key))
        waits = []
        for hold in history.holds.values():
            life = hold.life
            if hold.keys == [key] and hold.timeout > 0 and not life.is_foreign:
                waits += without([[hold.called, hold.answered or life.killed or life.last]], merge(life.stops))
        for begin, end in common(free, merge(waits)):
            longest = max(longest, end - begin)
            calm = length(without([[begin, end]], trouble))
            longest_calm = max(longest_calm, calm)
            if calm > FREE:
                findings.broken("free", f"{key} was free from {begin} to {end}, {calm / 1e9:.1f} s in good weather")
    return longest, longest_calm


RULES = [exclusion, tokens, writes, outcomes, notices, leftovers, lives]
