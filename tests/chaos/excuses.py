"""The exceptions that docs/guarantees.md names, and how the journal of the faults shows that one of them was there."""

from history import SECOND

# All locks of the workers have this TTL. A holder that cannot be told believes in its lock for as long.
TTL = 10 * SECOND
MARGIN = 2 * SECOND
# "A leader that stood still for more than two TTLs and leads again 10, 30 or 70 s after it woke", and a margin.
AFTER_A_LONG_STOP = 75 * SECOND
# Autopilot removes a dead server 6 to 14 s later; a new leader removes a client agent that it does not know.
AFTER_A_NODE_WAS_GONE = 30 * SECOND
OPERATOR = {"session-destroyed": "an operator destroyed the session", "key-deleted": "an operator deleted the key"}


def cause(history, hold, until):
    """Why the hold believed until then, although Consul had ended it; None where no exception was there."""
    if hold.life.is_foreign:
        return "api.Lock went on after its lock was over"
    for fault in history.faults.values():
        if fault.begin > until:
            continue
        if fault.kind in OPERATOR and fault.line.session == hold.session and until <= fault.end + TTL + MARGIN:
            return OPERATOR[fault.kind]
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
