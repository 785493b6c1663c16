"""The interface that calls and waits. Scenarios run in threads.

A program ends a waiting call by an exception of a signal's handler (Ctrl-C is one such signal), which Python raises in
the main thread alone. So the main thread of the runner executes the calls that a scenario interrupts, one at a time,
and other threads execute the steps.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import consul_lock

NAME = "python"
ARGUMENTS: list[str] = []  # of the runner, for this interface
INTERRUPT = signal.SIGUSR1


class Interrupted(Exception):
    """What the handler of the signal raises."""


class Call:
    """A call in a thread of its own, or in the main thread."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.is_interrupted = False
        self.value: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        self.begun.set()
        try:
            self.value = self.function()
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    async def wait_until_begun(self, patience: float) -> None:
        if not self.begun.wait(patience):
            raise ValueError("it never began")
        time.sleep(0.05)

    async def join(self, patience: float) -> object:
        if not self.ended.wait(patience):
            raise ValueError("it never ended")
        if self.error is not None:
            raise self.error
        return self.value

    def interrupt(self) -> None:
        MAIN.interrupt(self)

    def kill(self) -> None:
        """Does nothing: the end of its lock ends the call."""


class MainThread:
    """Executes calls in the main thread, which the signal can interrupt."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.now: Call | None = None

    def serve(self) -> None:
        """Executes calls until a None comes."""
        signal.signal(INTERRUPT, self.hear)
        while (call := self.waiting.get()) is not None:
            self.now = call
            call.run()
            self.now = None

    def hear(self, _number: int, _frame: object) -> None:
        if self.now is not None and self.now.is_interrupted and not self.now.ended.is_set():
            raise Interrupted

    def interrupt(self, call: Call) -> None:
        call.is_interrupted = True
        signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)


MAIN = MainThread()


def finish(steps: Coroutine[Any, Any, Any]) -> Any:
    """Executes steps, in which nothing awaits an event loop."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a step of the blocking interface awaits something")


def execute(scenarios: Sequence[Callable[[], Coroutine[Any, Any, None]]], at_once: int) -> None:
    """Executes scenarios, so many at once, and returns at the end of the last one."""
    waiting = list(reversed(scenarios))

    def work() -> None:
        with contextlib.suppress(IndexError):
            while True:
                finish(waiting.pop()())

    def all_of_them() -> None:
        threads = [threading.Thread(target=work) for _ in range(min(at_once, len(scenarios)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        MAIN.waiting.put(None)

    threading.Thread(target=all_of_them).start()
    MAIN.serve()


def begin(function: Callable[[], object], is_interrupted_later: bool) -> Call:
    call = Call(function)
    if is_interrupted_later:
        MAIN.waiting.put(call)
    else:
        threading.Thread(target=call.run, daemon=True).start()
    return call


async def call(function: Callable[..., Any], *arguments: object, **options: object) -> Any:
    return function(*arguments, **options)


async def sleep(seconds: float) -> None:
    time.sleep(seconds)


async def program(words: Sequence[str]) -> tuple[int, str, str]:
    """Runs a program, and gives its status, its output and its errors."""
    ended = subprocess.run(words, capture_output=True, encoding="utf-8")
    return ended.returncode, ended.stdout, ended.stderr


def make(key: Any, options: dict[str, Any]) -> consul_lock.Lock:
    return consul_lock.Lock(key, **options)


@contextlib.asynccontextmanager
async def hold(key: Any, options: dict[str, Any]) -> AsyncIterator[consul_lock.Lock]:
    with consul_lock.hold(key, **options) as lock:
        yield lock


async def lost(lock: consul_lock.Lock, notice: Callable[[], Coroutine[Any, Any, str]], in_hold: bool) -> str:
    """Waits for a loss: a block has no signal of its own, so also in a block for the notice."""
    return await notice()


def observe(key: str, client: Any, tell: Callable[[Any], object]) -> consul_lock.Observer:
    """Observes a key. `tell` gets a holder in a tuple, or an error."""
    return consul_lock.observe(key, lambda holder: tell((holder,)), on_error=tell, client=client)


holder = consul_lock.holder
holders = consul_lock.holders
shutdown = consul_lock.shutdown
