"""The body of an `async with` among the groups, timeouts and eager tasks of newer Pythons."""

from __future__ import annotations

import asyncio
import contextlib
import sys
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


if sys.version_info >= (3, 11):

    def test_a_loss_cancels_the_group_inside_of_a_body(run: Run, key: str) -> None:
        async def main() -> None:
            ended = []

            async def work() -> None:
                try:
                    await asyncio.sleep(LONG)
                finally:
                    ended.append(1)

            with pytest.raises(consul_lock.LostError):
                async with aio.hold(key) as lock, asyncio.TaskGroup() as group:
                    group.create_task(work())
                    group.create_task(work())
                    task = soon(lock)
            await task
            assert len(ended) == 2 and await is_usable()

        run(main())

    def test_a_group_whose_task_fails_at_the_loss_raises_that(run: Run, key: str) -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(LONG)
            finally:
                raise OSError

        async def main() -> None:
            with pytest.raises(aio_support.ExceptionGroup):
                async with aio.hold(key) as lock, asyncio.TaskGroup() as group:
                    group.create_task(work())
                    task = soon(lock)
            await task
            assert await is_usable()

        run(main())

    def test_a_lost_lock_in_a_task_of_a_group_cancels_the_others(run: Run, key: str) -> None:
        async def work() -> None:
            async with aio.hold(key) as lock:
                task = soon(lock)
                await asyncio.sleep(LONG)
                await task

        async def main() -> None:
            with pytest.raises(aio_support.ExceptionGroup) as told:
                async with asyncio.TaskGroup() as group:
                    group.create_task(work())
                    other = group.create_task(asyncio.sleep(LONG))
            assert [type(one) for one in told.value.exceptions] == [consul_lock.LostError]
            assert other.cancelled()

        run(main())

    def test_timeouts_around_and_inside_of_a_body_that_is_lost(run: Run, key: str) -> None:
        async def main() -> None:
            with pytest.raises(consul_lock.LostError):
                async with asyncio.timeout(LONG):
                    async with aio.hold(key) as lock:
                        task = soon(lock)
                        async with asyncio.timeout(LONG):
                            await asyncio.sleep(LONG)
            await task
            assert await is_usable()

        run(main())

    @pytest.mark.parametrize("order", ["loss first", "timeout first"])
    def test_a_loss_and_a_timeout_at_the_same_moment(run: Run, key: str, order: str) -> None:
        async def both(outer: bool) -> BaseException:
            try:
                if outer:
                    async with asyncio.timeout(None) as limit, aio.hold(key) as lock:
                        at_once(limit, lock)
                        await asyncio.sleep(LONG)
                else:
                    async with aio.hold(key) as lock, asyncio.timeout(None) as limit:
                        at_once(limit, lock)
                        await asyncio.sleep(LONG)
            except (TimeoutError, consul_lock.LostError) as problem:
                return problem
            raise AssertionError("the body ended")

        def at_once(limit: Any, lock: aio.Lock) -> None:
            loop = asyncio.get_running_loop()
            support.delete(lock.key)
            notice = aio_support.notice_of(lock)
            calls: list[Callable[[], object]] = [lambda: notice("KEY_GONE"), limit._on_timeout]
            for call in calls if order == "loss first" else reversed(calls):
                loop.call_soon(call)

        async def main() -> None:
            # The outer one wins, as the inner one sees a cancellation that is not its own.
            assert isinstance(await both(outer=True), TimeoutError)
            assert await is_usable()
            assert isinstance(await both(outer=False), consul_lock.LostError)
            assert await is_usable()

        run(main())

    def test_a_task_that_was_being_cancelled_before_the_body_still_gets_the_loss(run: Run, key: str) -> None:
        async def main() -> None:
            task: Any = asyncio.current_task()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG)
            assert task.cancelling() == 1
            with pytest.raises(consul_lock.LostError):
                async with aio.hold(key) as lock:
                    losing = soon(lock)
                    await asyncio.sleep(LONG)
            await losing
            assert task.cancelling() == 1
            task.uncancel()

        run(main())


if sys.version_info >= (3, 12):
    # The tasks of uvloop 0.23 do not begin at once on each version of Python.
    @pytest.mark.parametrize("kind", ["asyncio", "debug"])
    def test_tasks_that_begin_at_once(kind: str, key: str, full_key: str) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            ended: list[str] = []

            async def work(name: str) -> None:
                async with aio.hold(key, timeout=LONG):
                    ended.append(name)

            await asyncio.gather(*(work(str(number)) for number in range(5)))
            assert ended == ["0", "1", "2", "3", "4"]

            async def wait(found: asyncio.Future[aio.Lock]) -> None:
                async with aio.hold(key) as lock:
                    found.set_result(lock)
                    await asyncio.sleep(LONG)

            for lost in (True, False):
                found: asyncio.Future[aio.Lock] = loop.create_future()
                task = asyncio.ensure_future(wait(found))
                lock = await found
                if lost:
                    await lose(lock)
                else:
                    task.cancel()
                await asyncio.wait({task})
                assert isinstance(task.exception(), consul_lock.LostError) if lost else task.cancelled()
                assert lock.closed
            assert support.session_on(full_key) is None

        with aio_support.no_complaints():
            aio_support.run(kind, main())
