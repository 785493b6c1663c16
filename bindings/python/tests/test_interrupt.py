"""Ctrl-C and the exceptions of signal handlers end a wait at once, and leave nothing behind."""

from __future__ import annotations

import contextlib
import dis
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import support

import consul_lock
from consul_lock import (
    AlreadyUsedError,
    CancelledError,
    Client,
    ClosedError,
    Lock,
    NoResourcesError,
    NotAcquiredError,
    _dispatcher,
    _events,
    hold,
    holder,
    holders,
    observe,
    stats,
)


class Enough(BaseException):
    """What the handlers of the tests raise."""


@contextlib.contextmanager
def handling(handler: Callable[[], object], name: int = signal.SIGUSR1) -> Iterator[None]:
    """A handler for a signal."""
    before = signal.signal(name, lambda *_: handler() and None)
    try:
        yield
    finally:
        signal.signal(name, before)


def stop() -> None:
    raise Enough


def later(full_key: str, check: Callable[[], object] | None = None) -> None:
    """Sends SIGUSR1 as soon as an acquire waits in the line."""
    check = check or (lambda: support.waits(full_key))

    def send() -> None:
        support.wait_until("it waits", check)
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=send, daemon=True).start()


def line_is_empty(full_key: str) -> None:
    support.wait_until("the line is empty", lambda: not support.waits(full_key))


# ---- Signals to programs


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("with consul_lock.hold(sys.argv[1], timeout=None, lock_timeout=10): pass", -signal.SIGINT),
        ("consul_lock.Lock(sys.argv[1], timeout=60, lock_timeout=10).acquire()", -signal.SIGINT),
        ("consul_lock.Lock(sys.argv[1], timeout=60, lock_timeout=10).try_acquire()", -signal.SIGINT),
        (
            """
            def end(*_):
                raise SystemExit(7)
            signal.signal(signal.SIGINT, end)
            with consul_lock.hold(sys.argv[1], timeout=None, lock_timeout=10): pass
            """,
            7,
        ),
    ],
)
def test_ctrl_c_ends_a_program_that_waits(key: str, full_key: str, holding: Lock, text: str, status: int) -> None:
    program = support.Program(text, key)
    support.wait_until("it waits", lambda: support.waits(full_key))
    with support.within(support.AT_ONCE):
        program.process.send_signal(signal.SIGINT)
        ended, _, said = program.end()
    assert ended == status, said
    assert ("KeyboardInterrupt" in said) == (status == -signal.SIGINT)
    line_is_empty(full_key)
    assert support.keys(full_key) == [full_key]
    holding.check()
    support.wait_until("no session is left", lambda: not support.sessions_of(program.pid))


