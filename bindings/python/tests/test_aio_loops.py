"""The ends of event loops, of threads with loops, of processes: nothing stays behind, and nothing grows."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import threading
import warnings
import weakref
from typing import Any

import aio_support
import pytest
import support

import consul_lock
from consul_lock import aio


@pytest.fixture(params=aio_support.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the loop."""
    found: str = request.param
    return found


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """A loop of a kind, which the test itself closes."""
    if kind == "uvloop":
        import uvloop

        made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return made
    loop = asyncio.new_event_loop()
    loop.set_debug(kind == "debug")
    return loop


async def cycle(key: str) -> None:
    """Takes a lock and releases it."""
    async with aio.hold(key, timeout=support.PATIENCE):
        pass


def test_one_loop_after_the_other(kind: str, key: str) -> None:
    with aio_support.no_complaints():
        for _ in range(3):
            aio_support.run(kind, cycle(key))


def test_hundreds_of_loops_leave_no_descriptor_and_no_memory(kind: str, key: str) -> None:
    async def use() -> None:
        async with aio.hold(key):
            async for _ in aio.observe(key):
                break
            await aio.Lock(key).try_acquire()

    def some(count: int) -> tuple[int, int]:
        for _ in range(count):
            aio_support.run(kind, use())
        aio_support.collect()
        return aio_support.descriptors(), aio_support.resident()

    some(50)
    descriptors, memory = some(50)
    with aio_support.no_complaints():
        later, grown = some(200)
    assert later <= descriptors + 2
    # PyPy lets its heap grow further before it collects.
    assert grown - memory < (8_000_000 if is_counted() else 64_000_000)
    assert not aio._loop._receivers


def test_a_closed_loop_frees_its_queue_also_while_a_lock_lives(key: str, full_key: str) -> None:
    locks = {kind: aio.Lock(f"{key}/{kind}", lock_timeout=10, auto_renew=True) for kind in aio_support.KINDS}
    before = aio_support.descriptors()
    for kind, lock in locks.items():
        loop = new_loop(kind)
        loop.run_until_complete(lock.acquire())
        home = lock._home
        assert home is not None and home() is not None
        loop.close()
        aio_support.collect()
        assert home() is None
        del loop
    aio_support.collect()
    # The library has its own connections.
    assert aio_support.descriptors() <= before + 4
    # No loop uses the locks any more, so the library does not renew them: Consul ends them, after two TTLs at most.
    support.wait_until("their lives end", lambda: not support.keys(full_key), patience=60)
    assert not any(lock.held for lock in locks.values())


@pytest.mark.parametrize("closed_by", ["run", "close"])
def test_a_loop_that_ends_with_waits_leaves_nothing(kind: str, key: str, full_key: str, closed_by: str) -> None:
    async def hold_on() -> None:
        async with aio.hold(key, timeout=None):
            await asyncio.sleep(support.PATIENCE)

    tasks: list[asyncio.Future[Any]] = []

    async def wait() -> None:
        tasks.append(asyncio.ensure_future(hold_on()))
        await aio_support.until("it is held", lambda: support.session_on(full_key))
        tasks.extend(asyncio.ensure_future(hold_on()) for _ in range(5))
        tasks.append(asyncio.ensure_future(aio.observe(key).__anext__()))
        await aio_support.until("they wait", lambda: support.waits(full_key))

    if closed_by == "run":
        with aio_support.no_complaints():
            aio_support.run(kind, wait())
    else:
        logging.getLogger("asyncio").disabled = True
        try:
            loop = new_loop(kind)
            loop.run_until_complete(wait())
            loop.close()
            del loop
            tasks.clear()
            aio_support.collect()
        finally:
            logging.getLogger("asyncio").disabled = False
    support.wait_until("nothing is left", lambda: not support.keys(full_key), patience=support.AT_ONCE)
    support.nothing_left(full_key)


def test_a_loop_that_is_dropped_without_a_close_leaves_nothing(key: str, full_key: str) -> None:
    async def work() -> None:
        async with aio.hold(key, timeout=None):
            await asyncio.sleep(support.PATIENCE)

    async def begin(kept: list[Any]) -> None:
        task = asyncio.ensure_future(work())
        kept.append(weakref.ref(task))
        await aio_support.until("it is held", lambda: support.session_on(full_key))

    def use() -> None:
        asyncio.new_event_loop().run_until_complete(begin(kept))

    kept: list[Any] = []
    logging.getLogger("asyncio").disabled = True
    try:
        with pytest.warns(ResourceWarning, match="unclosed event loop"):
            use()
            aio_support.collect()
    finally:
        logging.getLogger("asyncio").disabled = False
    assert kept[0]() is None
    support.wait_until("it is free", lambda: not support.keys(full_key), patience=support.AT_ONCE)


def test_a_held_lock_that_is_dropped_warns(kind: str, key: str, full_key: str) -> None:
    async def take() -> None:
        await aio.Lock(key).acquire()

    async def drop() -> None:
        await take()
        aio_support.collect()

    with pytest.warns(ResourceWarning, match=f'"{full_key}" was dropped without a release'):
        aio_support.run(kind, drop())
    support.end_session_of(full_key)


def test_a_lock_that_is_dropped_goes_without_the_collector(key: str) -> None:
    async def main() -> None:
        lock = aio.Lock(key)
        lock.on_lost(print)
        handle = weakref.ref(lock._live())
        async with lock:
            pass
        gc.disable()
        try:
            del lock
            assert handle() is None or not is_counted()
        finally:
            gc.enable()

    aio_support.run("asyncio", main())


def is_counted() -> bool:
    """Whether this Python frees an object with its last reference."""
    kept = threading.Event()
    gone = weakref.ref(kept)
    del kept
    return gone() is None


