"""The interface of asyncio: all scenarios run in one loop and one thread. `task.cancel()` interrupts a call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import consul_lock
from consul_lock import aio

NAME = "python-asyncio"
ARGUMENTS = ["--aio"]  # of the runner, for this interface


#: The tasks that a lost lock has cancelled during a step that goes on.
CANCELLED: weakref.WeakSet[Any] = weakref.WeakSet()


class Interrupted(Exception):
    """The task of a call was cancelled."""


class Call:
    """A call in a task of its own."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.task = asyncio.ensure_future(call(function))

    async def wait_until_begun(self, patience: float) -> None:
        await asyncio.sleep(0)  # The loop runs the new task first, up to its wait.

    async def join(self, patience: float) -> object:
        await asyncio.wait({self.task}, timeout=patience)
        if not self.task.done():
            raise ValueError("it never ended")
        if self.task.cancelled():
            raise Interrupted
        return self.task.result()

    def interrupt(self) -> None:
        self.task.cancel()

    kill = interrupt


def finish(steps: Coroutine[Any, Any, Any]) -> Any:
    """Executes steps in a loop of their own."""
    return asyncio.run(steps)


def execute(scenarios: Sequence[Callable[[], Coroutine[Any, Any, None]]], at_once: int) -> None:
    """Executes scenarios, so many at once, and returns at the end of the last one."""
    waiting = list(reversed(scenarios))

    async def work() -> None:
        while waiting:
            await waiting.pop()()

    async def all_of_them() -> None:
        await asyncio.gather(*(work() for _ in range(at_once)))

    asyncio.run(all_of_them())


def begin(function: Callable[[], object], is_interrupted_later: bool) -> Call:
    return Call(function)


async def call(function: Callable[..., Any], *arguments: object, **options: object) -> Any:
    value = function(*arguments, **options)
    return await value if inspect.isawaitable(value) else value


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def program(words: Sequence[str]) -> tuple[int, str, str]:
    """Runs a program, and gives its status, its output and its errors.

    A lost lock cancels the task of its block, perhaps during this step. The step goes on, and `lost` finds the note.
    """
    ended = asyncio.ensure_future(_program(words))
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        CANCELLED.add(asyncio.current_task())
        return await ended


async def _program(words: Sequence[str]) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
    said, problem = await process.communicate()
    return process.returncode or 0, said.decode(), problem.decode()


def make(key: Any, options: dict[str, Any]) -> aio.Lock:
    return aio.Lock(key, **options)


@contextlib.asynccontextmanager
async def hold(key: Any, options: dict[str, Any]) -> AsyncIterator[aio.Lock]:
    async with aio.hold(key, **options) as lock:
        yield lock


async def lost(lock: aio.Lock, notice: Callable[[], Coroutine[Any, Any, str]], in_hold: bool) -> str:
    """Waits for a loss: in a block for the cancellation of the task, else for the notice."""
    if not in_hold:
        return await notice()
    task = asyncio.current_task()
    if task in CANCELLED:
        CANCELLED.discard(task)
        return str(lock.lost_reason)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        return str(lock.lost_reason)
    raise ValueError("the task of the block was not cancelled")


class Observer:
    """Collects the news of a key in a task of its own."""

    def __init__(self, key: str, client: Any, tell: Callable[[Any], object]) -> None:
        self.observer = aio.observe(key, client=client)
        self.task = asyncio.ensure_future(self.listen(tell))

    async def listen(self, tell: Callable[[Any], object]) -> None:
        while True:
            try:
                tell((await self.observer.__anext__(),))
            except StopAsyncIteration:
                return
            except consul_lock.Error as error:
                tell(error)

    def close(self) -> None:
        self.observer.close()


observe = Observer
holder = aio.holder
holders = aio.holders
shutdown = aio.shutdown
