"""Locks that share a key, with and without a limit, and locks of several keys."""

from __future__ import annotations

import queue
from typing import Any

import pytest
import support

from consul_lock import (
    CancelledError,
    ClosedError,
    ConflictError,
    InvalidArgumentError,
    InvalidOptionError,
    Lock,
    LostError,
    NotAcquiredError,
    NotHeldError,
    hold,
)


def taken(key: str, **options: Any) -> Lock:
    lock = Lock(key, **options)
    lock.acquire()
    return lock


def is_free(key: str, **options: Any) -> bool:
    lock = Lock(key, **options)
    try:
        return lock.try_acquire()
    finally:
        lock.close()


def test_shares_and_exclusive_locks(key: str, full_key: str) -> None:
    with hold(key, share=True) as one, hold(key, options={"mode": "share"}) as two:
        assert two.fencing_token > one.fencing_token
        assert one.slot is None
        assert not is_free(key)
    with hold(key):
        assert not is_free(key, share=True)
    support.nothing_left(full_key)


def test_a_limit_gives_slots(key: str, full_key: str) -> None:
    with hold(key, limit=2) as one:
        two = taken(key, share=True, limit=2)
        assert {one.slot, two.slot} == {0, 1}
        assert not is_free(key, limit=2)
        slot = two.slot
        two.close()
        assert two.slot == slot
        with hold(key, limit=2) as three:
            assert three.slot == slot
    assert Lock(key, limit=2).slot is None
    support.nothing_left(full_key)


def test_another_limit_is_a_conflict(key: str) -> None:
    with hold(key, limit=2):
        for way in (lambda: Lock(key, limit=3).try_acquire(), lambda: taken(key, limit=3, timeout=5)):
            with pytest.raises(ConflictError) as caught:
                way()
            told = caught.value
            assert (told.code, told.status, told.retryable) == (25, "CONFLICT", False)
            assert "2" in str(told)
            assert "3" in str(told)


def test_an_exclusive_lock_with_a_limit(key: str) -> None:
    with hold(key, share=False, limit=2) as lock:
        assert lock.slot is None
        assert not is_free(key, limit=2)
        lock.downgrade()
        assert lock.slot in (0, 1)
        assert is_free(key, limit=2)
        assert not is_free(key)


def test_downgrade_and_upgrade(key: str, full_key: str) -> None:
    with hold(key) as lock:
        tokens = [lock.fencing_token]
        lock.downgrade()
        tokens.append(lock.fencing_token)
        assert is_free(key, share=True)
        lock.upgrade()
        tokens.append(lock.fencing_token)
        assert not is_free(key, share=True)
        assert tokens == sorted(set(tokens))
        with pytest.raises(InvalidArgumentError):
            lock.upgrade()
        lock.downgrade()
        with pytest.raises(InvalidArgumentError):
            lock.downgrade()
        lock.check()
    support.nothing_left(full_key)


def test_an_upgrade_waits_for_the_others(key: str, full_key: str) -> None:
    reader = taken(key, share=True)
    with hold(key, share=True) as lock:
        for timeout in (0, 0.1):
            with pytest.raises(NotAcquiredError) as caught:
                lock.upgrade(timeout=timeout)
            assert caught.value.retryable
        assert is_free(key, share=True)
        caller = support.Caller(lambda: lock.upgrade(timeout=None))
        support.wait_until("the upgrade waits", lambda: not is_free(key, share=True))
        # Each would wait for the other.
        with pytest.raises(NotAcquiredError):
            reader.upgrade(timeout=60)
        assert lock.held
        assert caller.is_alive()
        reader.close()
        caller.outcome()
        assert not is_free(key, share=True)
    support.nothing_left(full_key)


def test_a_cancel_ends_an_upgrade_and_no_later_one(key: str) -> None:
    reader = taken(key, share=True)
    with hold(key, share=True) as lock:
        caller = support.Caller(lambda: lock.upgrade(timeout=60))
        support.wait_until("the upgrade waits", lambda: not is_free(key, share=True))
        lock.cancel()
        with pytest.raises(CancelledError):
            caller.outcome()
        assert is_free(key, share=True)
        reader.close()
        lock.upgrade(timeout=5)
        lock.check()


@pytest.mark.parametrize(("way", "raised"), [("release", NotHeldError), ("close", ClosedError)])
def test_the_end_of_a_lock_ends_its_upgrade(key: str, full_key: str, way: str, raised: type[Exception]) -> None:
    reader, lock = taken(key, share=True), taken(key, share=True)
    caller = support.Caller(lambda: lock.upgrade(timeout=60))
    support.wait_until("the upgrade waits", lambda: not is_free(key, share=True))
    getattr(lock, way)()
    with pytest.raises(raised):
        caller.outcome()
    reader.close()
    support.nothing_left(full_key)


def test_changes_of_a_lock_that_is_not_held(key: str, full_key: str) -> None:
    lock = Lock(key)
    for call in (lock.downgrade, lock.upgrade):
        with pytest.raises(NotHeldError) as caught:
            call()
        assert isinstance(caught.value, RuntimeError)
    lost = taken(key, monitor=False)
    support.delete(full_key)
    with pytest.raises(LostError):
        lost.downgrade()
    assert lost.lost
    lost.close()


def test_several_keys(key: str, full_key: str) -> None:
    names = [f"{key}-b", f"{key}-a"]
    full = [f"locks/ephemeral/{name}" for name in names]
    for sequence in ([*names, names[0]], tuple(names)):
        with hold(sequence) as lock:
            assert lock.keys == tuple(sorted(full))
            assert lock.key == min(full)
            assert {support.session_on(one) for one in full} == {lock.session_id}
            for name in names:
                assert not is_free(name)
            with pytest.raises(InvalidArgumentError):
                lock.downgrade()
            assert all(repr(one) in repr(lock) for one in full)
    for name in names:
        with hold(name):
            assert Lock(names, timeout=0.1).try_acquire() is False
        assert support.keys(f"locks/ephemeral/{name}") == []
    assert Lock([names[0]], share=True).keys == (full[0],)
    support.nothing_left(full_key)


def test_wrong_keys(key: str) -> None:
    for wrong in ([], [f"{key}-{number}" for number in range(31)], [key, "a//b"], [key, "a\0b"]):
        with pytest.raises(InvalidArgumentError):
            Lock(wrong)
    with pytest.raises(InvalidOptionError) as caught:
        Lock([key, f"{key}-b"], share=True)
    assert str(caught.value).startswith("share: ")
    with pytest.raises(InvalidOptionError) as caught:
        Lock([key, f"{key}-b"], limit=2)
    assert str(caught.value).startswith("limit: ")


def test_a_loss_of_a_share(key: str, full_key: str) -> None:
    told: queue.Queue[str] = queue.Queue()
    lock = Lock(key, share=True, monitor=False)
    lock.on_lost(told.put)
    lock.acquire()
    for row in support.keys(f"{full_key}/.share/"):
        support.delete(row)
    with pytest.raises(LostError):
        lock.check()
    assert told.get(timeout=10) == "KEY_GONE"
    lock.close()


def test_guarded_writes_of_a_share(key: str) -> None:
    with hold(key, limit=2) as lock:
        lock.put_if_held(f"{key}-data", "mine")
        assert support.value(f"{key}-data") == b"mine"
        lock.delete_if_held(f"{key}-data")
