"""Who holds a key, and who waits for it: `holder` and `holders`."""

from __future__ import annotations

import dataclasses
import os
import pickle
from datetime import datetime, timedelta, timezone

import pytest
import support

from consul_lock import Client, Holder, InvalidArgumentError, Lock, UnavailableError, Waiter, hold, holder, holders


def test_holder(key: str) -> None:
    assert holder(key) is None
    with hold(key, value="mine", lock_timeout=60) as lock:
        found = holder(key)
        assert found is not None
        assert (found.session, found.node, found.value) == (lock.session_id, "node", b"mine")
        assert (found.fencing_token, found.since, found.ttl) == (lock.fencing_token, None, 60.0)
        assert (found.limit, found.slot) == (None, None)
        assert found.name is not None
        assert f":{os.getpid()} " in found.name
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.session = ""  # type: ignore[misc]
        assert pickle.loads(pickle.dumps(found)) == found
        assert hash(found) == hash(holder(key))
    assert holder(key) is None


def test_the_default_value_has_the_time_of_the_acquire(key: str) -> None:
    before = datetime.now(timezone.utc)
    with hold(key):
        found = holder(key)
        assert found is not None
        assert found.since is not None
        assert found.since.tzinfo is timezone.utc
        assert abs(found.since - before) < timedelta(seconds=10)


def test_binary_values(key: str) -> None:
    for value in (b"", b"a\0b", bytes(range(256)) * 100):
        with hold(key, value=value):
            found = holder(key)
            assert found is not None
            assert found.value == value


def test_holders(key: str, full_key: str) -> None:
    empty = holders(key)
    assert (empty.key, empty.exclusive, empty.sharers, empty.line) == (full_key, None, (), ())
    with hold(key, value=b"a\0b", limit=1) as lock:
        waiting = Lock(key, limit=1, timeout=60)
        caller = support.waiting(waiting, full_key)
        found = Client().holders(key)
        (sharer,), (waiter,) = found.sharers, found.line
        assert found.exclusive is None
        assert isinstance(sharer, Holder)
        assert (sharer.session, sharer.value, sharer.fencing_token) == (lock.session_id, b"a\0b", lock.fencing_token)
        assert (sharer.limit, sharer.slot, sharer.node, sharer.ttl, sharer.since) == (1, 0, "node", 180.0, None)
        assert isinstance(waiter, Waiter)
        assert (waiter.mode, waiter.limit, waiter.keys, waiter.node) == ("share", 1, (), "node")
        assert waiter.name is not None
        assert f":{os.getpid()} " in waiter.name
        waiting.cancel()
        with pytest.raises(Exception, match="cancelled"):
            caller.outcome()
    support.nothing_left(full_key)


def test_holders_of_an_exclusive_lock(key: str, full_key: str) -> None:
    with hold(key) as lock:
        waiting = Lock([key, f"{key}-b"], timeout=60)
        caller = support.waiting(waiting, full_key)
        found = holders(key)
        assert found.exclusive == holder(key)
        assert found.exclusive is not None
        assert found.exclusive.session == lock.session_id
        (waiter,) = found.line
        assert (waiter.mode, waiter.limit, waiter.ttl) == ("exclusive", None, 180.0)
        assert waiter.keys == (full_key, f"{full_key}-b")
        waiting.cancel()
        with pytest.raises(Exception, match="cancelled"):
            caller.outcome()
    support.nothing_left(full_key)


def test_a_dead_address(key: str) -> None:
    client = Client(support.DEAD_ADDRESS, request_timeout=0.5)
    for ask in (client.holder, client.holders):
        with pytest.raises(UnavailableError) as caught:
            ask(key)
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.retryable


def test_wrong_arguments(key: str) -> None:
    for ask in (holder, holders):
        with pytest.raises(InvalidArgumentError):
            ask("a//b")
        with pytest.raises(TypeError):
            ask([key])  # type: ignore[operator]
        with pytest.raises(TypeError, match="client"):
            ask(key, client="x")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "since"),
    [
        (b'{"locked_at": "not a time"}', None),
        (b"\xff\xfe", None),
        (b'{"locked_at": "9999-12-31T23:59:59Z"}', datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)),
        (b'{"locked_at": 1e300}', None),
    ],
)
def test_values_of_other_programs(key: str, value: bytes, since: datetime | None) -> None:
    with hold(key, value=value):
        found = holder(key)
        assert found is not None
        assert found.value == value
        assert found.since in (None, since)
