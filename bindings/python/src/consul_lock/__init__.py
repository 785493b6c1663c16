"""Distributed ephemeral locks on Consul, for work that one process at a time may do in the whole datacenter.

    import consul_lock

    with consul_lock.hold("nightly-report"):
        make_the_report()

A lock has a bounded life, so a holder that crashes does not block the others for ever. A release deletes the key. The
library finds Consul by CONSUL_HTTP_ADDR, else at 127.0.0.1:8500. `consul_lock.aio` has the same for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import defaults
from ._abi import VERSION as __version__
from ._client import Client, default_client, set_default_client, stats
from ._ephemeral import EphemeralLock
from ._holders import Holder, Holders, Waiter, holder, holders
from ._lock import Lock, hold
from ._observer import Observer, observe
from ._only_one import only_one
from ._options import ClientOptions, LockOptions
from ._process import shutdown, version
from .errors import (
    AlreadyUsedError,
    CancelledError,
    ClosedError,
    ConflictError,
    DeniedError,
    Error,
    ForkedError,
    InternalError,
    InvalidArgumentError,
    InvalidEnvironmentError,
    InvalidOptionError,
    LibraryError,
    LostError,
    NoResourcesError,
    NotAcquiredError,
    NotHeldError,
    RejectedError,
    UnavailableError,
    UnconfirmedError,
    ValueFailedError,
)

if TYPE_CHECKING:
    from . import aio as aio

#: The name of Error in the older library.
ConsulLockException = Error
#: The name of NotAcquiredError in the older library.
LockAcquisitionException = NotAcquiredError

__all__ = [
    "AlreadyUsedError",
    "CancelledError",
    "Client",
    "ClientOptions",
    "ClosedError",
    "ConflictError",
    "ConsulLockException",
    "DeniedError",
    "EphemeralLock",
    "Error",
    "ForkedError",
    "Holder",
    "Holders",
    "InternalError",
    "InvalidArgumentError",
    "InvalidEnvironmentError",
    "InvalidOptionError",
    "LibraryError",
    "Lock",
    "LockAcquisitionException",
    "LockOptions",
    "LostError",
    "NoResourcesError",
    "NotAcquiredError",
    "NotHeldError",
    "Observer",
    "RejectedError",
    "UnavailableError",
    "UnconfirmedError",
    "ValueFailedError",
    "Waiter",
    "__version__",
    "default_client",
    "defaults",
    "hold",
    "holder",
    "holders",
    "observe",
    "only_one",
    "set_default_client",
    "shutdown",
    "stats",
    "version",
]


def __dir__() -> list[str]:
    """The public names, with `aio` also before its import, for the completion of interactive shells."""
    return sorted([*__all__, "aio", *(name for name in globals() if name.startswith("__"))])


def __getattr__(name: str) -> Any:
    """Imports `consul_lock.aio` at its first use, because asyncio takes some time to import."""
    if name == "aio":
        import importlib

        return importlib.import_module(".aio", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
