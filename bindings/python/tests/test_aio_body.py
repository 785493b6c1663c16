"""The body of an `async with`: a loss cancels it, and LostError comes out. All other exceptions stay what they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import aio_support
import pytest
import support
from aio_support import LONG, is_usable, lose, soon

import consul_lock
from consul_lock import aio

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=aio_support.KINDS)
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine in a new loop, of which asyncio must not complain."""
    with aio_support.no_complaints():
        yield lambda main: aio_support.run(request.param, main)


@pytest.mark.parametrize("finding", ["by the watch", "by a call"])
def test_a_loss_cancels_the_body_and_comes_out(run: Run, key: str, full_key: str, finding: str) -> None:
    async def main() -> None:
        notice: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with support.within(LONG), pytest.raises(consul_lock.LostError, match=full_key) as told:
            async with aio.hold(key) as lock:
                lock.on_lost(notice.set_result)
                if finding == "by a call":
                    task = soon(lock)
                else:
                    support.delete(full_key)
                await asyncio.sleep(LONG * 2)
        assert told.value.reason == lock.lost_reason == await notice == "KEY_GONE"
        assert isinstance(told.value.__cause__, asyncio.CancelledError)
        assert full_key in str(told.value.__cause__) and "KEY_GONE" in str(told.value.__cause__)
        assert lock.closed and lock.lost and await is_usable()
        if finding == "by a call":
            await task

    run(main())
    support.nothing_left(full_key)


def test_a_body_that_ends_well_after_a_loss_raises_it(run: Run, key: str) -> None:
    async def main() -> None:
        with pytest.raises(consul_lock.LostError) as told:
            async with aio.hold(key) as lock:
                support.delete(lock.key)
        assert told.value.__cause__ is None and await is_usable()

    run(main())


@pytest.mark.parametrize("closes", [False, True])
def test_a_body_that_suppresses_its_cancellation_raises_the_loss(run: Run, key: str, closes: bool) -> None:
    async def main() -> None:
        with pytest.raises(consul_lock.LostError):
            async with aio.hold(key) as lock:
                task = soon(lock)
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(LONG)
                await asyncio.sleep(0)
                if closes:
                    await lock.close()
        await task
        assert await is_usable()

    run(main())


def test_a_body_that_closes_its_lost_lock_is_still_told(run: Run, key: str) -> None:
    async def main() -> None:
        with pytest.raises(consul_lock.LostError):
            async with aio.hold(key) as lock:
                task = soon(lock)
                try:
                    await asyncio.sleep(LONG)
                finally:
                    await lock.close()
        await task
        assert await is_usable()

    run(main())


def test_the_exception_of_the_body_goes_first(run: Run, key: str) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with aio.hold(key) as lock:
                support.delete(lock.key)
                _ = 1 // 0
        with pytest.raises(ZeroDivisionError) as told:
            async with aio.hold(key) as lock:
                task = soon(lock)
                try:
                    await asyncio.sleep(LONG)
                finally:
                    _ = 1 // 0
        assert isinstance(told.value.__context__, asyncio.CancelledError)
        await task
        assert await is_usable()

    run(main())


def test_a_check_in_the_body_raises_the_loss_itself(run: Run, key: str) -> None:
    async def main() -> None:
        with pytest.raises(consul_lock.LostError):
            async with aio.hold(key) as lock:
                support.delete(lock.key)
                await lock.check()
        assert await is_usable()

    run(main())


def test_a_lock_that_is_lost_before_the_body_begins_runs_no_body(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        entry = asyncio.ensure_future(lock.__aenter__())
        await asyncio.sleep(0)
        support.wait_until("it is held", lambda: lock.held)
        # The outcome of the acquire waits for the loop, and so may the notice.
        support.delete(full_key)
        support.wait_until("it is lost", lambda: lock.lost)
        with pytest.raises(consul_lock.LostError) as told:
            await entry
        assert told.value.reason == "KEY_GONE" and lock.closed

    run(main())


def test_a_cancellation_from_outside_stays_one(run: Run, key: str, full_key: str) -> None:
    async def work(begun: asyncio.Event) -> None:
        async with aio.hold(key):
            begun.set()
            await asyncio.sleep(LONG)

    async def main() -> None:
        begun = asyncio.Event()
        task = asyncio.ensure_future(work(begun))
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert support.session_on(full_key) is None

    run(main())


def test_a_loss_during_a_cancellation_from_outside_leaves_it_one(run: Run, key: str) -> None:
    async def work(found: asyncio.Future[aio.Lock]) -> None:
        async with aio.hold(key) as lock:
            found.set_result(lock)
            await asyncio.sleep(LONG)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[aio.Lock] = loop.create_future()
        task = asyncio.ensure_future(work(found))
        lock = await found
        # The notice waits for the loop when the task is cancelled, and comes before the task runs again.
        notice = aio_support.notice_of(lock)
        loop.call_soon(task.cancel)
        loop.call_soon(notice, "KEY_GONE")
        await asyncio.wait({task})
        assert task.cancelled()

    run(main())


def test_nested_bodies_know_their_own_losses(run: Run, key: str) -> None:
    async def main() -> None:
        for lost in ("outer", "inner", "both"):
            caught = []
            task = None
            try:
                async with aio.hold(f"{key}/outer") as outer:
                    try:
                        async with aio.hold(f"{key}/inner") as inner:
                            locks = {"outer": [outer], "inner": [inner], "both": [outer, inner]}[lost]
                            task = soon(*locks)
                            await asyncio.sleep(LONG)
                    except consul_lock.LostError as problem:
                        caught.append(("inner", str(problem)))
                        raise
            except consul_lock.LostError as problem:
                caught.append(("outer", str(problem)))
            assert task is not None
            await task
            said = [where for where, told in caught if f"/{where}" in told]
            assert said == ["inner"] if lost == "inner" else said[-1:] == ["outer"], (lost, caught)
            assert inner.closed and outer.closed and await is_usable()

    run(main())


def test_the_generator_of_a_fixture_may_leave_the_body_in_another_task(run: Run, key: str, full_key: str) -> None:
    @contextlib.asynccontextmanager
    async def fixture() -> Any:
        async with aio.hold(key) as lock:
            yield lock

    async def main() -> None:
        manager = fixture()
        lock = await asyncio.ensure_future(manager.__aenter__())
        await lose(lock)
        with pytest.raises(consul_lock.LostError):
            await asyncio.ensure_future(manager.__aexit__(None, None, None))

    run(main())
    support.nothing_left(full_key)


def test_a_generator_that_is_dropped_releases_its_lock(run: Run, key: str, full_key: str) -> None:
    async def steps() -> Any:
        async with aio.hold(key):
            yield 1
            yield 2

    async def main() -> None:
        async for _ in steps():
            break
        aio_support.collect()
        await aio_support.until("it is free", lambda: support.session_on(full_key) is None)
        generator = steps()
        assert await generator.__anext__() == 1
        await generator.aclose()
        # The release was awaited.
        assert support.session_on(full_key) is None

    run(main())
    support.nothing_left(full_key)


def test_a_body_needs_a_task(key: str) -> None:
    loop = asyncio.new_event_loop()
    problems: list[BaseException] = []

    def enter() -> None:
        try:
            aio.Lock(key).__aenter__().send(None)
        except RuntimeError as problem:
            problems.append(problem)
        loop.stop()

    loop.call_soon(enter)
    loop.run_forever()
    loop.close()
    assert "needs a task" in str(problems[0])
