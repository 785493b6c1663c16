"""Many cycles of the calls that wait leave no growth: memory, descriptors, threads, sessions in Consul."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from soak import assert_cycles_leave_nothing, assert_no_growth_of
from support import nothing_left

import consul_lock
from consul_lock import _events


class Interruption(Exception):
    """What the handler of the signal raises."""


@pytest.fixture
def handler() -> Iterator[None]:
    def interrupt(_number: int, _frame: object) -> None:
        raise Interruption

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def used_without_a_word(key: str) -> None:
    """Leaves the lock to the collector."""
    lock = consul_lock.Lock(key, lock_timeout=60, value="v")
    lock.acquire()
    lock.release()


def refused(key: str) -> None:
    with consul_lock.hold(key):
        for _ in range(2):
            assert not consul_lock.Lock(key).try_acquire()


def interrupted(key: str) -> None:
    """A signal ends a wait, whose lock goes to the collector."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.001, signal.pthread_kill, (main, signal.SIGUSR1))
    with consul_lock.hold(key), contextlib.suppress(Interruption):
        timer.start()
        consul_lock.Lock(key, timeout=60).acquire()
        pytest.fail("it was acquired")
    timer.join()


def changed(key: str) -> None:
    with consul_lock.hold(key, share=False, limit=2) as lock:
        lock.downgrade()
        lock.upgrade()


def closed_by_its_own_notice(key: str) -> None:
    """The callback and the lock refer to each other."""
    with consul_lock.hold(key) as lock:
        lock.on_lost(lambda _: lock.close())


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("handler")
def test_cycles(key: str) -> None:
    """Uses locks in every way."""

    def cycles(count: int) -> None:
        for _ in range(count // 10):
            for _ in range(4):
                closed_by_its_own_notice(key)
            for _ in range(2):
                used_without_a_word(key)
            refused(key)
            interrupted(key)
            changed(key)

    assert_cycles_leave_nothing(key, cycles)


def test_objects_of_the_library(key: str) -> None:
    """Native memory, which the collector does not see: a leak of any object grows in every round."""
    lock = consul_lock.Lock(key)

    def several() -> None:
        both = consul_lock.Lock([key, f"{key}-b"])
        assert len(both.keys) == 2
        both.close()

    def wrong_option() -> None:
        with contextlib.suppress(consul_lock.InvalidOptionError):
            consul_lock.Lock(key, options={"nonsense": 1})

    uses: dict[str, Callable[[], object]] = {
        "events and errors": lock.release,
        "locks and options": lambda: consul_lock.Lock(key, lock_timeout=60, value="a" * 100).close(),
        "locks of several keys": several,
        "errors of options": wrong_option,
        "notices": lambda: lock.on_lost(lambda _: None),
    }
    for what, use in uses.items():
        assert_no_growth_of(what, use, 20_000)


def test_clients() -> None:
    def use() -> None:
        with consul_lock.Client(session_name="soak") as client:
            client.stats()

    assert_no_growth_of("clients", use, 500)


def test_answers_of_consul(key: str, full_key: str) -> None:
    """Each answer has 20 KB, so few of them show a leak."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def observed() -> None:
        with consul_lock.observe(key, told.put):
            assert told.get(timeout=30) is not None
        while not told.empty():
            told.get()

    with consul_lock.hold(key, value="a" * 20_000):
        for what, use in {
            "holder": lambda: consul_lock.holder(key),
            "holders": lambda: consul_lock.holders(key),
            "observers": observed,
        }.items():
            assert_no_growth_of(what, use, 500)
    nothing_left(full_key)


def test_mailboxes_are_used_again(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with consul_lock.hold(key):
        pass
    monkeypatch.setattr(_events, "Mailbox", lambda: pytest.fail("a new one"))
    with consul_lock.hold(key):
        assert consul_lock.holder(key) is not None
