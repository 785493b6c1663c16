"""The package in short, in plain Python, for each interpreter that the package supports: matrix.py runs this file.

    CONSUL_HTTP_ADDR=127.0.0.1:8500 python smoke.py

Prints what failed, and `N passed, N failed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
import warnings
from collections.abc import Iterator

import consul_lock
from consul_lock import aio

#: Longer than anything here takes, so that only what hangs comes to it.
PATIENCE = 30
NAME = f"smoke-{os.getpid()}-{os.urandom(4).hex()}"


def consul(method: str, path: str) -> bytes:
    """Asks Consul, as another program would."""
    request = urllib.request.Request(f"http://{os.environ['CONSUL_HTTP_ADDR']}{path}", method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        told: bytes = answer.read()
        return told


def program(text: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a program of this interpreter."""
    whole = f"import consul_lock, os, sys, threading\n{text}"
    command = [sys.executable, "-X", "faulthandler", "-c", whole, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the end of a program, and gives its status and what it printed."""
    try:
        out, said = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, out, said


def until_waiting(key: str, count: int = 1) -> None:
    """Waits until so many others wait for a key."""
    deadline = time.monotonic() + PATIENCE
    while len(consul_lock.holders(key).line) < count:
        assert time.monotonic() < deadline, f"nothing waits for {key}"
        time.sleep(0.02)


@contextlib.contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Fails unless the block raises."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def a_cycle(key: str) -> None:
    """A lock is taken, renewed and released, and another one has to wait."""
    lock = consul_lock.Lock(key, lock_timeout=60)
    assert not lock.held
    lock.acquire()
    assert lock.held
    assert lock.fencing_token > 0
    assert 50 < lock.remaining <= 60
    assert key in repr(lock)
    holder = consul_lock.holder(key)
    assert holder is not None
    assert holder.session == lock.session_id
    with raises(consul_lock.NotAcquiredError):
        consul_lock.Lock(key).acquire()
    lock.renew()
    lock.check()
    lock.put_if_held(f"{key}/written", "ä")
    assert consul("GET", f"/v1/kv/{key}/written?raw").decode() == "ä"
    lock.delete_if_held(f"{key}/written")
    assert lock.release()
    assert not lock.release()
    lock.close()
    assert consul_lock.holder(key) is None


def a_scoped_lock(key: str) -> None:
    """The block's exception goes through, and the lock is released."""
    with raises(ZeroDivisionError), consul_lock.hold(key, timeout=PATIENCE) as lock:
        assert lock.held
        raise ZeroDivisionError
    assert consul_lock.holder(key) is None


def errors_are_pythons_own(key: str) -> None:
    """The errors of the library are also the built-in ones."""
    with raises(ValueError):
        consul_lock.Lock(key, lock_timeout=1)
    with raises(TypeError):
        consul_lock.Lock(7)  # type: ignore[arg-type]
    nowhere = consul_lock.Client("127.0.0.1:1")
    with raises(ConnectionError), nowhere:
        consul_lock.Lock(key, client=nowhere).acquire()


def ctrl_c_ends_a_wait(key: str) -> None:
    """A program that waits for ever ends at a Ctrl-C, and leaves no place in the line."""
    with consul_lock.hold(key, timeout=PATIENCE):
        process = program("consul_lock.Lock(sys.argv[1], timeout=None).acquire()", key)
        until_waiting(key)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        status, _, said = ended(process)
        assert time.monotonic() - begun < PATIENCE / 2
        assert status == -signal.SIGINT, (status, said)
        assert "KeyboardInterrupt" in said
        assert len(consul_lock.holders(key).line) == 0


def threads(key: str) -> None:
    """Threads wait for each other, and one at a time is inside."""
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with consul_lock.hold(key, timeout=PATIENCE):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
    assert most == [1] * 6


def a_lost_notice(key: str) -> None:
    """The callback hears of a loss, and the release says so."""
    told: list[str] = []
    heard = threading.Event()
    lock = consul_lock.Lock(key)

    @lock.on_lost
    def stop(reason: str) -> None:
        told.append(reason)
        heard.set()

    lock.acquire()
    consul("DELETE", f"/v1/kv/{lock.key}")
    assert heard.wait(PATIENCE)
    assert told == ["KEY_GONE"]
    assert lock.lost
    assert not lock.held
    with raises(consul_lock.LostError):
        lock.release()
    lock.close()


def asyncio_tasks(key: str) -> None:
    """Tasks wait for each other, a cancel ends a wait at once, and a loss ends the block."""

    async def work(order: list[int], number: int) -> None:
        async with aio.hold(key, timeout=PATIENCE) as lock:
            assert lock.held
            order.append(number)

    async def lost() -> None:
        async with aio.hold(key, timeout=PATIENCE) as lock:
            path = f"/v1/kv/{lock.key}"
            await asyncio.get_running_loop().run_in_executor(None, consul, "DELETE", path)
            await asyncio.sleep(PATIENCE)

    async def main() -> None:
        order: list[int] = []
        await asyncio.gather(*(work(order, number) for number in range(20)))
        assert sorted(order) == list(range(20))
        async with aio.hold(key, timeout=PATIENCE):
            waiting = asyncio.ensure_future(aio.Lock(key, timeout=None).acquire())
            while not consul_lock.stats().get("waiting"):
                await asyncio.sleep(0.01)
            waiting.cancel()
            with raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, PATIENCE)
            with raises(asyncio.TimeoutError):
                await asyncio.wait_for(aio.Lock(key, timeout=None).acquire(), 0.1)
        assert await aio.holder(key) is None
        with raises(consul_lock.LostError):
            await asyncio.wait_for(lost(), PATIENCE)

    asyncio.run(main())


