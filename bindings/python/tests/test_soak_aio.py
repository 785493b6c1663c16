"""Many cycles in event loops leave no growth: of memory, descriptors, threads, and of the sessions in Consul."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from soak import Use, assert_cycles_leave_nothing, assert_no_growth_of
from support import nothing_left

from consul_lock import aio


async def cancelled(key: str) -> None:
    """The end of a task ends a wait, whose lock goes to the collector."""
    async with aio.hold(key):
        tasks = [asyncio.create_task(aio.Lock(key, timeout=60).acquire()) for _ in range(2)]
        await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended)


async def aio_cycles(key: str, count: int) -> None:
    for _ in range(count // 10):
        for _ in range(4):
            async with aio.hold(key) as held:
                held.on_lost(lambda _, held=held: held.abandon())
        for _ in range(2):
            lock = aio.Lock(key, lock_timeout=60, value="v")
            await lock.acquire()
            await lock.release()
        async with aio.hold(key):
            assert not await aio.Lock(key).try_acquire()
        await cancelled(key)
        async with aio.hold(key, share=False, limit=2) as shared:
            await shared.downgrade()
            await shared.upgrade()


@pytest.mark.timeout(600)
def test_cycles_of_one_loop(key: str) -> None:
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        def cycles(count: int) -> None:
            loop.run_until_complete(aio_cycles(key, count))

        assert_cycles_leave_nothing(key, cycles)


def test_loops(key: str, full_key: str) -> None:
    """A loop that ends leaves no descriptor and no memory."""

    async def use() -> None:
        async with aio.hold(key):
            assert await aio.holder(key) is not None

    before = Use.now()
    assert_no_growth_of("loops", lambda: asyncio.run(use()), 300)
    after = Use.now()
    assert after.descriptors <= before.descriptors + 8
    assert after.threads <= before.threads + 8
    nothing_left(full_key)


def test_answers_in_a_loop(key: str, full_key: str) -> None:
    """Each answer has 20 KB, so few of them show a leak."""

    async def observed() -> None:
        async with aio.observe(key) as observer:
            assert await observer.__anext__() is not None

    asks: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "holder": lambda: aio.holder(key),
        "holders": lambda: aio.holders(key),
        "observers": observed,
    }
    with contextlib.closing(asyncio.new_event_loop()) as loop:

        def run(ask: Callable[[], Coroutine[Any, Any, object]]) -> None:
            loop.run_until_complete(ask())

        lock = aio.Lock(key, value="a" * 20_000)
        loop.run_until_complete(lock.acquire())
        for what, ask in asks.items():
            assert_no_growth_of(what, partial(run, ask), 500)
        loop.run_until_complete(lock.release())
    nothing_left(full_key)
