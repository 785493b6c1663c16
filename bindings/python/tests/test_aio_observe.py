"""Observers and questions of asyncio, and the log in a loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
from collections.abc import Callable, Coroutine
from typing import Any

import aio_support
import pytest
import support

import consul_lock
from consul_lock import aio

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=aio_support.KINDS)
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine in a new loop, of which asyncio must not complain."""
    with aio_support.no_complaints():
        yield lambda main: aio_support.run(request.param, main)


def observing() -> int:
    """How many observers the running loop has."""
    return len(aio._loop.receiver()._listeners)


async def next_of(observer: aio.Observer) -> consul_lock.Holder | None:
    """The next state, in time."""
    return await asyncio.wait_for(observer.__anext__(), support.PATIENCE)


def test_an_observer_gives_the_holder_at_once_and_at_each_change(run: Run, key: str) -> None:
    async def main() -> None:
        seen: list[str | None] = []
        async with aio.observe(key) as observer:
            assert await next_of(observer) is None
            async with aio.hold(key) as lock:
                found = await next_of(observer)
                assert found is not None
                assert (found.session, found.fencing_token) == (lock.session_id, lock.fencing_token)
            assert await next_of(observer) is None
        assert observer.closed and observing() == 0
        async for holder in observer:
            raise AssertionError(holder)
        async with aio.hold(key) as lock:
            async for holder in aio.observe(key):
                assert holder is not None
                seen.append(holder.session)
                break
        assert seen == [lock.session_id]

    run(main())


def test_a_slow_observer_sees_the_newest_state(run: Run, key: str) -> None:
    async def main() -> None:
        observer = aio.observe(key)
        assert await next_of(observer) is None
        for _ in range(20):
            async with aio.hold(key):
                pass
        async with aio.hold(key) as lock:
            # The program does not look, until all news have come.
            async with aio.observe(key) as other:
                found = await next_of(other)
                assert found is not None and found.session == lock.session_id
            states: list[consul_lock.Holder | None] = []
            while not states or states[-1] is None or states[-1].fencing_token != lock.fencing_token:
                states.append(await next_of(observer))
            assert len(states) < 20
        observer.close()

    run(main())


def test_a_dropped_observer_ends(run: Run, key: str) -> None:
    async def main() -> None:
        observer = aio.observe(key)
        await next_of(observer)
        assert observing() == 1
        del observer
        aio_support.collect()
        assert observing() == 0
        async for _ in aio.observe(key):
            break
        aio_support.collect()
        assert observing() == 0

    run(main())


def test_an_observer_that_is_cancelled_goes_on_at_the_next_call(run: Run, key: str) -> None:
    async def main() -> None:
        observer = aio.observe(key)
        assert await next_of(observer) is None
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(observer.__anext__(), 0.05)
        async with aio.hold(key):
            assert await next_of(observer) is not None
        observer.close()

    run(main())


def test_an_observer_has_one_waiter_and_a_close_ends_it(run: Run, key: str) -> None:
    async def main() -> None:
        observer = aio.observe(key)
        assert await next_of(observer) is None
        task = asyncio.ensure_future(next_of(observer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task waits"):
            await observer.__anext__()
        observer.close()
        observer.close()
        with pytest.raises(StopAsyncIteration):
            await task
        assert repr(observer) == f"<consul_lock.aio.Observer '{key}' closed>"
        with pytest.raises(TypeError, match="Share the object"):
            pickle.dumps(observer)

    run(main())


def test_an_observer_belongs_to_its_loop(run: Run, key: str) -> None:
    async def make() -> aio.Observer:
        return aio.observe(key)

    observer = run(make())

    async def main() -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await observer.__anext__()
        observer.close()

    run(main())


def test_an_observer_raises_what_consul_refuses_and_asks_on(run: Run, key: str) -> None:
    async def main() -> None:
        client = consul_lock.Client(support.ACL_ADDRESS)
        async with aio.observe(key, client=client) as observer:
            with pytest.raises(consul_lock.DeniedError):
                await next_of(observer)
            assert not observer.closed

    run(main())


def test_the_holders_of_a_key(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        assert await aio.holder(key) is None
        async with aio.hold(key, value=b"mine") as lock:
            found = await aio.holder(key)
            assert found is not None and found.session == lock.session_id and found.value == b"mine"
            task = await aio_support.waiting(aio.Lock(key, timeout=None), full_key)
            everyone = await aio.holders(key)
            assert everyone.exclusive is not None and everyone.exclusive.session == lock.session_id
            assert len(everyone.line) == 1
            assert everyone == consul_lock.holders(key)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    run(main())


def test_what_a_question_refuses(run: Run, key: str) -> None:
    async def main() -> None:
        for ask in (aio.holder, aio.holders):
            with pytest.raises(consul_lock.InvalidArgumentError):
                await ask("")
            with pytest.raises(TypeError, match="key must be a str"):
                await ask(b"key")  # type: ignore[arg-type]
            with pytest.raises(consul_lock.DeniedError) as told:
                await ask(key, client=consul_lock.Client(support.ACL_ADDRESS))
            assert told.value.http_status == 403
            with pytest.raises(consul_lock.UnavailableError):
                await ask(key, client=consul_lock.Client(support.DEAD_ADDRESS, request_timeout=0.2))
        with pytest.raises(consul_lock.InvalidArgumentError):
            aio.observe("")
        with pytest.raises(consul_lock.InvalidArgumentError):
            await aio.shutdown(timeout=-1)
        assert observing() == 0

    run(main())


def test_a_cancelled_question_leaves_nothing(run: Run, key: str, gate: support.Gate) -> None:
    async def main() -> None:
        client = consul_lock.Client(gate.address)
        gate.shut = True
        tasks = [asyncio.ensure_future(ask(key, client=client)) for ask in (aio.holder, aio.holders) for _ in range(10)]
        await asyncio.sleep(0.1)
        with support.within(support.AT_ONCE):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        gate.shut = False
        # The answers come, and no task takes them.
        home = aio._loop.receiver()
        await aio_support.until("they have come", lambda: not home._calls)

    run(main())


def test_a_shutdown_waits_for_releases(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        await lock.acquire()
        task = asyncio.ensure_future(lock.release())
        await asyncio.sleep(0)
        await aio.shutdown(timeout=support.AT_ONCE)
        assert support.session_on(full_key) is None
        assert await task is True

    run(main())


class Collector(logging.Handler):
    """Keeps the lines of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_the_next_loop_takes_over_the_log(run: Run, key: str) -> None:
    collector = Collector()
    logging.getLogger("consul_lock").addHandler(collector)

    async def lose(name: str) -> None:
        with pytest.raises(consul_lock.LostError):
            async with aio.hold(name) as lock:
                support.delete(lock.key)
                await lock.check()
        await aio_support.until("it is logged", lambda: any(name in line for line in collector.lines))

    try:
        run(lose(f"{key}/first"))
        run(lose(f"{key}/second"))
    finally:
        logging.getLogger("consul_lock").removeHandler(collector)
