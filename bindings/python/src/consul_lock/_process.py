"""What concerns the whole process."""

from __future__ import annotations

from ._events import ask
from ._native import c
from ._options import Seconds, finite_milliseconds


def version() -> str:
    """The version of the running library, such as "0.1.0". `__version__` is that of this package."""
    told: bytes = c.version()
    return told.decode()


def shutdown(timeout: Seconds = 5) -> None:
    """Ends the process's work with Consul in an orderly way, and waits for releases still in progress.

    Optional. Without it, the library's work on a release that was UNCONFIRMED ends with the process, and Consul removes
    that lock after up to two TTLs. Locks and clients stay usable afterwards, but the library keeps no session for reuse
    any more.

    Args:
        timeout: The longest wait in seconds: 0 to 86,400.

    Raises:
        UnconfirmedError: Something was still in progress at the end of the time.
        InvalidArgumentError: The time is out of range.
    """
    ask(c.shutdown_start, finite_milliseconds("timeout", timeout))