def a_fork(key: str) -> None:
    """The parent's lock stays the parent's, and the child takes one of its own."""
    lock = consul_lock.Lock(key)
    lock.acquire()
    with warnings.catch_warnings():
        # From 3.12 on Python warns of each fork of a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            assert not lock.held
            with raises(consul_lock.ForkedError):
                lock.release()
            with consul_lock.hold(f"{key}-child") as own:
                assert own.held
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended_with = os.waitpid(child, 0)
    assert ended_with == 0
    lock.check()
    assert lock.release()
    lock.close()


def in_a_child(key: str) -> int:
    """Works under a lock, in a process of multiprocessing."""
    with consul_lock.hold(key, timeout=PATIENCE) as lock:
        return lock.fencing_token


def a_spawned_process(key: str) -> None:
    """Processes of multiprocessing take turns."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tokens = pool.map(in_a_child, [key] * 4)
    assert len(set(tokens)) == 4


def the_older_library(key: str) -> None:
    """What a program of the older library does."""
    lock = consul_lock.EphemeralLock(key, acquire_timeout_ms=500)
    assert not lock.release()
    with lock.hold():
        other = consul_lock.EphemeralLock(key, acquire_timeout_ms=50)
        assert not other.acquire(fail_hard=False)
        with raises(consul_lock.LockAcquisitionException):
            consul_lock.EphemeralLock(key, acquire_timeout_ms=50).acquire()
    assert consul_lock.holder(key) is None


def a_dropped_lock(key: str) -> None:
    """The collector abandons a lock that is held, with a warning."""
    text = """
import gc, warnings
warnings.simplefilter("error", ResourceWarning)
sys.unraisablehook = lambda caught: print(caught.exc_type.__name__)
lock = consul_lock.Lock(sys.argv[1])
lock.acquire()
del lock
gc.collect()
"""
    status, out, said = ended(program(text, key))
    assert (status, out, said) == (0, "ResourceWarning\n", ""), (status, out, said)
    holder = consul_lock.holder(key)
    assert holder is not None
    consul("PUT", f"/v1/session/destroy/{holder.session}")


def an_end_with_waits(key: str) -> None:
    """An interpreter ends in good order while threads and tasks wait."""
    text = """
import asyncio
from consul_lock import aio

def wait():
    consul_lock.Lock(sys.argv[1], timeout=None).acquire()

for _ in range(3):
    threading.Thread(target=wait, daemon=True).start()

async def main():
    tasks = [asyncio.ensure_future(aio.Lock(sys.argv[1], timeout=None).acquire()) for _ in range(3)]
    while consul_lock.stats().get("waiting", 0) < 6:
        await asyncio.sleep(0.01)
    held = consul_lock.Lock(sys.argv[1] + "-own")
    held.on_lost(print)
    held.acquire()
    held.release()
    if sys.argv[2] == "at once":
        os._exit(3)
    sys.exit(3)

asyncio.run(main())
"""
    for how in ("in order", "at once"):
        with consul_lock.hold(key, timeout=PATIENCE):
            for _ in range(3):
                status, out, said = ended(program(text, key, how))
                assert (status, out) == (3, ""), (status, out, said)


TESTS = [
    a_cycle,
    a_scoped_lock,
    errors_are_pythons_own,
    ctrl_c_ends_a_wait,
    threads,
    a_lost_notice,
    asyncio_tasks,
    a_fork,
    a_spawned_process,
    the_older_library,
    a_dropped_lock,
    an_end_with_waits,
]


def main() -> int:
    """Runs all tests, one after the other."""
    # The losses here are meant.
    logging.getLogger("consul_lock").addHandler(logging.NullHandler())
    passed = failed = 0
    for test in TESTS:
        try:
            test(f"{NAME}-{test.__name__}")
            passed += 1
        except Exception:
            failed += 1
            print(f"FAILED  {test.__name__}: {traceback.format_exc()}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
