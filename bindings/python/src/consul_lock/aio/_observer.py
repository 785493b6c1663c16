"""Observers of a key's holder, as asynchronous iterators."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, NoReturn

from .._client import Client, pointer_of
from .._dispatcher import NativeObserver, heed_log
from .._holders import Holder, take_holder
from .._native import c, take_error, utf8
from ..errors import Error
from ._loop import receiver

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class _News:
    """The newest news of an observer, without a reference to it: an observer ends when the program drops it."""

    __slots__ = ("_error", "_holder", "has_come", "waiter")

    def __init__(self) -> None:
        #: There are news that the program has not taken.
        self.has_come = False
        #: Ends the wait of the program.
        self.waiter: asyncio.Future[None] | None = None
        self._holder: Holder | None = None
        self._error: Error | None = None

    def hear(self, event: int) -> None:
        """Takes the news out of an event. News that the program has not taken are out of date."""
        error = c.event_take_error(event)
        self._error = None if error is None else take_error(error)
        self._holder = None if error is not None else take_holder(c.event_take_holder(event))
        self.has_come = True
        self.wake()

    def wake(self) -> None:
        """Ends the wait of the program."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def take(self) -> Holder | None:
        """Gives the news to the program."""
        self.has_come = False
        holder, error = self._holder, self._error
        self._holder = self._error = None
        if error is None:
            return holder
        try:
            raise error
        finally:
            del error


class Observer:
    """Gives the holder of a key, at once and at each change. `observe` makes one.

    An observer ends with `close`, with the end of its `async with`, or when the program drops it.
    """

    def __init__(self, key: str, client: Client | None) -> None:
        """Begins to observe. Programs call `observe`."""
        home = receiver()
        heed_log(home)
        self._key = key
        self._news = _News()
        # Weak, as the end of the loop must free its queue.
        self._home = weakref.ref(home)
        self._native: NativeObserver | None = None
        self._tag, self._native = home.observe(self._news, pointer_of(client), utf8("key", key))

    @property
    def closed(self) -> bool:
        """Whether the observer has ended."""
        return self._native is None

    def close(self) -> None:
        """Ends the observer. The iteration ends, also one that waits. Does nothing the second time."""
        if self._native is None:
            return
        self._native = None
        home = self._home()
        if home is not None:
            home.forget(self._tag)
        self._news.has_come = False
        self._news.wake()

    def __del__(self) -> None:
        """Ends the observer, unless making it has failed."""
        if getattr(self, "_native", None):
            # The loop may have been closed, with the future of a wait.
            with contextlib.suppress(RuntimeError):
                self.close()

    def __aiter__(self) -> Self:
        """Gives the observer itself."""
        return self

    async def __anext__(self) -> Holder | None:
        """Waits for the next state that the program has not seen, and gives the holder.

        Returns:
            The holder, without name, node and ttl. None: no session holds the key exclusively.

        Raises:
            UnavailableError, DeniedError, RejectedError: Consul does not answer, or refuses to show the key: the holder
                is unknown. The library asks on, and the next call waits for the holder.
            RuntimeError: Another task waits for this observer, or the observer belongs to another event loop.
            StopAsyncIteration: The observer was closed.
        """
        news = self._news
        if self._home() is not receiver():
            raise RuntimeError(f"{self!r} belongs to another event loop")
        while not news.has_come:
            if self._native is None:
                raise StopAsyncIteration
            if news.waiter is not None:
                raise RuntimeError(f"another task waits for {self!r}")
            news.waiter = asyncio.get_running_loop().create_future()
            try:
                await news.waiter
            finally:
                news.waiter = None
        return news.take()

    async def __aenter__(self) -> Self:
        """Gives the observer itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the observer."""
        self.close()

    def __repr__(self) -> str:
        """Tells the key."""
        return f"<consul_lock.aio.Observer {self._key!r}{' closed' if self.closed else ''}>"

    def __reduce__(self) -> NoReturn:
        """Refuses a copy and a pickle."""
        raise TypeError("an observer cannot be copied or pickled. Share the object instead")


def observe(key: str, *, client: Client | None = None) -> Observer:
    """Observes the holder of a key: an asynchronous iterator gives it at once and at each change.

        async for holder in aio.observe("leader"):
            print("free" if holder is None else holder.session)

    A change is: another session holds the key exclusively, or none does any more. A slow program sees the newest state,
    and not each one in between. Sessions that share the key are no holders here: `holders` shows them.

    Args:
        key: As for Lock.
        client: None: the default client.

    Raises:
        RuntimeError: No event loop runs in this thread.
        InvalidArgumentError: The key is refused.
        InvalidEnvironmentError, UnavailableError: The library cannot make the default client.
        NoResourcesError: The system gives no thread or socket.
    """
    return Observer(key, client)
