"""Notices of losses: `Lock.on_lost`."""

from __future__ import annotations

import asyncio
import io
import queue
import sys
import threading
import time
from types import TracebackType
from typing import Any

import pytest
import support

from consul_lock import ClosedError, Lock, LostError, _dispatcher, _events, _lock, hold, observe


@pytest.fixture
def told() -> queue.Queue[object]:
    """What the callbacks tell."""
    return queue.Queue()


def lose(lock: Lock) -> None:
    """Takes a lock and loses it."""
    lock.acquire()
    support.delete(lock.key)
    with pytest.raises(LostError):
        lock.check()


def test_a_loss_calls_the_function_once_with_the_reason(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)
    assert lock.on_lost(told.put) == told.put
    lose(lock)
    assert told.get(timeout=10) == "KEY_GONE"
    with pytest.raises(LostError):
        lock.release()
    time.sleep(0.1)
    assert told.empty()


def test_it_is_a_decorator(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)

    @lock.on_lost
    def stop(reason: str) -> None:
        told.put(reason)

    lose(lock)
    assert told.get(timeout=10) == "KEY_GONE"
    assert stop.__name__ == "stop"


def test_an_ended_session(key: str, full_key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)
    lock.on_lost(told.put)
    lock.acquire()
    support.end_session_of(full_key)
    with pytest.raises(LostError):
        lock.renew()
    assert told.get(timeout=10) == "SESSION_GONE"


def test_a_watched_lock_gets_the_notice_at_once(key: str, full_key: str, told: queue.Queue[object]) -> None:
    with pytest.raises(LostError), hold(key) as lock:
        lock.on_lost(told.put)
        time.sleep(1.3)
        support.delete(full_key)
        assert told.get(timeout=10) == "KEY_GONE"
        assert (lock.lost, lock.held) == (True, False)


def test_an_end_of_life(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, lock_timeout=10, monitor=False)
    lock.on_lost(told.put)
    lock.acquire()
    assert told.get(timeout=20) == "EXPIRED"
    assert lock.lost_reason == "EXPIRED"
    lock.close()


def test_after_the_loss_the_function_is_called_at_once(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)
    lose(lock)
    lock.on_lost(told.put)
    assert told.get(timeout=10) == "KEY_GONE"


def test_the_last_function_counts(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)
    lock.on_lost(lambda reason: told.put("first"))
    lock.on_lost(lambda reason: told.put("second"))
    lose(lock)
    assert told.get(timeout=10) == "second"
    time.sleep(0.1)
    assert told.empty()


def test_it_is_another_thread(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)
    lock.on_lost(lambda reason: told.put(threading.current_thread()))
    lose(lock)
    thread = told.get(timeout=10)
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon) == ("consul_lock", True)
    assert thread is not threading.current_thread()


def test_the_function_may_use_the_lock(key: str, told: queue.Queue[object]) -> None:
    lock = Lock(key, monitor=False)

    def use(reason: str) -> None:
        try:
            lock.release()
        except LostError as problem:
            told.put((reason, problem.reason, lock.held, lock.lost))
        with hold(f"{key}-other") as other:
            told.put(other.held)
        lock.close()

    lock.on_lost(use)
    lose(lock)
    assert told.get(timeout=10) == ("KEY_GONE", "KEY_GONE", False, True)
    assert told.get(timeout=10) is True


