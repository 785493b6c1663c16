"""What the tests of asyncio share: the kinds of loops, and waiting with patience."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import gc
import importlib.util
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import support

import consul_lock
from consul_lock import aio

Found = TypeVar("Found")
#: Seconds: longer than any test waits for a loss.
LONG = support.PATIENCE
#: uvloop has wheels for CPython only, and not for each build of it.
HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
#: From Python 3.11 on.
ExceptionGroup: Any = getattr(builtins, "ExceptionGroup", None)
KINDS = ["asyncio", "debug", *(["uvloop"] if HAS_UVLOOP else [])]


def run(kind: str, main: Coroutine[Any, Any, Found]) -> Found:
    """Runs a coroutine in a new loop of a kind, which is closed afterwards."""
    if kind == "uvloop":
        import uvloop

        found: Found = uvloop.run(main)
        return found
    return asyncio.run(main, debug=kind == "debug")


class Complaints(logging.Handler):
    """What asyncio complains of, but for callbacks that took long: the machine may be busy."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().startswith("Executing "):
            self.told.append(self.format(record))


@contextlib.contextmanager
def no_complaints() -> Any:
    """Fails when asyncio has complained, also of what the collector has found."""
    complaints = Complaints()
    logger = logging.getLogger("asyncio")
    logger.addHandler(complaints)
    try:
        yield complaints
        collect()
    finally:
        logger.removeHandler(complaints)
    assert not complaints.told, "\n".join(complaints.told)


def collect() -> None:
    """Finalizes all that no reference reaches. PyPy finalizes of a chain of objects one at each collection."""
    for _ in range(1 if sys.implementation.name == "cpython" else 10):
        gc.collect()


async def until(what: str, check: Callable[[], Found], patience: float = support.PATIENCE) -> Found:
    """Waits until a function gives something true, and gives that."""
    deadline = time.monotonic() + patience
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        await asyncio.sleep(0.01)


async def waiting(lock: aio.Lock, full_key: str) -> asyncio.Task[None]:
    """A task that waits in the acquire of a lock."""
    task = asyncio.ensure_future(lock.acquire())
    await until("it waits", lambda: support.waits(full_key) or task.done())
    return task


@contextlib.asynccontextmanager
async def held(key: str) -> AsyncIterator[aio.Lock]:
    """Another lock on the key."""
    lock = aio.Lock(key)
    await lock.acquire()
    try:
        yield lock
    finally:
        await lock.close()


async def lose(*locks: aio.Lock) -> None:
    """Makes the library find the loss of locks now. Its watch of a key would find it a second after the acquire."""
    for lock in locks:
        support.delete(lock.key)
    for lock in locks:
        # The body may have ended the lock before.
        with contextlib.suppress(consul_lock.Error):
            await lock.check()


def soon(*locks: aio.Lock) -> asyncio.Task[None]:
    """Makes locks be lost while a body waits."""
    return asyncio.ensure_future(lose(*locks))


def cancellations() -> int:
    """How many cancellations of this task are under way, where tasks count them."""
    task: Any = asyncio.current_task()
    return task.cancelling() if sys.version_info >= (3, 11) else 0


async def is_usable() -> bool:
    """Whether this task can wait, and no cancellation is left for it."""
    await asyncio.sleep(0.01)
    return cancellations() == 0


def descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """How many threads this process has, with those of the library."""
    return len(os.listdir("/proc/self/task"))


def resident() -> int:
    """How many bytes of this process are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def notice_of(lock: aio.Lock) -> Callable[[str], object]:
    """What the loop calls when the lock is lost, for tests of the order of callbacks."""
    return lock._notice
