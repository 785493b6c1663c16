"""The locks of asyncio: what their methods do, in each kind of loop."""

from __future__ import annotations

import asyncio
import threading
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


def test_a_body_has_the_lock_and_the_exit_releases_it(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with aio.hold(key) as lock:
            assert lock.held and lock.remaining > 100 and lock.fencing_token > 0
            assert support.session_on(full_key) == lock.session_id
        assert not lock.held and lock.closed and lock.fencing_token > 0
        assert support.session_on(full_key) is None

    run(main())
    support.nothing_left(full_key)


def test_a_lock_is_made_outside_of_a_loop_and_acquired_inside(run: Run, key: str) -> None:
    lock = aio.Lock(key)

    async def main() -> None:
        assert not await lock.release()
        await lock.acquire()
        assert await lock.release() is True
        assert await lock.release() is False
        with pytest.raises(consul_lock.AlreadyUsedError):
            await lock.acquire()
        await lock.close()
        await lock.close()
        with pytest.raises(consul_lock.ClosedError):
            await lock.acquire()

    run(main())


def test_a_held_lock_is_not_acquired_and_the_error_names_the_holder(run: Run, key: str) -> None:
    async def main() -> None:
        async with held(key) as other:
            assert await aio.Lock(key).try_acquire() is False
            with pytest.raises(consul_lock.NotAcquiredError, match=other.session_id) as told:
                async with aio.hold(key, timeout=0.5):
                    raise AssertionError("the body ran")
            assert told.value.retryable

    run(main())


def test_waiters_of_one_loop_are_served_in_their_order(run: Run, key: str) -> None:
    served: list[int] = []

    async def work(number: int) -> None:
        async with aio.hold(key, timeout=support.PATIENCE):
            served.append(number)

    async def main() -> None:
        async with held(key):
            tasks = []
            for number in range(20):
                tasks.append(asyncio.ensure_future(work(number)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    run(main())
    assert served == list(range(20))


def test_what_a_holder_does_while_it_holds(run: Run, key: str) -> None:
    async def main() -> None:
        async with aio.hold(key, share=False) as lock:
            await lock.renew()
            await lock.check()
            first = lock.fencing_token
            await lock.put_if_held(f"{key}/result", "ünder the lock")
            assert support.value(f"{key}/result") == "ünder the lock".encode()
            await lock.delete_if_held(f"{key}/result")
            assert support.value(f"{key}/result") is None
            await lock.downgrade()
            await lock.upgrade(timeout=5)
            assert lock.fencing_token > first
            with pytest.raises(consul_lock.InvalidArgumentError):
                await lock.put_if_held(lock.key, b"")
            with pytest.raises(consul_lock.InvalidArgumentError):
                await lock.upgrade(timeout=-1)

    run(main())


def test_several_keys_are_one_lock(run: Run, key: str) -> None:
    async def main() -> None:
        async with aio.hold([f"{key}/b", f"{key}/a"]) as lock:
            assert len(lock.keys) == 2
            assert not await aio.Lock(f"{key}/b").try_acquire()

    run(main())


def test_a_lock_that_is_not_held_is_not_renewed(run: Run, key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        for call in (lock.renew(), lock.check(), lock.downgrade(), lock.upgrade(), lock.put_if_held(f"{key}/x", "")):
            with pytest.raises(consul_lock.NotHeldError):
                await call
        # None of them has used the lock.
        await lock.acquire()
        await lock.close()

    run(main())


def test_cancel_ends_a_wait_also_from_another_thread(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with held(key):
            lock = aio.Lock(key, timeout=None)
            task = await waiting(lock, full_key)
            threading.Timer(0.01, lock.cancel).start()
            with support.within(support.AT_ONCE), pytest.raises(consul_lock.CancelledError):
                await task

    run(main())


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_an_acquire_that_waits_ends_with_its_lock(run: Run, key: str, full_key: str, end: str) -> None:
    async def main() -> None:
        async with held(key):
            lock = aio.Lock(key, timeout=None)
            task = await waiting(lock, full_key)
            ended = getattr(lock, end)()
            if ended is not None:
                await ended
            with support.within(support.AT_ONCE), pytest.raises(consul_lock.ClosedError):
                await task

    run(main())
    support.nothing_left(full_key)


def test_release_ends_an_acquire_that_waits(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        async with held(key):
            lock = aio.Lock(key, timeout=None)
            task = await waiting(lock, full_key)
            assert await lock.release() is False
            with pytest.raises(consul_lock.CancelledError):
                await task

    run(main())


def test_the_generator_of_values_runs_at_the_acquire(run: Run, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise OSError

    async def main() -> None:
        monkeypatch.setattr(consul_lock.defaults, "generate_value", lambda: "made here")
        async with aio.hold(key) as lock:
            assert support.value(lock.key) == b"made here"
        monkeypatch.setattr(consul_lock.defaults, "generate_value", fails)
        lock = aio.Lock(key)
        with pytest.raises(consul_lock.ValueFailedError) as told:
            await lock.acquire()
        assert isinstance(told.value.__cause__, OSError)

    run(main())


def test_the_notice_of_a_loss_runs_in_the_loop_with_the_callers_context(run: Run, key: str) -> None:
    import contextvars

    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

    async def main() -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        told: list[object] = []
        lock = aio.Lock(key)

        @lock.on_lost
        def replaced(reason: str) -> None:
            told.append("replaced")

        name.set("of the caller")

        @lock.on_lost
        def lost(reason: str) -> None:
            told.extend([reason, asyncio.get_running_loop() is loop, name.get()])
            heard.set()

        name.set("later")
        await lock.acquire()
        support.delete(lock.key)
        await asyncio.wait_for(heard.wait(), support.PATIENCE)
        assert told == ["KEY_GONE", True, "of the caller"]
        assert lock.lost and lock.lost_reason == "KEY_GONE" and not lock.held
        # Of a lock that is lost already the loop tells at once.
        again: asyncio.Future[str] = loop.create_future()
        lock.on_lost(again.set_result)
        assert not again.done()
        assert await asyncio.wait_for(again, support.PATIENCE) == "KEY_GONE"
        with pytest.raises(consul_lock.LostError) as raised:
            await lock.release()
        assert raised.value.reason == "KEY_GONE"

    run(main())


def test_a_notice_that_raises_goes_to_the_handler_of_the_loop(run: Run, key: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        problem: asyncio.Future[dict[str, Any]] = loop.create_future()
        loop.set_exception_handler(lambda _, context: problem.set_result(context))
        lock, next_lock = aio.Lock(key), aio.Lock(f"{key}/next")
        lock.on_lost(lambda reason: {}[reason])
        heard = asyncio.Event()
        next_lock.on_lost(lambda _: heard.set())
        await asyncio.gather(lock.acquire(), next_lock.acquire())
        support.delete(lock.key)
        support.delete(next_lock.key)
        context = await asyncio.wait_for(problem, support.PATIENCE)
        assert isinstance(context["exception"], KeyError)
        await asyncio.wait_for(heard.wait(), support.PATIENCE)

    run(main())


def test_a_notice_is_no_coroutine_function(key: str) -> None:
    async def later(reason: str) -> None:
        raise AssertionError(reason)

    lock = aio.Lock(key)
    for wrong in (later, None, "lost"):
        with pytest.raises(TypeError, match="takes a function"):
            lock.on_lost(wrong)  # type: ignore[type-var]


def test_a_lock_tells_what_it_is(run: Run, key: str, full_key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        assert repr(lock) == f"<consul_lock.aio.Lock '{full_key}' not held>"
        async with lock:
            assert repr(lock).startswith(f"<consul_lock.aio.Lock '{full_key}' held, 1")
        assert repr(lock) == f"<consul_lock.aio.Lock '{full_key}' closed>"

    run(main())


def test_a_lock_of_another_loop_is_refused_in_words(run: Run, key: str, full_key: str) -> None:
    lock = aio.Lock(key)
    run(lock.acquire())

    async def main() -> None:
        for call in (lock.release(), lock.renew(), lock.acquire(), lock.close(), lock.upgrade()):
            with pytest.raises(RuntimeError, match=f'"{full_key}" belongs to another event loop'):
                await call

    run(main())
    assert not lock.closed
    support.end_session_of(full_key)
    lock.abandon()


def test_the_calls_need_a_loop(key: str) -> None:
    lock = aio.Lock(key)
    for make in (lock.acquire, lock.release, lock.renew, lambda: aio.holder(key)):
        coroutine: Coroutine[Any, Any, Any] = make()
        with pytest.raises(RuntimeError, match="no running event loop"):
            coroutine.send(None)
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.observe(key)


@pytest.mark.parametrize("kind", aio_support.KINDS)
def test_a_program_of_asyncio_has_no_further_python_thread(kind: str, key: str) -> None:
    program = f"""
        import asyncio, logging, aio_support, support
        from consul_lock import aio

        logging.basicConfig(level=logging.WARNING, stream=sys.stdout)

        async def main():
            client = consul_lock.Client()
            lost = asyncio.Event()
            lock = aio.Lock({key!r}, client=client, auto_renew=True)
            lock.on_lost(lambda _: lost.set())
            await lock.acquire()
            async for holder in aio.observe({key!r}):
                break
            await aio.holder({key!r})
            assert not await aio.Lock({key!r}, timeout=0.5).try_acquire()
            support.delete(lock.key)
            await lost.wait()
            await lock.close()
            await aio.shutdown()
            assert threading.active_count() == 1, threading.enumerate()

        aio_support.run({kind!r}, main())
        assert threading.active_count() == 1, threading.enumerate()
    """
    # The lines of the log come through the loop as well.
    assert "ERROR:consul_lock:lost the lock" in support.run(program)


def test_a_thousand_tasks_wait_for_one_key_with_one_place_in_the_line(run: Run, key: str, full_key: str) -> None:
    served: list[int] = []

    async def work(number: int) -> None:
        async with aio.hold(key, timeout=120):
            served.append(number)

    async def main() -> None:
        async with held(key):
            python, before = threading.active_count(), aio_support.threads()
            tasks = [asyncio.ensure_future(work(number)) for number in range(1000)]
            await until("they wait", lambda: consul_lock.stats()["waiting"] >= 1000)
            await until("there is a line", lambda: support.waits(full_key))
            assert len(support.keys(f"{full_key}/.fifo/")) == 1
            assert threading.active_count() == python
            assert aio_support.threads() <= before + 8
            # A half of them is cancelled at once, and not at the end of their time.
            with support.within(support.PATIENCE):
                for task in tasks[::2]:
                    task.cancel()
                await asyncio.wait(tasks[::2])
            assert all(task.cancelled() for task in tasks[::2])
        await asyncio.gather(*tasks[1::2])

    run(main())
    assert served == list(range(1, 1000, 2))
    support.nothing_left(full_key)


def test_a_thousand_tasks_wait_for_a_thousand_keys(run: Run, key: str, full_key: str) -> None:
    async def work(number: int, begin: asyncio.Event) -> None:
        async with aio.hold(f"{key}/{number}", timeout=120):
            await begin.wait()

    async def main() -> None:
        begin = asyncio.Event()
        tasks = [asyncio.ensure_future(work(number, begin)) for number in range(1000)]
        await until("they hold", lambda: consul_lock.stats()["held"] >= 1000, patience=120)
        begin.set()
        await asyncio.gather(*tasks)

    run(main())
    support.nothing_left(full_key)


def test_an_import_of_the_package_leaves_asyncio_alone_until_its_first_use() -> None:
    told = support.run(
        """
        print("asyncio" in sys.modules)
        print(consul_lock.aio.hold("key"))
        try:
            consul_lock.missing
        except AttributeError as problem:
            print(problem)
        """
    )
    assert told.splitlines() == [
        "False",
        "<consul_lock.aio.Lock 'locks/ephemeral/key' not held>",
        "module 'consul_lock' has no attribute 'missing'",
    ]