def test_a_callback_that_closes_the_lock_hides_no_loss(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The callback closes the lock before the thread that found the loss goes on.
    lock = Lock(key, monitor=False)
    lock.acquire()
    support.delete(lock.key)

    def ask(*arguments: Any) -> bool:
        try:
            return _events.ask(*arguments)
        finally:
            lock.close()

    monkeypatch.setattr(_lock, "ask", ask)
    with pytest.raises(LostError):
        lock.check()
    assert lock.closed


@pytest.mark.parametrize("way", ["release", "close", "abandon"])
def test_a_lock_that_ended_is_not_lost(key: str, full_key: str, told: queue.Queue[object], way: str) -> None:
    lock = Lock(key)
    lock.on_lost(lambda reason: told.put("ended"))
    lock.acquire()
    getattr(lock, way)()
    if way == "abandon":
        support.end_session_of(full_key)
    other = Lock(f"{key}-other", monitor=False)
    other.on_lost(lambda reason: told.put("other"))
    lose(other)
    assert told.get(timeout=10) == "other"
    time.sleep(0.1)
    assert told.empty()


def test_what_a_function_raises_goes_to_the_excepthook(
    key: str, told: queue.Queue[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(kind: type[BaseException], problem: BaseException, traceback: TracebackType | None) -> None:
        told.put(problem)

    monkeypatch.setattr(sys, "excepthook", hook)
    own = NotImplementedError("own")

    def fail(reason: str) -> None:
        raise own

    locks = [Lock(f"{key}-{number}", monitor=False) for number in range(2)]
    locks[0].on_lost(fail)
    locks[1].on_lost(told.put)
    for lock in locks:
        lose(lock)
    assert [told.get(timeout=10), told.get(timeout=10)] == [own, "KEY_GONE"]


@pytest.mark.parametrize("way", ["a hook that fails", "a closed standard error"])
def test_an_excepthook_that_fails_ends_no_other_callbacks(
    key: str, told: queue.Queue[object], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("own")

    if way == "a hook that fails":
        monkeypatch.setattr(sys, "excepthook", fail)
    else:
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, "stderr", closed)
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    locks = [Lock(f"{key}-{number}", monitor=False) for number in range(2)]
    locks[0].on_lost(fail)
    locks[1].on_lost(told.put)
    for lock in locks:
        lose(lock)
    assert told.get(timeout=10) == "KEY_GONE"


@pytest.mark.parametrize("problem", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, pytest.fail.Exception])
def test_a_function_that_raises_no_exception_ends_no_other_callbacks(
    key: str, told: queue.Queue[object], monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    def fail(reason: str) -> None:
        raise problem("own")

    monkeypatch.setattr(sys, "excepthook", lambda kind, raised, traceback: told.put(kind))
    locks = [Lock(f"{key}-{number}", monitor=False) for number in range(2)]
    locks[0].on_lost(fail)
    locks[1].on_lost(told.put)
    for lock in locks:
        lose(lock)
    # As in a thread of Python, sys.exit has no report.
    assert [told.get(timeout=10) for _ in range(1 if problem is SystemExit else 2)][-1] == "KEY_GONE"


def test_wrong_functions(key: str) -> None:
    lock = Lock(key)
    for wrong in (None, 7, "f"):
        with pytest.raises(TypeError, match="function"):
            lock.on_lost(wrong)  # type: ignore[type-var]
    lock.close()
    with pytest.raises(ClosedError):
        lock.on_lost(print)


def test_the_notice_of_a_former_function(key: str, told: queue.Queue[object]) -> None:
    # The notice is on its way when the program sets another function.
    is_busy, gate = threading.Event(), threading.Event()
    observer = observe(f"{key}-busy", lambda holder: is_busy.set() or gate.wait(20))
    assert is_busy.wait(20)
    lock = Lock(key, monitor=False)
    lock.on_lost(lambda reason: told.put("first"))
    lose(lock)
    lock.on_lost(lambda reason: told.put("second"))
    gate.set()
    assert told.get(timeout=10) == "second"
    time.sleep(0.1)
    assert told.empty()
    observer.close()


def test_registrations_do_not_pile_up(key: str) -> None:
    receiver = _dispatcher.dispatcher()
    before = len(receiver._handles)
    lock = Lock(key)
    for _ in range(100):
        lock.on_lost(print)
    for _ in range(100):
        with hold(key) as one:
            one.on_lost(print)
    del one
    support.wait_until("they are gone", lambda: len(receiver._handles) <= before + 2)


def test_a_signal_handler_registers_while_the_program_does(key: str) -> None:
    # The handler runs inside of the thread that it interrupts, which must not wait for itself.
    told = support.run(
        """
        inside = os.path.dirname(consul_lock.__file__)
        faulthandler = __import__("faulthandler")
        faulthandler.dump_traceback_later(25, exit=True)

        def register():
            consul_lock.Lock(sys.argv[1]).on_lost(print)

        def trace(frame, event, _):
            global seen
            if not frame.f_code.co_filename.startswith(inside):
                return None
            if event == "line":
                seen += 1
                if seen == number:
                    register()
            return trace

        number, seen = 0, 1
        while seen > number:
            number, seen = number + 1, 0
            consul_lock._dispatcher._forget()
            sys.settrace(trace)
            try:
                register()
            finally:
                sys.settrace(None)
        print(number > 30)
        sys.stdout.flush()
        os._exit(0)
        """,
        key,
    )
    assert told == "True\n"


@pytest.mark.parametrize(
    "action",
    [
        "receiver.watch(lock._handle, print)",
        "receiver.receive_log(2)",
        "consul_lock.observe(sys.argv[1], str).close()",
    ],
)
def test_a_new_mailbox_at_any_moment_frees_none_that_a_call_uses(key: str, action: str) -> None:
    # As after a daemon has closed its descriptors, while another thread is anywhere in the call.
    told = support.run(
        f"""
        from consul_lock import _dispatcher, _events

        inside = os.path.dirname(consul_lock.__file__)

        def trace(frame, event, _):
            global seen
            if not frame.f_code.co_filename.startswith(inside):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" or sys.implementation.name != "cpython":
                seen += 1
                if seen == number:
                    sys.settrace(None)
                    receiver.mailbox = _events.Mailbox()
            return trace

        lock, receiver = consul_lock.Lock(sys.argv[1]), _dispatcher.dispatcher()
        number, seen = 0, 1
        # Python 3.12 traces instructions if a frame asks for them before the trace begins.
        sys._getframe().f_trace_opcodes = True
        while seen >= number:
            number, seen = number + 1, 0
            sys.settrace(trace)
            try:
                {action}
            finally:
                sys.settrace(None)
        print(number > 15)
        sys.stdout.flush()
        os._exit(0)
        """,
        key,
    )
    assert told == "True\n"
