"""The sync interface of a lock. bindings/conformance tests the rules that all languages share."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import support

import consul_lock
from consul_lock import (
    AlreadyUsedError,
    CancelledError,
    ClosedError,
    InvalidArgumentError,
    Lock,
    LostError,
    NotAcquiredError,
    NotHeldError,
    ValueFailedError,
    _lock,
    defaults,
    hold,
    holder,
)


def test_a_with_holds_and_releases(key: str, full_key: str) -> None:
    with hold(key) as lock:
        assert lock.held
        assert lock.session_id == support.session_on(full_key)
    assert support.session_on(full_key) is None
    support.nothing_left(full_key)


def test_a_lock_is_a_with_itself(key: str, full_key: str) -> None:
    lock = Lock(key)
    with lock as same:
        assert same is lock
        assert support.session_on(full_key) == lock.session_id
    assert lock.closed


def test_each_way_out_of_the_block_releases(key: str, full_key: str) -> None:
    def returning() -> int:
        with hold(key):
            return 7

    def breaking() -> None:
        while True:
            with hold(key):
                break

    def generating() -> None:
        def inner() -> Any:
            with hold(key):
                yield 1

        made = inner()
        next(made)
        assert support.session_on(full_key)
        made.close()

    for way in (returning, breaking, generating):
        way()
        assert support.session_on(full_key) is None


def test_the_blocks_own_error_goes_first_and_the_lock_is_released(key: str, full_key: str) -> None:
    with pytest.raises(KeyError, match="own"), hold(key):
        support.delete(full_key)
        raise KeyError("own")
    support.nothing_left(full_key)


def test_a_loss_during_the_block_raises(key: str, full_key: str) -> None:
    with pytest.raises(LostError) as caught, hold(key) as lock:
        support.delete(full_key)
    assert caught.value.reason == "KEY_GONE"
    assert lock.closed
    assert lock.lost
    assert lock.lost_reason == "KEY_GONE"


def test_the_block_does_not_run_without_the_lock(key: str, holding: Lock) -> None:
    with pytest.raises(NotAcquiredError), hold(key):
        pytest.fail("it ran")


def test_a_closed_lock(key: str) -> None:
    with hold(key) as lock:
        token, session = lock.fencing_token, lock.session_id
    assert (lock.closed, lock.held, lock.lost, lock.lost_reason, lock.remaining) == (True, False, False, None, 0.0)
    assert (lock.fencing_token, lock.session_id, lock.slot) == (token, session, None)
    calls: list[Callable[[], object]] = [
        lock.acquire,
        lock.try_acquire,
        lock.renew,
        lock.check,
        lock.downgrade,
        lock.upgrade,
        lambda: lock.put_if_held("a", "b"),
        lambda: lock.delete_if_held("a"),
        lambda: lock.on_lost(print),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="is closed") as caught:
            call()
        assert (caught.value.status, caught.value.code, caught.value.retryable) == ("CLOSED", 0, False)
    assert lock.release() is False
    lock.close()
    lock.abandon()
    lock.cancel()


def test_try_acquire(key: str, holding: Lock) -> None:
    assert Lock(key).try_acquire() is False
    with pytest.raises(NotAcquiredError) as caught:
        Lock(key).acquire()
    told = caught.value
    assert (told.code, told.status, told.retryable, told.http_status) == (20, "NOT_ACQUIRED", True, None)
    assert "this very process" in str(told)
    holding.release()
    with Lock(key) as lock:
        assert lock.held
    lock = Lock(key)
    assert lock.try_acquire() is True
    lock.close()


def test_its_answers_before_during_and_after(key: str, full_key: str) -> None:
    lock = Lock(key, lock_timeout=60)
    facts = lambda: (lock.held, lock.lost, lock.remaining, lock.fencing_token, lock.session_id, lock.key)  # noqa: E731
    assert facts() == (False, False, 0.0, 0, "", full_key)
    assert lock.release() is False
    lock.acquire()
    assert 50 < lock.remaining <= 60
    assert (lock.held, lock.lost, lock.keys) == (True, False, (full_key,))
    session = lock.session_id
    assert len(session) == 36
    lock.renew()
    lock.check()
    assert lock.release() is True
    assert lock.release() is False
    assert facts() == (False, False, 0.0, lock.fencing_token, session, full_key)
    assert lock.fencing_token > 0
    lock.close()


def test_a_lost_lock_is_lost(key: str, full_key: str) -> None:
    lock = Lock(key, monitor=False)
    lock.acquire()
    support.delete(full_key)
    with pytest.raises(LostError) as caught:
        lock.check()
    assert caught.value.reason == "KEY_GONE"
    assert (lock.lost, lock.held, lock.lost_reason) == (True, False, "KEY_GONE")
    with pytest.raises(LostError):
        lock.release()
    assert lock.release() is False
    assert lock.lost
    lock.close()
    assert (lock.lost, lock.lost_reason) == (True, "KEY_GONE")


def test_an_ended_session_is_a_loss(key: str, full_key: str) -> None:
    lock = Lock(key, monitor=False)
    lock.acquire()
    support.end_session_of(full_key)
    with pytest.raises(LostError) as caught:
        lock.renew()
    assert caught.value.reason == "SESSION_GONE"
    lock.close()


def test_a_release_before_the_acquire_hides_no_later_loss(key: str, full_key: str) -> None:
    lock = Lock(key, monitor=False)
    assert lock.release() is False
    lock.acquire()
    support.delete(full_key)
    with pytest.raises(LostError):
        lock.put_if_held(f"{key}-data", "")
    assert lock.lost
    lock.close()


def test_close_does_not_raise_and_releases(key: str, full_key: str) -> None:
    lock = Lock(key)
    lock.acquire()
    lock.close()
    assert support.session_on(full_key) is None
    lock = Lock(key)
    lock.acquire()
    support.delete(full_key)
    lock.close()
    assert lock.lost


def test_a_second_acquire_changes_nothing(key: str, full_key: str) -> None:
    lock = Lock(key)
    lock.acquire()
    for again in (lock.acquire, lock.try_acquire):
        with pytest.raises(AlreadyUsedError):
            again()
    assert (lock.held, lock.lost) == (True, False)
    lock.check()
    lock.close()
    assert support.session_on(full_key) is None


def test_abandon_leaves_the_lock_to_its_life(key: str, full_key: str) -> None:
    lock = Lock(key)
    lock.acquire()
    session = lock.session_id
    lock.abandon()
    assert support.session_on(full_key) == session == lock.session_id
    assert (lock.closed, lock.held, lock.lost, lock.key, lock.keys) == (True, False, False, full_key, (full_key,))
    support.end_session_of(full_key)


def test_an_abandon_in_the_block_is_the_end(key: str, full_key: str) -> None:
    with hold(key) as lock:
        lock.abandon()
    assert support.session_on(full_key) == lock.session_id
    support.end_session_of(full_key)


def test_a_timeout_waits_so_long(key: str, holding: Lock) -> None:
    for timeout in (0.3, timedelta(milliseconds=300)):
        begun = time.monotonic()
        assert Lock(key, timeout=timeout).try_acquire() is False
        assert time.monotonic() - begun >= 0.29


def test_a_waiter_gets_the_lock(key: str, full_key: str, holding: Lock) -> None:
    lock = Lock(key, timeout=None)
    caller = support.waiting(lock, full_key)
    holding.release()
    caller.outcome()
    assert lock.held
    lock.close()


def test_cancel_ends_a_wait_and_is_sticky(key: str, full_key: str, holding: Lock) -> None:
    lock = Lock(key, timeout=None)
    caller = support.waiting(lock, full_key)
    lock.cancel()
    with pytest.raises(CancelledError):
        caller.outcome(support.AT_ONCE)
    unused = Lock(key)
    unused.cancel()
    with pytest.raises(CancelledError):
        unused.acquire()
    holding.cancel()
    holding.check()
    support.wait_until("the line is empty", lambda: not support.waits(full_key))


@pytest.mark.parametrize("way", ["close", "abandon"])
def test_a_close_ends_an_acquire_of_another_thread(key: str, full_key: str, holding: Lock, way: str) -> None:
    for _ in range(5):
        lock = Lock(key, timeout=None)
        caller = support.waiting(lock, full_key)
        with support.within(support.AT_ONCE):
            getattr(lock, way)()
        with pytest.raises(ClosedError) as caught:
            caller.outcome(support.AT_ONCE)
        assert isinstance(caught.value.__cause__, (CancelledError, NotHeldError))
        support.wait_until("the line is empty", lambda: not support.waits(full_key))


def test_a_release_ends_an_acquire_of_another_thread(key: str, full_key: str, holding: Lock) -> None:
    lock = Lock(key, timeout=None)
    caller = support.waiting(lock, full_key)
    lock.release()
    with pytest.raises(CancelledError):
        caller.outcome(support.AT_ONCE)
    lock.close()


def test_guarded_writes(key: str) -> None:
    with hold(key) as lock:
        for given, stored in ((b"a\0\xff", b"a\0\xff"), ("ü\0", "ü\0".encode()), (bytearray(b"x"), b"x"), (b"", b"")):
            lock.put_if_held(f"{key}-data", given)  # type: ignore[arg-type]
            assert support.value(f"{key}-data") == stored
        lock.delete_if_held(f"{key}-data")
        lock.delete_if_held(f"{key}-data")
        assert support.value(f"{key}-data") is None
        with pytest.raises(InvalidArgumentError):
            lock.put_if_held(f"{key}-data", "a" * 400_000)
        with pytest.raises(InvalidArgumentError):
            lock.put_if_held("a\0b", "")
        with pytest.raises(InvalidArgumentError):
            lock.delete_if_held("a//b")
        for wrong in (None, 7, ["a"]):
            with pytest.raises(TypeError):
                lock.put_if_held(f"{key}-data", wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                lock.delete_if_held(wrong)  # type: ignore[arg-type]
    unheld = Lock(key)
    with pytest.raises(NotHeldError):
        unheld.put_if_held(f"{key}-data", "")
    with pytest.raises(NotHeldError):
        unheld.renew()


@pytest.mark.parametrize("wrong", [b"key", Path("key"), 5, None, True])
def test_keys_of_another_type(wrong: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Lock(wrong)
    assert str(caught.value) == f"key must be a str or a sequence of str, not {type(wrong).__name__}"


def test_keys_that_are_refused(key: str) -> None:
    for wrong in ("", "a\0b", "a//b", "/a", "\ud800"):
        with pytest.raises(InvalidArgumentError):
            Lock(wrong)
        with pytest.raises(InvalidArgumentError):
            holder(wrong)
    for wrong in (None, 7, b"a", [7], [b"a"], [None]):
        with pytest.raises(TypeError):
            Lock(wrong)  # type: ignore[arg-type]
    assert Lock(f"{key}-ü").key == f"locks/ephemeral/{key}-ü"


def test_the_generator_runs_on_the_thread_that_acquires(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def generate() -> str:
        threads.append(threading.current_thread())
        return "made here"

    monkeypatch.setattr(defaults, "generate_value", generate)
    lock = Lock(key)
    caller = support.Caller(lock.acquire)
    caller.outcome()
    found = holder(key)
    assert found is not None
    assert found.value == b"made here"
    assert threads == [caller]
    lock.close()
    with hold(key, value="fixed"):
        found = holder(key)
        assert found is not None
        assert found.value == b"fixed"
    assert len(threads) == 1


def test_a_generator_that_fails_leaves_the_lock_unused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = KeyError("s3cret")

    def fail() -> str:
        raise own

    answers: list[Callable[[], Any]] = [fail, lambda: None, lambda: 7, lambda: "a" * 400_000, lambda: "\ud800"]
    answers.append(lambda: "good")
    monkeypatch.setattr(defaults, "generate_value", lambda: answers.pop(0)())
    lock = Lock(key)
    problems = []
    for _ in range(5):
        with pytest.raises(ValueFailedError) as caught:
            lock.acquire()
        problems.append(caught.value)
    assert problems[0].__cause__ is own
    assert "KeyError" in str(problems[0])
    assert not any("s3cret" in str(problem) for problem in problems)
    assert {(problem.code, problem.status) for problem in problems} == {(5, "VALUE_FAILED")}
    lock.acquire()
    assert lock.release()


def test_a_close_releases_what_was_acquired_during_a_release_of_nothing(
    key: str, full_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _lock.ask

    def ask(*arguments: Any, **keywords: Any) -> bool:
        try:
            return own(*arguments, **keywords)
        except NotHeldError:
            # As another thread does just then.
            lock.acquire()
            raise

    lock = Lock(key)
    monkeypatch.setattr(_lock, "ask", ask)
    assert lock.release() is False
    assert lock.held
    lock.close()
    assert support.session_on(full_key) is None


@pytest.mark.parametrize("way", ["close", "abandon"])
def test_a_lock_that_ends_while_its_value_is_made_is_not_acquired(
    key: str, full_key: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def generate() -> str:
        # As another thread does.
        getattr(lock, way)()
        return "value"

    monkeypatch.setattr(defaults, "generate_value", generate)
    lock = Lock(key)
    with pytest.raises(ClosedError):
        lock.acquire()
    assert not lock.held
    assert support.session_on(full_key) is None


def test_a_generator_may_use_locks_itself(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate() -> str:
        with hold(f"{key}-other", value="") as lock:
            return str(lock.fencing_token)

    monkeypatch.setattr(defaults, "generate_value", generate)
    with hold(key):
        found = holder(key)
        assert found is not None
        assert int(found.value) > 0


def test_it_cannot_be_copied_or_pickled(key: str) -> None:
    for it in (Lock(key), consul_lock.Client()):
        for way in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot be"):
                way(it)  # type: ignore[operator]


def test_repr(key: str, full_key: str) -> None:
    lock = Lock(key, lock_timeout=60, value="s3cret")
    assert repr(lock) == f"<consul_lock.Lock '{full_key}' not held>"
    lock.acquire()
    assert repr(lock) in [f"<consul_lock.Lock '{full_key}' held, {left} s left>" for left in (58, 59, 60)]
    support.delete(full_key)
    with pytest.raises(LostError):
        lock.check()
    assert repr(lock) == f"<consul_lock.Lock '{full_key}' lost, KEY_GONE>"
    other = Lock(key)
    other.close()
    assert repr(other) == f"<consul_lock.Lock '{full_key}' closed>"
    lock.close()


def test_a_lock_whose_making_failed_says_what_it_is() -> None:
    # The debugger shows such an object, too.
    unmade = Lock.__new__(Lock)
    assert "not held" in repr(unmade)
    assert (unmade.held, unmade.closed, unmade.lost) == (False, False, False)


def test_an_interrupted_wait_of_a_thread_pool(key: str, holding: Lock) -> None:
    # A second close and a release at once, from several threads.
    for _ in range(support.RUNS):
        lock = Lock(f"{key}-other")
        lock.acquire()
        callers = [support.Caller(way) for way in (lock.close, lock.release, lock.close, lock.release)]
        told = [caller.outcome() for caller in callers]
        assert [one for one in told if one is not None].count(True) <= 2
        assert support.session_on(f"locks/ephemeral/{key}-other") is None
