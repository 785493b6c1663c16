"""The cancellation of tasks: any wait ends at once, and nothing is left in Consul."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import aio_support
import pytest
import support
from aio_support import held, until, waiting

import consul_lock
from consul_lock import aio

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=aio_support.KINDS)
def run(request: pytest.FixtureRequest) -> Any:
    """Runs a coroutine in a new loop, of which asyncio must not complain."""
    with aio_support.no_complaints():
        yield lambda main: aio_support.run(request.param, main)


async def enter(key: str) -> None:
    """Waits for a lock at the entry of a body."""
    async with aio.hold(key, timeout=None):
        await asyncio.sleep(support.PATIENCE)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Waits for a task that was cancelled, at once."""
    with support.within(support.AT_ONCE):
        await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize("way", ["acquire", "try_acquire", "enter"])
def test_a_cancelled_wait_leaves_nothing(run: Run, key: str, full_key: str, way: str) -> None:
    async def main() -> None:
        async with held(key):
            lock = aio.Lock(key, timeout=None)
            task = asyncio.ensure_future(enter(key) if way == "enter" else getattr(lock, way)())
            await until("it waits", lambda: support.waits(full_key))
            task.cancel("no patience")
            await cancelled(task)
            assert not support.waits(full_key)
        async with aio.hold(key):
            pass

    run(main())
    support.nothing_left(full_key)


def test_wait_for_ends_a_wait(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with held(key):
            with support.within(support.AT_ONCE), pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(aio.Lock(key, timeout=None).acquire(), 0.2)
            assert not support.waits(full_key)

    run(main())


if sys.version_info >= (3, 11):

    def test_a_timeout_around_a_body_ends_the_wait_and_the_body(run: Run, key: str, full_key: str) -> None:
        async def main() -> None:
            async with held(key):
                with support.within(support.AT_ONCE), pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2), aio.hold(key, timeout=None):
                        raise AssertionError("the body ran")
                assert not support.waits(full_key)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5), aio.hold(key):
                    await asyncio.sleep(support.PATIENCE)
            assert support.session_on(full_key) is None
            with pytest.raises(TimeoutError):
                async with aio.hold(key) as lock, asyncio.timeout(0.05):
                    await asyncio.sleep(support.PATIENCE)
            assert lock.closed and support.session_on(full_key) is None
            task = asyncio.current_task()
            assert task is not None and task.cancelling() == 0

        run(main())

    def test_a_group_cancels_the_tasks_that_wait(run: Run, key: str, full_key: str) -> None:
        async def fail() -> None:
            await until("they wait", lambda: consul_lock.stats()["waiting"] >= 5)
            raise OSError

        async def main() -> None:
            async with held(key):
                with pytest.raises(aio_support.ExceptionGroup) as told:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(5):
                            group.create_task(enter(key))
                        group.create_task(fail())
                assert [type(one) for one in told.value.exceptions] == [OSError]
                assert not support.waits(full_key)

        run(main())


def test_a_second_cancellation_does_not_break_the_first(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with held(key):
            task = await waiting(aio.Lock(key, timeout=None), full_key)
            task.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
                task.cancel()
            await cancelled(task)
            await until("nothing waits", lambda: not support.waits(full_key))

    run(main())


def test_a_lock_that_was_won_at_the_cancellation_is_released(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        task = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
        # The loop is busy until Consul has given the lock.
        support.wait_until("it is held", lambda: lock.held)
        task.cancel()
        await cancelled(task)
        assert not lock.held and support.session_on(full_key) is None

    run(main())


def test_a_release_that_is_cancelled_goes_on(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        for end in ("release", "close"):
            lock = aio.Lock(key)
            await lock.acquire()
            task = asyncio.ensure_future(getattr(lock, end)())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await cancelled(task)
            await until("it is free", lambda: support.session_on(full_key) is None)
            assert not lock.held

    run(main())


def test_a_cancellation_in_the_exit_of_a_body_comes_out_and_the_release_goes_on(
    run: Run, key: str, full_key: str
) -> None:
    async def work(ended: asyncio.Event) -> None:
        async with aio.hold(key):
            ended.set()

    async def main() -> None:
        ended = asyncio.Event()
        task = asyncio.ensure_future(work(ended))
        await ended.wait()
        task.cancel()
        await cancelled(task)
        await until("it is free", lambda: support.session_on(full_key) is None)

    run(main())


def test_a_cancelled_wait_at_a_consul_that_does_not_answer_ends_at_once(
    run: Run, key: str, full_key: str, gate: support.Gate
) -> None:
    async def main() -> None:
        client = consul_lock.Client(gate.address)
        async with aio.hold(f"{key}/first", client=client) as held_before:
            gate.shut = True
            lock = aio.Lock(key, timeout=None, client=client)
            task = asyncio.ensure_future(lock.acquire())
            await asyncio.sleep(0.1)
            task.cancel()
            await cancelled(task)
            # So does a release.
            release = asyncio.ensure_future(held_before.release())
            await asyncio.sleep(0.1)
            release.cancel()
            await cancelled(release)
            gate.shut = False
        await until("nothing is left", lambda: not support.keys(full_key))

    run(main())


def test_a_cancelled_upgrade_leaves_a_share(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with aio.hold(key, share=True) as lock, aio.hold(key, share=True):
            task = asyncio.ensure_future(lock.upgrade(timeout=None))
            await asyncio.sleep(0.3)
            assert not task.done()
            task.cancel()
            await cancelled(task)
            assert lock.held
            # Another share is refused while an upgrade waits.
            async with aio.hold(key, share=True):
                await lock.check()

    run(main())


def test_the_cancellation_of_a_second_acquire_does_not_undo_the_first(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with aio.hold(key) as lock:
            task = asyncio.ensure_future(lock.acquire())
            await asyncio.sleep(0)
            task.cancel()
            await cancelled(task)
            assert lock.held and support.session_on(full_key) == lock.session_id

    run(main())


def test_two_hundred_cancellations_at_random_moments_leave_nothing(run: Run, key: str, full_key: str) -> None:
    chance = random.Random(15)
    inside = 0

    async def work(pause: float, patience: float | None) -> None:
        nonlocal inside
        async with aio.hold(key, timeout=patience):
            inside += 1
            assert inside == 1, "two were inside"
            try:
                await asyncio.sleep(pause)
            finally:
                inside -= 1

    async def main() -> None:
        tasks: set[asyncio.Task[None]] = set()
        for _ in range(200):
            task = asyncio.ensure_future(work(chance.random() * 0.004, chance.choice([None, 0, 5.0])))
            tasks.add(task)
            for _ in range(chance.choice([1, 1, 2])):
                asyncio.get_running_loop().call_later(chance.random() * 0.03, task.cancel)
            await asyncio.sleep(chance.random() * 0.008)
        _, late = await asyncio.wait(tasks, timeout=support.PATIENCE)
        assert not late
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, consul_lock.NotAcquiredError):
                task.result()
        with support.within(support.AT_ONCE):
            async with aio.hold(key, timeout=support.AT_ONCE):
                pass
        assert consul_lock.stats()["waiting"] == consul_lock.stats()["held"] == 0

    run(main())
    support.nothing_left(full_key)
