"""A child of fork holds none of its parent's locks, and takes its own.

From Python 3.12 on `os.fork` gives a DeprecationWarning in a process with several threads, and the threads of this
package count (the library's own threads too, as Python counts what /proc/self/task has). The warning is about mutexes
that stay locked in the child. The library makes its own safe at each fork, so that a program with this package may
ignore the warning; `multiprocessing` with "spawn" or "forkserver", which is the default from 3.14 on, has none.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import warnings
from typing import Any

import pytest
import support

import consul_lock
from consul_lock import Client, ForkedError, Lock, LostError, hold, holder, observe, stats

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of f.*:DeprecationWarning")


def use_a_lock(key: str) -> tuple[bool, int]:
    """What a worker does."""
    with hold(key, timeout=30) as lock:
        return lock.held, lock.fencing_token


def test_as_in_a_preloading_server(key: str, full_key: str) -> None:
    client = Client()
    with hold(key, value="parent", client=client) as lock:

        def work(number: int) -> Any:
            with client.hold(f"{key}-{number}") as own:
                found = holder(key)
                return own.held, own.session_id != lock.session_id, found is not None and found.value

        children = [support.Child(lambda number=number: work(number)) for number in range(3)]
        assert [child.told() for child in children] == ["(True, True, b'parent')"] * 3
        lock.check()
    support.nothing_left(full_key)


def test_as_in_a_forking_worker(key: str, full_key: str) -> None:
    for _ in range(support.RUNS):
        assert support.Child(lambda: use_a_lock(key)[0]).told() == "True"
    with hold(key):
        pass
    support.nothing_left(full_key)


def test_the_parents_lock_is_not_the_childs(key: str, full_key: str, holding: Lock) -> None:
    def ask() -> Any:
        told = []
        for call in (
            holding.acquire,
            holding.release,
            holding.renew,
            holding.check,
            holding.downgrade,
            holding.upgrade,
            lambda: holding.put_if_held("a", "b"),
            lambda: holding.on_lost(print),
        ):
            with pytest.raises(ForkedError) as caught:
                call()
            told.append(caught.value.status)
        assert isinstance(caught.value, RuntimeError)
        facts = [holding.held, holding.lost, holding.remaining, holding.slot, holding.key == full_key]
        return set(told), facts, repr(holding).endswith("not held>"), holding.close(), holding.closed

    assert support.Child(ask).told() == "({'FORKED'}, [False, False, 0.0, None, True], True, None, True)"
    holding.check()


def test_leaving_a_with_in_the_child_does_nothing_to_the_parents_lock(key: str, full_key: str) -> None:
    told = support.run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            with consul_lock.hold(sys.argv[1]) as lock:
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
                    lock.check()
                    print("still held")
        except consul_lock.ForkedError:
            print("not the child's")
        """,
        key,
    )
    assert told.split("\n") == ["not the child's", "still held", ""]
    assert support.session_on(full_key) is None


@pytest.mark.parametrize("way", ["sys.exit(3)", "os._exit(3)", "raise KeyError", "os.kill(os.getpid(), 9)"])
def test_the_end_of_a_child_releases_nothing(key: str, way: str) -> None:
    program = support.Program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        lock = consul_lock.Lock(sys.argv[1])
        lock.acquire()
        child = os.fork()
        if child == 0:
            exec(sys.argv[2])
        os.waitpid(child, 0)
        lock.check()
        lock.close()
        print("held")
        """,
        key,
        way,
        options=("-W", "error::ResourceWarning"),
    )
    status, out, said = program.end()
    assert (status, out) == (0, "held\n")
    assert said == "" or (way == "raise KeyError" and said.endswith("KeyError\n"))


def test_the_collector_in_the_child(key: str) -> None:
    lock: Lock | None = Lock(key)
    assert lock is not None
    lock.acquire()

    def drop() -> Any:
        nonlocal lock
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lock = None
            gc.collect()
            return [str(one.message) for one in caught]

    assert support.Child(drop).told() == "[]"
    lock.check()
    lock.close()


def test_a_fork_while_other_threads_wait(key: str, full_key: str, holding: Lock) -> None:
    locks = [Lock(key, timeout=60) for _ in range(4)]
    callers = [support.Caller(lock.acquire) for lock in locks]
    support.wait_until("all wait", lambda: stats()["waiting"] >= 4)
    for _ in range(support.RUNS // 4):
        assert support.Child(lambda: Lock(key).try_acquire()).told() == "False"
        assert support.Child(lambda: use_a_lock(f"{key}-own")[0]).told() == "True"
    for lock in locks:
        lock.cancel()
    for caller in callers:
        with pytest.raises(consul_lock.CancelledError):
            caller.outcome()
    holding.check()
    holding.close()
    support.nothing_left(full_key)


def test_a_fork_while_other_threads_work(key: str) -> None:
    stop = threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            with hold(f"{key}-{number}") as lock:
                lock.on_lost(print)

    callers = [support.Caller(lambda number=number: work(number)) for number in range(3)]
    try:
        for _ in range(support.RUNS):
            assert support.Child(lambda: use_a_lock(f"{key}-own")[0]).told() == "True"
    finally:
        stop.set()
    for caller in callers:
        caller.outcome()


def test_a_child_of_a_child(key: str, holding: Lock) -> None:
    def inner() -> Any:
        return support.Child(lambda: use_a_lock(f"{key}-own")[0]).told()

    assert support.Child(inner).told() == "'True'"
    assert support.Child(lambda: (use_a_lock(f"{key}-own")[0], inner())).told() == "(True, 'True')"
    holding.check()


def test_a_daemon(key: str, full_key: str) -> None:
    # As python-daemon does: two forks, a new session, and all descriptors closed.
    program = support.Program(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        consul_lock.hold(sys.argv[1] + "-before").__enter__().close()
        lock = consul_lock.Lock(sys.argv[1])
        lock.on_lost(print)
        lock.acquire()
        out, enter = os.pipe()
        if os.fork():
            print(os.read(out, 100).decode())
            lock.check()
            lock.close()
            sys.exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        os.dup2(enter, 250)
        os.closerange(3, 250)
        files = [open("/dev/zero", "rb") for _ in range(40)]
        seen = threading.Event()
        with consul_lock.hold(sys.argv[1] + "-own") as own:
            observer = consul_lock.observe(sys.argv[1] + "-own", lambda holder: seen.set())
            told = [own.held, lock.held, seen.wait(20)]
            observer.close()
        told.append(all(file.read(1) == b"\\0" for file in files))
        os.write(250, repr(told).encode())
        os._exit(0)
        """,
        key,
    )
    assert program.end() == (0, "[True, False, True, True]\n", "")
    assert support.session_on(full_key) is None


