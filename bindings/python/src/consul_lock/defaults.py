"""The defaults of the process. A program assigns to them, and a lock reads them when it is made.

    consul_lock.defaults.acquire_timeout_ms = 5000

An assignment of a wrong value, or to a name that does not exist, raises and changes nothing.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ._native import Slot, byref, c, take_error, utf8

#: The client of locks without one: a Client of this package, or the Consul of python-consul or py-consul. None: the
#: client that the library makes from the environment.
consul_client: Any = None
#: How long an acquire waits, in milliseconds: 0 to 86,400,000. 0: exactly one attempt. -1, math.inf: without an end.
acquire_timeout_ms: float = 0
#: The life of a lock that is never released, in seconds: 10 to 86,400.
lock_timeout_seconds: float = 180
#: Where the keys of locks stand in Consul's KV store. The key of the lock takes the place of the one %s.
lock_key_pattern: str = "locks/ephemeral/%s"


def generate_value() -> str | bytes:
    """Makes the value that a lock stores under its key. Assign another function to store something else."""
    return json.dumps({"locked_at": datetime.now(timezone.utc).isoformat()})


_built_in = generate_value


def generator() -> Callable[[], str | bytes] | None:
    """The generator of values that the program has set. None: the library makes the value."""
    return None if generate_value is _built_in else generate_value


def follow(client: Any) -> None:
    """Makes `consul_client` the client that `set_default_client` has set, which an assignment would set again."""
    globals()["consul_client"] = client


def _set(name: str, value: str) -> None:
    slot = Slot()
    if c.defaults_set(name.encode(), utf8(name, value), byref(slot)) != 0:
        raise take_error(slot.value)


def _number(name: str, value: object) -> None:
    from ._options import whole

    _set(name, str(whole(name, value)))


def _client(name: str, value: Any) -> None:
    from ._client import Client, set_default_client

    set_default_client(None if value is None else Client.of(value))


def _function(name: str, value: object) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function that returns str or bytes, not {type(value).__name__}")


_SETTERS: dict[str, Callable[[str, Any], None]] = {
    "consul_client": _client,
    "acquire_timeout_ms": _number,
    "lock_timeout_seconds": _number,
    "lock_key_pattern": _set,
    "generate_value": _function,
}


class _Defaults(types.ModuleType):
    """A module whose variables are checked when a program assigns to them."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _SETTERS:
            _SETTERS[name](name, value)
        elif not name.startswith("_"):
            raise AttributeError(f"there is no default {name!r}; there are {', '.join(_SETTERS)}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"the default {name!r} cannot be deleted; assign to it")


sys.modules[__name__].__class__ = _Defaults
