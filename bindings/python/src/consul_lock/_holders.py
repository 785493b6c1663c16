"""The sessions that hold a key, and those that wait for it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ._client import Client, pointer_of
from ._dispatcher import heed_log
from ._events import inquire
from ._native import address, c, copy, text, utf8


@dataclass(frozen=True)
class Holder:
    """The session that held a lock when Consul answered."""

    session: str
    """The id of the session."""
    name: str | None
    """The session's name, such as "consul_lock PROGRAM@HOST:PID NONCE". None: Consul would not say; an observer does
    not ask."""
    node: str | None
    """The Consul node of the session. None: as for name."""
    value: bytes
    """The value under the key. Another program wrote it, so the caller must not trust it."""
    fencing_token: int
    """The fencing token of the holder's lock."""
    since: datetime | None
    """The time of the acquire in UTC, by the holder's clock. None: the stored value does not contain it."""
    ttl: float | None
    """The TTL of the session in seconds. None: the session has none, or as for name."""
    limit: int | None = None
    """How many may share the key at once. None: the holder has the key alone, or shares it without a limit."""
    slot: int | None = None
    """The slot of a holder that shares the key with a limit."""


@dataclass(frozen=True)
class Waiter:
    """A session that stands in the line of a key, for all waiters of one client that want the same."""

    session: str
    """The id of the session."""
    name: str | None
    """As Holder.name."""
    node: str | None
    """As Holder.node."""
    ttl: float | None
    """As Holder.ttl."""
    mode: str
    """What the waiter wants: "exclusive" or "share"."""
    limit: int | None
    """How many may share the key at once, for a waiter that wants to share it with a limit."""
    keys: tuple[str, ...]
    """The full keys that the waiter waits for, if it waits for several at once."""


@dataclass(frozen=True)
class Holders:
    """The sessions that held a key, and those that waited for it, when Consul answered."""

    key: str
    """The full key in Consul's KV store."""
    exclusive: Holder | None
    """The exclusive holder. While others still share the key, this holder waits until they have released it."""
    sharers: tuple[Holder, ...]
    """The sessions that share the key."""
    line: tuple[Waiter, ...]
    """The line of waiters, in its order."""


def holder(key: str, *, client: Client | None = None) -> Holder | None:
    """Asks Consul which session holds a lock. Sends one or two requests.

    Args:
        key: As for Lock.
        client: None: the default client.

    Returns:
        None: the lock is free.

    Raises:
        InvalidArgumentError: The key is refused.
        InvalidEnvironmentError: A variable of the default client is wrong.
        UnavailableError, DeniedError, RejectedError: Consul did not answer, or refused.
    """
    heed_log()
    native, name = pointer_of(client), utf8("key", key)
    found = inquire(c.holder_start, native, name, done=address.queue_holder_done, take=c.event_take_holder)
    return take_holder(found)


def holders(key: str, *, client: Client | None = None) -> Holders:
    """Asks Consul for all that hold a key or wait for it: the exclusive holder, those that share the key, and the line.

    Consul answers in two parts, so a lock that changes hands in between may show twice, or not at all. Sends two
    requests, and one for each of the first 64 sessions.

    Args:
        key: As for Lock.
        client: None: the default client.

    Raises:
        Error: As `holder`.
    """
    heed_log()
    native, name = pointer_of(client), utf8("key", key)
    found = inquire(c.holders_start, native, name, done=address.queue_holders_done, take=c.event_take_holders)
    return take_holders(found)


def take_holder(pointer: int | None) -> Holder | None:
    """Copies a holder of the library, and frees it."""
    if pointer is None:
        return None
    try:
        since, ttl = c.holder_since_ms(pointer), c.holder_ttl_ms(pointer)
        return Holder(
            session=text(c.holder_session, pointer),
            name=text(c.holder_name, pointer) or None,
            node=text(c.holder_node, pointer) or None,
            value=copy(c.holder_value, pointer),
            fencing_token=c.holder_fencing_token(pointer),
            since=_time(since or None),
            ttl=_seconds(ttl or None),
        )
    finally:
        c.holder_free(pointer)


def take_holders(pointer: int | None) -> Holders:
    """Copies holders of the library, and frees them."""
    try:
        found = json.loads(text(c.holders_json, pointer))
    finally:
        c.holders_free(pointer)
    exclusive = found["exclusive"]
    return Holders(
        key=found["key"],
        exclusive=_holder(exclusive) if exclusive else None,
        sharers=tuple(_holder(one) for one in found["sharers"]),
        line=tuple(_waiter(one) for one in found["line"]),
    )


def _holder(found: dict[str, Any]) -> Holder:
    return Holder(
        session=found["session"],
        name=found.get("name"),
        node=found.get("node"),
        value=base64.b64decode(found["value_base64"]),
        fencing_token=found["fencing_token"],
        since=_time(found.get("since_ms")),
        ttl=_seconds(found.get("ttl_ms")),
        limit=found.get("limit"),
        slot=found.get("slot"),
    )


def _waiter(found: dict[str, Any]) -> Waiter:
    return Waiter(
        session=found["session"],
        name=found.get("name"),
        node=found.get("node"),
        ttl=_seconds(found.get("ttl_ms")),
        mode=found["mode"],
        limit=found.get("limit"),
        keys=tuple(found["keys"]),
    )


def _time(since: int | None) -> datetime | None:
    try:
        return None if since is None else datetime.fromtimestamp(since / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        # Another program wrote the number.
        return None


def _seconds(ttl: int | None) -> float | None:
    return None if ttl is None else ttl / 1000