def test_sigterm_releases_what_the_program_holds(key: str, full_key: str) -> None:
    program = support.Program(
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        with consul_lock.hold(sys.argv[1]) as lock:
            try:
                print("held", flush=True)
                time.sleep(60)
            finally:
                print(lock.held)
        """,
        key,
    )
    assert program.line() == "held"
    program.process.terminate()
    assert program.end()[:2] == (5, "True\n")
    assert support.session_on(full_key) is None


# ---- Signals to this process


@pytest.mark.parametrize("way", ["acquire", "try_acquire", "__enter__"])
def test_a_waiting_acquire(key: str, full_key: str, holding: Lock, way: str) -> None:
    lock = Lock(key, timeout=None)
    with handling(stop):
        later(full_key)
        with support.within(support.AT_ONCE), pytest.raises(Enough):
            getattr(lock, way)()
    line_is_empty(full_key)
    assert not lock.held
    assert not lock.lost
    assert lock.release() is False
    with pytest.raises((AlreadyUsedError, CancelledError)):
        lock.acquire()
    holding.check()
    holding.close()
    support.nothing_left(full_key)


def test_a_waiting_acquire_of_a_share_and_of_several_keys(key: str, full_key: str, holding: Lock) -> None:
    for lock in (Lock(key, timeout=None, share=True), Lock([key, f"{key}-b"], timeout=None)):
        with handling(stop):
            later(full_key, lambda: support.waits(full_key) or support.waits(f"{full_key}-b"))
            with support.within(support.AT_ONCE), pytest.raises(Enough):
                lock.acquire()
        line_is_empty(full_key)
        line_is_empty(f"{full_key}-b")


def test_inside_of_a_request(key: str, full_key: str, gate: support.Gate) -> None:
    client = Client(gate.address)
    gate.shut = True
    lock = client.lock(key)
    calls: list[Callable[[], object]] = [
        lock.acquire,
        lambda: client.holder(key),
        lambda: client.holders(key),
        lambda: client.hold(key).__enter__(),
    ]
    with handling(stop, signal.SIGALRM):
        for call in calls:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with support.within(support.AT_ONCE), pytest.raises(Enough):
                call()
    gate.shut = False
    support.nothing_left(full_key)


def test_a_release_goes_on(key: str, full_key: str, gate: support.Gate) -> None:
    client = Client(gate.address, release_timeout=60)
    for way in ("release", "close", "__exit__"):
        lock = client.lock(key)
        lock.acquire()
        gate.shut = True
        with handling(stop, signal.SIGALRM), support.within(support.AT_ONCE), pytest.raises(Enough):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            if way == "__exit__":
                lock.__exit__(None, None, None)
            else:
                getattr(lock, way)()
        assert (lock.held, lock.lost) == (False, False)
        with support.within(support.AT_ONCE):
            lock.close()
        assert support.keys(full_key) == [full_key]
        gate.shut = False
        support.wait_until("it is released", lambda: not support.keys(full_key))
    support.nothing_left(full_key)


def test_an_upgrade_leaves_a_share(key: str, full_key: str) -> None:
    with hold(key, share=True) as share, hold(key, share=True) as lock:
        for _ in range(3):
            with handling(stop):
                later(full_key, lambda: support.session_on(full_key))
                with support.within(support.AT_ONCE), pytest.raises(Enough):
                    lock.upgrade(timeout=None)
            assert support.session_on(full_key) is None
            assert lock.held
            assert share.held
        share.release()
        lock.upgrade()
        assert support.session_on(full_key) == lock.session_id
    support.nothing_left(full_key)


@pytest.mark.parametrize(
    ("way", "raised"),
    [("cancel", CancelledError), ("release", CancelledError), ("close", ClosedError), ("abandon", ClosedError)],
)
def test_a_handler_that_ends_the_wait_by_a_method(
    key: str, full_key: str, holding: Lock, way: str, raised: type[Exception]
) -> None:
    lock = Lock(key, timeout=None)
    with handling(getattr(lock, way)):
        later(full_key)
        with support.within(support.AT_ONCE), pytest.raises(raised):
            lock.acquire()
    line_is_empty(full_key)
    holding.check()


def test_a_handler_that_uses_other_locks(key: str, full_key: str, holding: Lock) -> None:
    told: list[object] = []

    def handler() -> None:
        with hold(f"{key}-other") as other:
            other.on_lost(told.append)
            found = holder(key)
            told.append(found is not None and other.held)
        holding.release()

    lock = Lock(key, timeout=None)
    with handling(handler):
        later(full_key)
        lock.acquire()
    assert told == [True]
    assert lock.held
    lock.close()
    support.nothing_left(full_key)


def test_a_storm_of_signals_without_exceptions(key: str, full_key: str) -> None:
    count = 0
    lock: Lock | None = None

    def handler() -> None:
        nonlocal count
        count += 1
        if lock is not None:
            assert lock.held in (True, False)
            assert lock.remaining >= 0
            assert lock.key == full_key

    with handling(handler, signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            turns = 0
            # A fast machine is done with its turns before the storm has begun.
            while turns < support.RUNS * 3 or count <= 100:
                turns += 1
                lock = Lock(key)
                with lock:
                    lock.renew()
                    assert holders(key).exclusive is not None
                    assert Lock(key).try_acquire() is False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    support.nothing_left(full_key)


def test_a_signal_handler_runs_while_an_acquire_waits(key: str, full_key: str, holding: Lock) -> None:
    told: list[bool] = []
    with handling(lambda: told.append(True)):
        later(full_key)
        begun = time.monotonic()
        assert Lock(key, timeout=1).try_acquire() is False
        assert time.monotonic() - begun >= 0.99
    assert told == [True]


# ---- At any moment


#: Runs a cycle many times, while 1 or more signals interrupt it at any moment, and prints the outcomes.
AT_ANY_MOMENT = """
    class Enough(BaseException):
        pass

    def handler(_, frame):
        global left
        left -= 1
        signal.setitimer(signal.ITIMER_REAL, 0.0001 if left > 0 else 0)
        while frame is not None:
            if frame.f_code is cycle.__code__:
                raise Enough
            frame = frame.f_back

    def cycle():
        with consul_lock.hold(key, timeout=5):
            pass

    # Python drops the exception of a handler that runs inside of a __del__. No handler runs inside of a function in C.
    sys.unraisablehook = id
    key, signals, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    begun = time.monotonic()
    for _ in range(5):
        cycle()
    longest = (time.monotonic() - begun) / 5 * 1.5
    signal.signal(signal.SIGALRM, handler)
    done = interrupted = kept = 0
    for number in range(runs):
        left = signals
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00002 + longest * number / runs)
            cycle()
            done += 1
        except Enough:
            interrupted += 1
        while left > 0:
            time.sleep(0.0005)
        # An acquire whose request was on its way is undone when Consul has answered. Such a request may still take the
        # key after the key was seen free: a lock that is kept shows then in the next cycle, or at the end.
        deadline = time.monotonic() + 30
        while consul_lock.holder(key) is not None:
            if time.monotonic() > deadline:
                kept += 1
                break
            time.sleep(0.001)
    consul_lock.shutdown(10)
    print(done > 0, interrupted > 0, done + interrupted, kept)