def test_notices_observers_and_the_log_in_the_child(key: str, caplog: pytest.LogCaptureFixture) -> None:
    told: queue.Queue[object] = queue.Queue()
    with hold(key) as lock, observe(key, told.put):
        lock.on_lost(print)
        assert told.get(timeout=30) is not None

        def work() -> Any:
            lines: list[str] = []
            handler = logging.Handler()
            handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
            logging.getLogger("consul_lock").addHandler(handler)
            seen: queue.Queue[object] = queue.Queue()
            observe(f"{key}-own", seen.put)
            own = Lock(f"{key}-own", monitor=False)
            lost: queue.Queue[str] = queue.Queue()
            own.on_lost(lost.put)
            assert seen.get(timeout=20) is None
            own.acquire()
            assert seen.get(timeout=20) is not None
            support.delete(own.key)
            with pytest.raises(LostError):
                own.check()
            reason = lost.get(timeout=20)
            support.wait_until("a line comes", lambda: any(own.key in line for line in lines), patience=20)
            return reason, told.empty()

        assert support.Child(work).told() == "('KEY_GONE', True)"
        lock.check()
    assert not any(f"{key}-own" in line for line in caplog.messages)


def test_a_handler_of_a_signal_that_forks(key: str, holding: Lock, full_key: str) -> None:
    # A child that leaves the handler goes on in the wait, for an outcome that is the parent's.
    children: list[int] = []

    def handler(*_: object) -> None:
        pid = support.fork()
        if pid == 0:
            os._exit(3)
        children.append(pid)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        lock = Lock(key, timeout=None)

        def send() -> None:
            support.wait_until("it waits", lambda: support.waits(full_key))
            os.kill(os.getpid(), signal.SIGUSR1)
            support.wait_until("it has forked", lambda: children)
            holding.release()

        caller = support.Caller(send)
        lock.acquire()
        caller.outcome()
        lock.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 3


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(key: str, full_key: str, method: str) -> None:
    with hold(f"{key}-parents") as lock:
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            told = pool.map(use_a_lock, [key] * 6)
        assert all(held for held, _ in told)
        assert len({token for _, token in told}) == 6
        lock.check()
    if method == "forkserver":
        # Its server ends with the last descriptor.
        from multiprocessing import forkserver

        with contextlib.suppress(AttributeError):
            forkserver._forkserver._stop()  # type: ignore[attr-defined]
    assert support.session_on(full_key) is None


def fail(key: str) -> None:
    """Raises what a lock raises."""
    with hold(key):
        pass


def test_errors_come_out_of_pools(key: str, holding: Lock) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(consul_lock.NotAcquiredError) as caught:
        pool.apply(fail, (key,))
    told = caught.value
    assert (told.code, told.status, told.retryable, told.http_status) == (20, "NOT_ACQUIRED", True, None)
    assert key in str(told)


def test_many_forks_with_locks_held_never_crash(key: str) -> None:
    program = """
        import gc, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        key = f"{sys.argv[1]}-{os.getpid()}"
        locks = [consul_lock.Lock(f"{key}-{number}") for number in range(3)]
        for lock in locks:
            lock.acquire()
            lock.on_lost(lambda reason: os._exit(9))
        waiting = consul_lock.Lock(f"{key}-0", timeout=60)
        threading.Thread(target=lambda: waiting.try_acquire() and waiting.release(), daemon=True).start()

        def drop():
            global locks
            locks = None
            gc.collect()
            sys.exit(3)

        def own():
            with consul_lock.hold(f"{key}-own") as lock:
                sys.exit(3 if lock.held else 4)

        def close():
            for lock in locks:
                lock.close()
            os._exit(3)

        statuses = []
        for work in (lambda: sys.exit(3), drop, own, close):
            child = os.fork()
            if child == 0:
                work()
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        for lock in locks:
            lock.check()
            lock.release()
        sys.exit(3 if statuses == [3, 3, 3, 3] else 5)
    """
    for _ in range(support.RUNS // 2):
        programs = [support.Program(program, key) for _ in range(2)]
        for one in programs:
            assert one.end() == (3, "", ""), sys.version
