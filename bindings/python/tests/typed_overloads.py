"""What mypy and pyright find of the overloads. `check` runs both with this file, and no test runs it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal

from typing_extensions import assert_type

import consul_lock
from consul_lock import EphemeralLock, only_one


@only_one("key", on_busy="skip", timeout=5, lock_timeout=60)
def skipping(number: int) -> str:
    """Works."""
    return str(number)


@only_one("key/{number}")
def raising(number: int) -> str:
    """Works."""
    return str(number)


@only_one(lambda number: f"key/{number}", on_busy="skip")
async def skipping_later(number: int) -> str:
    """Works."""
    return str(number)


@only_one(["key", "other"], client=consul_lock.Client())
async def raising_later(number: int) -> str:
    """Works."""
    return str(number)


class Shop:
    """Has methods."""

    @only_one("key/{self}")
    def method(self, number: int) -> str:
        """Works."""
        return str(number)

    @only_one("key/{self}", on_busy="skip")
    async def later(self, number: int) -> str:
        """Works."""
        return str(number)


async def of_only_one() -> None:
    """The decorator keeps the parameters, and says when None may come."""
    assert_type(skipping(1), "str | None")
    assert_type(raising(number=1), str)
    assert_type(await skipping_later(1), "str | None")
    assert_type(await raising_later(1), str)
    assert_type(Shop().method(1), str)
    assert_type(await Shop().later(1), "str | None")
    function: Callable[[int], str] = raising
    later: Callable[[int], Coroutine[Any, Any, str]] = raising_later
    print(function, later)
    # Each comment below must hide an error: mypy says when it does not.
    raising("1")  # type: ignore[arg-type]
    await skipping_later()  # type: ignore[call-arg]
    only_one("key", on_busy="wait")  # type: ignore[call-overload]
    only_one("key", timeuot=5)  # type: ignore[call-overload]


def of_the_older_interface(fail_hard: bool) -> None:
    """An acquire that fails hard returns True alone."""
    lock = EphemeralLock("key", acquire_timeout_ms=500)
    assert_type(lock.acquire(), Literal[True])
    assert_type(lock.acquire(fail_hard=True), Literal[True])
    assert_type(lock.acquire(fail_hard=False), bool)
    assert_type(lock.acquire(fail_hard), bool)
    assert_type(lock.release(), bool)
    with lock.hold() as same:
        assert_type(same, EphemeralLock)
    with lock as itself:
        assert_type(itself, EphemeralLock)
    assert_type(lock.session_id, "str | None")
    consul_lock.defaults.acquire_timeout_ms = 500.5
    consul_lock.defaults.generate_value = lambda: b"value"