def test_loops_in_several_threads(kind: str, key: str, full_key: str) -> None:
    inside = 0

    async def work() -> None:
        nonlocal inside
        for _ in range(10):
            async with aio.hold(key, timeout=support.PATIENCE):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1

    callers = [support.Caller(lambda: aio_support.run(kind, work())) for _ in range(8)]
    for caller in callers:
        caller.outcome()
    support.nothing_left(full_key)


def test_a_lock_of_threads_and_one_of_a_loop_exclude_each_other(kind: str, key: str) -> None:
    async def main() -> None:
        async with aio.hold(key):
            assert not consul_lock.Lock(key).try_acquire()
        with consul_lock.hold(key):
            assert not await aio.Lock(key).try_acquire()

    aio_support.run(kind, main())


def test_a_child_runs_its_own_loop(kind: str, key: str, full_key: str) -> None:
    lock = aio.Lock(key)
    loop = new_loop(kind)
    loop.run_until_complete(lock.acquire())

    def in_child() -> list[object]:
        async def main() -> list[object]:
            told: list[object] = [lock.held, await aio.Lock(key).try_acquire()]
            for call in (lock.release(), lock.renew()):
                try:
                    await call
                except consul_lock.ForkedError as problem:
                    told.append(problem.status)
            await lock.close()
            await cycle(f"{key}/child")
            return told

        return aio_support.run(kind, main())

    child = support.Child(in_child)
    assert child.told() == "[False, False, 'FORKED', 'FORKED']"
    assert lock.held and support.session_on(full_key) == lock.session_id
    loop.run_until_complete(lock.release())
    loop.close()
    support.nothing_left(full_key, child.pid)


def test_a_child_that_is_forked_inside_of_a_loop_runs_its_own_loop(key: str, full_key: str) -> None:
    async def main() -> str:
        async with aio.hold(key) as lock:
            # What the child frees must not end the parent's queue.
            child = support.Child(in_child)
            told = child.told()
            await lock.check()
            return told

    def in_child() -> str:
        asyncio.run(cycle(f"{key}/child"))
        aio_support.collect()
        return "done"

    assert asyncio.run(main()) == "'done'"
    support.nothing_left(full_key)


def in_process(key: str) -> None:
    """What a process of multiprocessing does."""
    asyncio.run(cycle(key))


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_processes_of_multiprocessing_run_their_own_loops(key: str, way: str) -> None:
    asyncio.run(cycle(key))
    context: Any = multiprocessing.get_context(way)
    processes = [context.Process(target=in_process, args=(key,)) for _ in range(3)]
    with warnings.catch_warnings():
        # Of a fork of a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join(support.PATIENCE)
        assert process.exitcode == 0


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGINT)", "loop.stop()", "os._exit(0)"])
def test_a_program_may_end_with_pending_waits(kind: str, key: str, end: str) -> None:
    text = f"""
        import asyncio, aio_support
        from consul_lock import aio

        async def wait():
            async with aio.hold({key!r}, timeout=None):
                await asyncio.sleep(60)

        async def main():
            loop = asyncio.get_running_loop()
            tasks = [asyncio.ensure_future(wait()) for _ in range(10)]
            observer = aio.observe({key!r})
            await observer.__anext__()
            await asyncio.sleep(0.05)
            {end}
            await asyncio.sleep(60)

        try:
            aio_support.run({kind!r}, main())
        except (KeyboardInterrupt, RuntimeError):
            pass
    """
    for _ in range(support.RUNS // 10):
        status, out, said = support.Program(text).end()
        assert status == 0 and "Fatal" not in said and "Traceback" not in said, (status, out, said)


def test_a_program_may_end_while_a_thread_runs_a_loop(kind: str, key: str) -> None:
    text = f"""
        import asyncio, aio_support
        from consul_lock import aio

        async def cycles():
            while True:
                async with aio.hold({key!r} + str(threading.get_ident()), timeout=None):
                    begun.set()

        begun = threading.Event()
        for _ in range(3):
            threading.Thread(target=lambda: aio_support.run({kind!r}, cycles()), daemon=True).start()
        begun.wait()
    """
    for _ in range(support.RUNS // 10):
        status, out, said = support.Program(text).end()
        assert status == 0 and "Fatal" not in said, (status, out, said)


def test_a_loop_keeps_no_variable_of_the_first_caller(kind: str, key: str) -> None:
    import contextvars

    class Large:
        pass

    name: contextvars.ContextVar[Large] = contextvars.ContextVar("name")

    async def first() -> weakref.ref[Large]:
        large = Large()
        name.set(large)
        await cycle(key)
        return weakref.ref(large)

    async def main() -> None:
        reference = await asyncio.ensure_future(first())
        await asyncio.sleep(0)
        aio_support.collect()
        assert reference() is None

    aio_support.run(kind, main())


def test_a_callback_that_exits_holds_up_no_other_event(kind: str, key: str) -> None:
    heard: list[str] = []

    def leave(reason: str) -> None:
        heard.append(reason)
        raise SystemExit(5)

    async def main() -> None:
        locks = [aio.Lock(f"{key}/{number}") for number in range(3)]
        for lock in locks:
            lock.on_lost(leave)
            await lock.acquire()
        for lock in locks:
            support.end_session_of(lock.key)
        # The loop is busy until all notices wait.
        support.wait_until("they are lost", lambda: all(lock.lost for lock in locks))
        await aio_support.until("all notices have come", lambda: len(heard) == 3)

    loop = new_loop(kind)
    task = loop.create_task(main())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    # uvloop ends its turn before it stops.
    while not task.done():
        with contextlib.suppress(SystemExit):
            loop.run_until_complete(task)
    loop.close()
    assert len(heard) == 3
