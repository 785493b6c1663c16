"""The exceptions that docs/guarantees.md names, and how the journal of the faults shows that one of them was there."""

from history import SECOND

# All locks of the workers have this TTL. A holder that cannot be told believes in its lock for as long.
TTL = 10 * SECOND
MARGIN = 2 * SECOND
# "A leader that stood still for more than two TTLs and leads again 10, 30 or 70 s after it woke", and a margin.
AFTER_A_LONG_STOP = 75 * SECOND
# Autopilot removes a dead server 6 to 14 s later; a new leader removes a client agent that it does not know.
AFTER_A_NODE_WAS_GONE = 30 * SECOND
# The watch begins a second after the lock was taken, and tells a loss in two round trips; a busy machine takes longer.
TOLD = 6 * SECOND
# Of several keys the watch sees the first; the library asks for all of them every 5 s.
TOLD_OF_ANOTHER = TOLD + 6 * SECOND
# The cluster elects, and the client finds another agent.
RECOVERY = 10 * SECOND


def cause(history, hold, until):
    """Why the hold believed until then, although Consul had ended it; None where no exception was there."""
    if hold.life.is_foreign:
        return "api.Lock went on after its lock was over"
    return of_an_operator(history, hold, until) or of_consul(history, hold, until)


def of_an_operator(history, hold, until):
    """An operator ended this very lock. The watch tells its holder, if Consul and the process let it."""
    for fault in history.faults.values():
        if fault.kind not in ("session-destroyed", "key-deleted") or fault.line.session != hold.session:
            continue
        if fault.begin > until or until > fault.end + TTL + MARGIN:
            continue
        what = "destroyed the session" if fault.kind == "session-destroyed" else "deleted the key"
        if hold.life.stopped_between(fault.begin, until):
            return f"an operator {what} while the process stood still"
        if is_in_trouble(history, fault.begin, until):
            return f"an operator {what} while the network or the cluster was in trouble"
        is_of_another = fault.kind == "key-deleted" and is_of_another_key(hold, fault.line.key)
        if until <= fault.end + (TOLD_OF_ANOTHER if is_of_another else TOLD):
            return f"an operator {what}"
    return None


def is_of_another_key(hold, row):
    key = row.removeprefix("locks/ephemeral/").partition("/.")[0]
    return len(hold.keys) > 1 and key != hold.keys[0]


def is_in_trouble(history, begin, end):
    return any(
        fault.hosts != [""] and fault.begin <= end and fault.end + RECOVERY >= begin
        for fault in history.faults.values()
    )


def of_consul(history, hold, until):
    """Consul ended the session before its time, or lost the lock."""
    for fault in history.faults.values():
        if fault.begin > until:
            continue
        if fault.kind == "snapshot-restored" and fault.end >= hold.called and until <= fault.end + TTL + MARGIN:
            return "an operator restored a snapshot"
        if fault.kind == "leader-stopped-long" and fault.end <= until and fault.end + AFTER_A_LONG_STOP >= hold.called:
            return "a leader that had stood still for more than two TTLs led again"
        if is_node_gone(hold, fault):
            return f"Consul removed the node of the session ({fault.kind})"
    return None


def is_node_gone(hold, fault):
    """Sessions without a `session_node` end with the node of their agent."""
    if hold.life.node or not set(fault.hosts) & set(hold.life.agents):
        return False
    return fault.end + AFTER_A_NODE_WAS_GONE >= hold.called


def has_vanished(history, write, written):
    """May a snapshot have taken the row away? It lacks what came after it was saved."""
    return any(
        fault.kind == "snapshot-restored" and written.at >= int(fault.line.saved) and write.at <= fault.end
        for fault in history.faults.values()
    )


def has_come_back(history, hold, write, other):
    """Has a snapshot given the key back to the hold? It was saved before the other was granted the key, and restored then."""
    return any(
        fault.kind == "snapshot-restored"
        and hold.answered <= int(fault.line.saved) <= other.answered <= fault.end
        and (hold.released is None or int(fault.line.saved) <= hold.released)
        and write.at <= fault.end
        for fault in history.faults.values()
    )