"""


@pytest.mark.parametrize("signals", [1, 3])
def test_at_random_moments(key: str, full_key: str, signals: int) -> None:
    runs = support.RUNS * 10
    program = support.Program(AT_ANY_MOMENT, key, str(signals), str(runs))
    status, out, said = program.end(patience=100)
    assert (status, out, said) == (0, f"True True {runs} 0\n", "")
    support.nothing_left(full_key, program.pid)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


#: PyPy traces lines, and no single instructions.
UNIT = "opcode" if sys.implementation.name == "cpython" else "line"


def instruction(frame: FrameType) -> str:
    """The name of the next instruction."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] if UNIT == "opcode" else ""


def returns(frame: FrameType) -> bool:
    """Whether the next instruction returns to the caller, where no interruption comes but in Python 3.9."""
    return instruction(frame).startswith("RETURN")


def interrupt_at(
    number: int, action: Callable[[], object], is_exempt: Callable[[FrameType], bool] | None = None
) -> bool:
    """Runs an action, and raises before its instruction of that number in this package. False: it has fewer."""
    inside = os.path.dirname(consul_lock.__file__)
    seen = 0
    dropped: list[object] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(inside):
            return None
        frame.f_trace_opcodes = True
        # From 3.14 on this marks a branch, where no interruption comes, and belongs to no `try`.
        if event == UNIT and instruction(frame) != "NOT_TAKEN":
            seen += 1
            if seen == number and not (is_exempt and is_exempt(frame)):
                raise Enough
        return trace

    before, hook = sys.gettrace(), sys.unraisablehook
    # Python drops what is raised inside of a __del__.
    sys.unraisablehook = lambda problem: dropped.append(problem.exc_value)
    # Python 3.12 traces instructions if a frame asks for them before the trace begins.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        action()
    except Enough:
        pass
    finally:
        sys.settrace(before)
        sys.unraisablehook = hook
    assert all(isinstance(problem, Enough) for problem in dropped), dropped
    return seen >= number


def at_each_instruction(
    action: Callable[[], object],
    check: Callable[[], object],
    is_exempt: Callable[[FrameType], bool] | None = None,
) -> int:
    """Interrupts an action before each of its instructions, one in each run, and checks after each."""
    number = 1
    while interrupt_at(number, action, is_exempt):
        check()
        number += 1
    check()
    return number - 1


def test_at_each_instruction_of_a_with(key: str, full_key: str) -> None:
    def cycle() -> None:
        with hold(key):
            pass

    def check() -> None:
        support.wait_until("it is released", lambda: not support.keys(full_key))
        # A stale outcome of the interrupted call would be that of one of these.
        with hold(f"{key}-next") as lock:
            assert lock.held
            assert Lock(f"{key}-next").try_acquire() is False

    check()
    before = descriptors()
    assert at_each_instruction(cycle, check) > 300
    gc.collect()
    assert descriptors() < before + 30
    support.nothing_left(full_key)


def test_at_each_instruction_of_a_new_mailbox() -> None:
    def is_elsewhere(frame: FrameType) -> bool:
        return frame.f_code.co_name != "__init__"

    gc.collect()
    before = descriptors()
    assert at_each_instruction(_events.Mailbox, gc.collect, is_elsewhere) > 10
    assert descriptors() <= before


