"""The questions to Consul, and the end of a program's work with Consul."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._client import Client, pointer_of
from .._dispatcher import heed_log
from .._holders import Holder, Holders, take_holder, take_holders
from .._native import address, c, utf8
from .._options import Seconds, finite_milliseconds
from ._loop import receiver


async def holder(key: str, *, client: Client | None = None) -> Holder | None:
    """Asks Consul which session holds a lock. Sends one or two requests.

    Args:
        key: As for Lock.
        client: None: the default client.

    Returns:
        None: the lock is free.

    Raises:
        InvalidArgumentError: The key is refused.
        InvalidEnvironmentError: A variable of the default client is wrong.
        UnavailableError, DeniedError, RejectedError: Consul did not answer, or refused.
    """
    found: Holder | None = await _inquire(
        c.holder_start, key, client, address.queue_holder_done, lambda event: take_holder(c.event_take_holder(event))
    )
    return found


async def holders(key: str, *, client: Client | None = None) -> Holders:
    """Asks Consul for all that hold a key or wait for it: the exclusive holder, those that share the key, and the line.

    Consul answers in two parts, so a lock that changes hands in between may show twice, or not at all. Sends two
    requests, and one for each of the first 64 sessions.

    Args:
        key: As for Lock.
        client: None: the default client.

    Raises:
        Error: As `holder`.
    """
    found: Holders = await _inquire(
        c.holders_start,
        key,
        client,
        address.queue_holders_done,
        lambda event: take_holders(c.event_take_holders(event)),
    )
    return found


async def shutdown(timeout: Seconds = 5) -> None:
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
    call = receiver().begin(c.shutdown_start, finite_milliseconds("timeout", timeout))
    await call.future
    call.result()


async def _inquire(call: Any, key: str, client: Client | None, done: int, take: Callable[[int], Any]) -> Any:
    """Asks Consul about a key."""
    heed_log(receiver())
    begun = receiver().begin(call, pointer_of(client), utf8("key", key), done=done, take=take)
    await begun.future
    return begun.result()
