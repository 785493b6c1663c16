"""The garbage collector finds a held lock: it warns, and leaves the lock to its life."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import support

import consul_lock
from consul_lock import Client, ClosedError, Lock, hold, stats


def drop(key: str, **options: object) -> None:
    """Drops a held lock."""
    Lock(key, **options).acquire()  # type: ignore[arg-type]


def collected() -> None:
    for _ in range(3):
        gc.collect()


def test_a_dropped_lock_is_abandoned_with_one_warning(key: str, full_key: str) -> None:
    with pytest.warns(ResourceWarning) as caught:
        drop(key)
        collected()
    told = [str(one.message) for one in caught]
    assert told == [f'the lock "{full_key}" was dropped without a release: it stays in Consul until its life ends']
    assert stats()["held"] == 0
    assert support.session_on(full_key)
    support.end_session_of(full_key)


def test_a_dropped_lock_is_not_renewed(key: str, full_key: str) -> None:
    with pytest.warns(ResourceWarning):
        drop(key, auto_renew=True, lock_timeout=10)
        collected()
    assert stats()["held"] == 0
    support.end_session_of(full_key)


def test_a_cycle_with_a_lock(key: str, full_key: str) -> None:
    def make() -> None:
        lock = Lock(key)
        lock.on_lost(lambda reason: lock.close())
        lock.itself = lock  # type: ignore[attr-defined]
        lock.acquire()

    gc.disable()
    try:
        with pytest.warns(ResourceWarning, match="dropped without a release"):
            make()
            collected()
    finally:
        gc.enable()
    assert support.session_on(full_key)
    support.end_session_of(full_key)


def test_a_warning_that_is_an_error(key: str, full_key: str) -> None:
    status, out, said = support.Program(
        """
        import gc
        lock = consul_lock.Lock(sys.argv[1])
        lock.acquire()
        del lock
        gc.collect()
        print(consul_lock.stats()["held"])
        """,
        key,
        options=("-W", "error"),
    ).end()
    assert (status, out) == (0, "0\n")
    assert "ResourceWarning: the lock" in said
    assert support.session_on(full_key)
    support.end_session_of(full_key)


def test_the_warning_tells_where_the_lock_was_made(key: str, full_key: str) -> None:
    if sys.implementation.name != "cpython":
        # PyPy has no tracemalloc.
        return
    import tracemalloc

    tracemalloc.start(20)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drop(key)
            collected()
        # The collector may also find what an earlier test has left.
        place = next(tracemalloc.get_object_traceback(one.source) for one in caught if full_key in str(one.message))
    finally:
        tracemalloc.stop()
        support.end_session_of(full_key)
    if sys.version_info[:2] == (3, 11):
        # That version knows no place of an object with a dictionary (CPython's own defect, mended in 3.12).
        assert place is None
        return
    assert place is not None
    assert any("Lock(key, **options).acquire()" in line for line in place.format())


def test_locks_that_end_well_cause_no_warning(key: str) -> None:
    support.run(
        """
        import gc
        def use(way):
            lock = consul_lock.Lock(f"{sys.argv[1]}-{way}")
            lock.acquire()
            getattr(lock, way)()
        for way in ("release", "close", "abandon"):
            use(way)
        with consul_lock.hold(sys.argv[1]):
            pass
        consul_lock.Lock(sys.argv[1])
        lost = consul_lock.Lock(sys.argv[1])
        lost.on_lost(lambda reason: lost.close())
        lost.close()
        del lost
        consul_lock.Client().close()
        consul_lock.observe(sys.argv[1], print).close()
        gc.collect()
        gc.collect()
        """,
        key,
        options=("-X", "dev", "-W", "error"),
    )
    support.end_session_of(f"locks/ephemeral/{key}-abandon")


def test_dropped_objects_do_not_pile_up(key: str) -> None:
    def count() -> int:
        collected()
        return sum(isinstance(one, (Lock, consul_lock.Observer, Client)) for one in gc.get_objects())

    before = count()
    client = Client()
    for _ in range(100):
        lock = client.lock(key)
        lock.on_lost(lambda reason, lock=lock: lock.close())  # type: ignore[misc]
        consul_lock.observe(key, lambda holder: None, client=client).close()
        del lock
    del client
    support.wait_until("they are collected", lambda: count() <= before + 10)


def test_a_client_lives_as_long_as_its_locks(key: str, full_key: str) -> None:
    lock = Client().lock(key)
    collected()
    with lock:
        assert support.session_on(full_key) == lock.session_id
    with Client() as client:
        lock = client.lock(key)
    with lock:
        assert lock.held


def test_collecting_all_the_time(key: str, full_key: str) -> None:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with hold(key) as held:
            told: list[object] = []
            held.on_lost(told.append)
            waiting = Lock(key, timeout=60)
            caller = support.waiting(waiting, full_key)
            assert Lock(key, timeout=0.5).try_acquire() is False
            assert consul_lock.holder(key) is not None
            waiting.cancel()
            with pytest.raises(consul_lock.CancelledError):
                caller.outcome()
    finally:
        gc.set_threshold(*before)
    support.nothing_left(full_key)


def test_a_drop_while_another_thread_waits(key: str, full_key: str, holding: Lock) -> None:
    # The thread's call keeps the native lock.
    lock: Lock | None = Lock(key, timeout=60)
    assert lock is not None
    caller = support.waiting(lock, full_key)
    cancel = lock.cancel
    lock = None
    collected()
    assert caller.is_alive()
    cancel()
    with pytest.raises(consul_lock.CancelledError):
        caller.outcome()


def test_the_collector_in_another_thread(key: str, full_key: str) -> None:
    kept = [Lock(key)]
    kept[0].acquire()

    def collect() -> None:
        kept.clear()
        collected()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=collect)
        thread.start()
        thread.join()
    assert len(caught) == 1, sys.version
    support.end_session_of(full_key)


def test_a_block_that_the_collector_ends_after_its_lock_uses_no_freed_lock(key: str, full_key: str) -> None:
    ended = []

    def work(lock: Lock, kept: list[object]) -> Iterator[None]:
        try:
            with lock:
                kept.append(lock)
                yield
        finally:
            handle = lock._handle
            assert handle is not None
            # PyPy finalizes the generator first, which closes the lock.
            ended.append(handle.pointer == 0 or lock.closed)

    def make() -> None:
        lock = Lock(key)
        # The collector finalizes the objects of a circle in the order in which they were made.
        kept: list[object] = []
        generator = work(lock, kept)
        kept.append(generator)
        next(generator)

    gc.disable()
    try:
        make()
        collected()
    finally:
        gc.enable()
    assert ended == [True]
    support.nothing_left(full_key)


def test_a_client_that_the_collector_has_finalized_is_closed() -> None:
    client = Client()
    native = client._native
    assert native is not None
    native.__del__()
    with pytest.raises(ClosedError):
        client.lock("key")
