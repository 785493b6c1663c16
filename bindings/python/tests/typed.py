"""Calls each public function and method, for mypy, pyright and the test of the types.

    typed.py KEY

A wrong call has a `type: ignore` with the error that a checker finds there. A strict checker complains of one too many,
so that each of them is proven.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta  # noqa: F401 (in the texts of types)
from typing import TYPE_CHECKING, Any  # noqa: F401 (the same)

import consul_lock
from consul_lock import Client, ClientOptions, Error, Holder, Holders, Lock, LockOptions, Observer, Waiter

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(given: object, _: object) -> object:
        """Does nothing when the program runs."""
        return given


def locks(key: str) -> None:
    """What a lock has."""
    with consul_lock.hold(key, timeout=30, lock_timeout=timedelta(minutes=1), auto_renew=True) as lock:
        assert_type(lock, Lock)
        assert_type(lock.held, bool)
        assert_type(lock.lost, bool)
        assert_type(lock.lost_reason, "str | None")
        assert_type(lock.remaining, float)
        assert_type(lock.fencing_token, int)
        assert_type(lock.slot, "int | None")
        assert_type(lock.session_id, str)
        assert_type(lock.key, str)
        assert_type(lock.keys, "tuple[str, ...]")
        assert_type(lock.closed, bool)
        lock.renew()
        lock.check()
        lock.put_if_held(f"{key}-data", b"")
        lock.put_if_held(f"{key}-data", "")
        lock.delete_if_held(f"{key}-data")
        lock.cancel()

        @lock.on_lost
        def stop(reason: str) -> None:
            print(reason)

        stop("called as before")
        lock.on_lost(print)

    options: LockOptions = {"timeout": None, "share": True, "limit": 1, "value": b"", "options": {"fair": True}}
    lock = Lock(key, **options)
    assert_type(lock.try_acquire(), bool)
    lock.upgrade()
    lock.downgrade()
    lock.upgrade(timeout=timedelta(seconds=1))
    assert_type(lock.release(), bool)
    lock.close()
    lock = Lock([key, f"{key}-b"])
    with lock as same:
        assert_type(same, Lock)
    Lock(key).abandon()


def questions(key: str) -> None:
    """What a holder has."""
    found = consul_lock.holder(key)
    assert_type(found, "Holder | None")
    if found is not None:
        assert_type(found.session, str)
        assert_type(found.name, "str | None")
        assert_type(found.value, bytes)
        assert_type(found.since, "datetime | None")
        assert_type(found.ttl, "float | None")
        assert_type(found.fencing_token, int)
    many = consul_lock.holders(key)
    assert_type(many, Holders)
    assert_type(many.sharers, "tuple[Holder, ...]")
    assert_type(many.line, "tuple[Waiter, ...]")
    assert_type(many.exclusive, "Holder | None")


def clients(key: str) -> None:
    """What a client has."""
    options: ClientOptions = {"connect_timeout": 1.5, "session_checks": ["serfHealth"]}
    with Client(["127.0.0.1:8500", "127.0.0.1:8501"], **options) as client:
        assert_type(client, Client)
    client = Client()
    assert_type(client.lock(key), Lock)
    with client.hold(key, timeout=5) as lock:
        assert_type(lock, Lock)
    assert_type(client.holder(key), "Holder | None")
    assert_type(client.holders(key), Holders)
    assert_type(client.stats(), "dict[str, Any]")
    with client.observe(key, print, on_error=print) as observer:
        assert_type(observer, Observer)
        assert_type(observer.closed, bool)
    consul_lock.set_default_client(client)
    assert_type(consul_lock.default_client(), "Client | None")
    consul_lock.set_default_client(None)
    assert_type(consul_lock.stats(), "dict[str, Any]")


def news(holder: Holder | None) -> None:
    """What an observer calls."""


def the_rest(key: str) -> None:
    """What concerns the process, and the errors."""
    consul_lock.observe(key, news, on_error=lambda error: None).close()
    consul_lock.shutdown()
    consul_lock.shutdown(timeout=0.5)
    assert_type(consul_lock.version(), str)
    assert_type(consul_lock.__version__, str)
    consul_lock.defaults.acquire_timeout_ms = 0
    consul_lock.defaults.generate_value = lambda: b"value"
    with consul_lock.hold(key):
        try:
            Lock(key).acquire()
        except consul_lock.NotAcquiredError as problem:
            assert_type(problem.code, int)
            assert_type(problem.status, str)
            assert_type(problem.http_status, "int | None")
            assert_type(problem.retryable, bool)
    errors: list[type[Error]] = [consul_lock.LostError, consul_lock.ConsulLockException]
    assert_type(errors[0]("why").args, "tuple[Any, ...]")


def wrong(key: str, found: Mapping[str, Waiter]) -> None:
    """What a checker must find."""
    Lock(7)  # type: ignore[arg-type]
    Lock(key, timeout="soon")  # type: ignore[arg-type]
    Lock(key, lock_timeout_seconds=60)  # type: ignore[call-arg]
    Lock(key, share="yes")  # type: ignore[arg-type]
    Lock(key, client="127.0.0.1:8500")  # type: ignore[arg-type]
    Client(lock_timeout=60)  # type: ignore[call-arg]
    Client(token=b"")  # type: ignore[arg-type]
    Lock(key).put_if_held(key, 7)  # type: ignore[arg-type]
    Lock(key).on_lost(lambda: None)  # type: ignore[type-var]
    Lock(key).held = True  # type: ignore[misc]
    consul_lock.observe(key, lambda: None)  # type: ignore[arg-type,misc]
    consul_lock.holder([key])  # type: ignore[arg-type]
    found["a"].session = ""  # type: ignore[misc]
    consul_lock.defaults.lock_timeout_seconds = "60"  # type: ignore[assignment]


if __name__ == "__main__":
    for work in (locks, questions, clients, the_rest):
        work(sys.argv[1])
