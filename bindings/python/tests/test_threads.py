"""Threads: the GIL is free while a call waits, and any thread may call any method at any time."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest
import support

import consul_lock
from consul_lock import ClosedError, Lock, NotHeldError, hold, stats


def test_other_threads_run_meanwhile(key: str, full_key: str, holding: Lock) -> None:
    lock = Lock(key, timeout=60)
    caller = support.waiting(lock, full_key)
    count = 0
    begun = time.monotonic()
    while time.monotonic() - begun < 0.5:
        count += 1
    assert count > 10_000
    assert caller.is_alive()
    lock.cancel()
    with pytest.raises(consul_lock.CancelledError):
        caller.outcome()


def test_a_wait_costs_no_time_of_the_processor(key: str, holding: Lock) -> None:
    # A program, so that the threads of other tests do not count.
    spent = support.run(
        """
        def wait(seconds):
            before = time.process_time()
            assert not consul_lock.Lock(sys.argv[1], timeout=seconds).try_acquire()
            return time.process_time() - before
        wait(0)
        print(wait(2))
        """,
        key,
    )
    assert float(spent) < 0.3


def test_waits_cost_no_threads(key: str, full_key: str, holding: Lock) -> None:
    locks = [Lock(key, timeout=60) for _ in range(40)]
    callers = [support.Caller(lock.acquire) for lock in locks]
    support.wait_until("all wait", lambda: stats()["waiting"] >= 40)
    others = len(os.listdir("/proc/self/task")) - threading.active_count()
    # docs/threading.md: 32 at most
    assert others < 33
    for lock in locks:
        lock.cancel()
    for caller in callers:
        with pytest.raises(consul_lock.CancelledError):
            caller.outcome()
    support.wait_until("the line is empty", lambda: not support.waits(full_key))


def test_fifty_threads_contend(key: str, full_key: str) -> None:
    inside = most = 0
    tokens: list[int] = []

    def work() -> None:
        nonlocal inside, most
        with hold(key, timeout=60) as lock:
            inside += 1
            most = max(most, inside)
            tokens.append(lock.fencing_token)
            time.sleep(0.001)
            inside -= 1

    callers = [support.Caller(work) for _ in range(50)]
    for caller in callers:
        caller.outcome(60)
    assert most == 1
    assert len(tokens) == 50
    assert tokens == sorted(set(tokens))
    support.nothing_left(full_key)


def test_eight_threads_on_one_lock(key: str, full_key: str) -> None:
    for _ in range(support.RUNS):
        lock = Lock(key, timeout=5)
        start = threading.Barrier(8)
        won: list[bool] = []

        def acquire(lock: Lock = lock, start: threading.Barrier = start, won: list[bool] = won) -> None:
            start.wait()
            try:
                lock.acquire()
                won.append(True)
            except consul_lock.AlreadyUsedError:
                won.append(False)

        callers = [support.Caller(acquire) for _ in range(8)]
        for caller in callers:
            caller.outcome()
        assert sorted(won) == [False] * 7 + [True]
        lock.check()
        released = [support.Caller(lock.release) for _ in range(8)]
        assert [caller.outcome() for caller in released].count(True) == 1
        lock.close()
    support.nothing_left(full_key)


def test_a_close_while_other_threads_call(key: str, full_key: str) -> None:
    for _ in range(support.RUNS):
        lock = Lock(key)
        lock.acquire()

        def call(lock: Lock = lock) -> None:
            while True:
                assert lock.held in (True, False)
                assert lock.remaining >= 0
                assert not lock.lost
                assert len(lock.session_id) == 36
                assert lock.fencing_token > 0
                assert repr(lock)
                lock.check()

        callers = [support.Caller(call) for _ in range(4)]
        ends = [support.Caller(lock.close), support.Caller(lock.release)]
        for end in ends:
            end.outcome()
        for caller in callers:
            with pytest.raises((ClosedError, NotHeldError)):
                caller.outcome()
        lock.close()
    support.nothing_left(full_key)


def test_an_abandon_while_other_threads_call(key: str, full_key: str) -> None:
    for _ in range(support.RUNS):
        lock = Lock(key)
        lock.acquire()
        session = lock.session_id

        def call(lock: Lock = lock, session: str = session) -> None:
            while lock.session_id == session and lock.keys and repr(lock):
                lock.check()

        callers = [support.Caller(call) for _ in range(4)]
        time.sleep(0.002)
        lock.abandon()
        for caller in callers:
            with pytest.raises((ClosedError, NotHeldError)):
                caller.outcome()
        support.end_session_of(full_key)


def test_a_lock_goes_from_thread_to_thread(key: str) -> None:
    lock = Lock(key)
    support.Caller(lock.acquire).outcome()
    support.Caller(lock.renew).outcome()
    assert support.Caller(lock.release).outcome() is True


def test_an_exception_of_another_thread(key: str, full_key: str, holding: Lock) -> None:
    # PyThreadState_SetAsyncExc, with which some programs end their threads, ends a wait, too. PyPy has none.
    if sys.implementation.name != "cpython":
        return
    import ctypes

    class Enough(BaseException):
        pass

    lock = Lock(key, timeout=None)
    caller = support.waiting(lock, full_key)
    assert caller.ident is not None
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(caller.ident), ctypes.py_object(Enough)) == 1
    with pytest.raises(Enough):
        caller.outcome(support.AT_ONCE)
    assert not lock.held
    support.wait_until("the line is empty", lambda: not support.waits(full_key))