def test_at_each_instruction_of_an_acquire_and_a_release(key: str, full_key: str) -> None:
    locks: list[Lock] = []

    def cycle() -> None:
        lock = Lock(key)
        locks.append(lock)
        lock.acquire()
        lock.release()

    def check() -> None:
        lock = locks.pop() if locks else None
        # The program has the lock, so the program knows what is held.
        if lock is not None and lock.held:
            lock.check()
            assert lock.release() is True
        support.wait_until("it is released", lambda: not support.keys(full_key))
        assert lock is None or not lock.held

    assert at_each_instruction(cycle, check) > 300
    support.nothing_left(full_key)


def test_at_each_instruction_of_a_close(key: str, full_key: str) -> None:
    lock = Lock(key)

    def cycle() -> None:
        lock.close()

    def begin() -> None:
        nonlocal lock
        lock = Lock(key)
        lock.acquire()

    def check() -> None:
        if not lock.closed and lock.held:
            assert lock.release() is True
        support.wait_until("it is released", lambda: not support.keys(full_key))
        begin()

    begin()
    assert at_each_instruction(cycle, check) > 50
    lock.close()
    support.nothing_left(full_key)


def test_at_each_instruction_of_an_upgrade(key: str, full_key: str) -> None:
    with hold(key, share=True) as lock:

        def check() -> None:
            assert lock.held
            if support.session_on(full_key):
                lock.downgrade()
            lock.check()

        assert at_each_instruction(lock.upgrade, check) > 50
    support.nothing_left(full_key)


def test_at_each_instruction_of_a_question(key: str, holding: Lock) -> None:
    def ask() -> None:
        assert holder(key) is not None

    def check() -> None:
        assert holder(f"{key}-other") is None
        assert holders(f"{key}-other").exclusive is None

    before = descriptors()
    assert at_each_instruction(ask, check) > 100
    assert descriptors() < before + 30


def test_at_each_instruction_of_an_observe(key: str, full_key: str) -> None:
    told: list[object] = []
    observers: list[consul_lock.Observer] = []
    watched = _dispatcher.dispatcher()

    def begin() -> None:
        observers.append(observe(key, told.append))

    def check() -> None:
        while observers:
            observers.pop().close()
        assert not watched._listeners

    assert at_each_instruction(begin, check, returns) > 50
    support.wait_until("the last calls are over", lambda: stats()["waiting"] == 0)
    time.sleep(0.2)
    told.clear()
    with hold(key):
        time.sleep(0.3)
    assert told == []


def test_a_mailbox_of_an_interrupted_call_is_not_used_again(key: str, holding: Lock) -> None:
    # Between the outcome's arrival and the wait for it.
    for _ in range(5):
        with hold(f"{key}-other"):
            pass
    kept = set(_events._idle)
    assert kept
    with handling(stop, signal.SIGALRM), pytest.raises(Enough):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        Lock(key, timeout=0.3).acquire()
    used = {*kept} - set(_events._idle)
    assert len(used) == 1 or len(kept) == 1
    time.sleep(0.5)
    for _ in range(20):
        with hold(f"{key}-other"):
            pass
        assert not used & set(_events._idle)


# ---- What an interruption leaves to the lock


def test_an_acquire_that_did_not_begin_is_not_the_first(
    key: str, full_key: str, holding: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(key, timeout=None)

    def refuse(*_: object, **__: object) -> bool:
        raise NoResourcesError("no thread")

    with monkeypatch.context() as patched:
        patched.setattr("consul_lock._lock.ask", refuse)
        with pytest.raises(NoResourcesError):
            lock.acquire()
    with handling(stop):
        later(full_key)
        with pytest.raises(Enough):
            lock.acquire()
    line_is_empty(full_key)
    holding.release()
    time.sleep(0.3)
    assert support.session_on(full_key) is None


def test_an_interrupted_second_acquire_undoes_nothing(key: str, full_key: str) -> None:
    lock = Lock(key)
    lock.acquire()

    def again() -> None:
        with pytest.raises(AlreadyUsedError):
            lock.acquire()

    def check() -> None:
        assert lock.held
        lock.check()

    assert at_each_instruction(again, check) > 30
    lock.close()
    support.nothing_left(full_key)


def test_a_lock_that_is_not_acquired_raises_as_before(key: str, holding: Lock) -> None:
    with handling(lambda: None, signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(NotAcquiredError):
            Lock(key, timeout=0.2).acquire()
