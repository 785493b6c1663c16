"""Observers of a key's holder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from ._client import Client, pointer_of
from ._dispatcher import NativeObserver, Receiver, dispatcher, heed_log
from ._holders import Holder, take_holder
from ._native import c, take_error, utf8
from .errors import Error

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class _Native:
    """Keeps a native observer."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: NativeObserver) -> None:
        self.pointer = pointer


class Observer:
    """Calls a function with the holder of a key, at once and at each change, until `close`. `observe` makes one."""

    def __init__(
        self,
        receiver: Receiver,
        key: str,
        client: Client | None,
        callback: Callable[[Holder | None], object],
        on_error: Callable[[Error], object] | None,
    ) -> None:
        """Makes an observer, which `begin` starts. Programs call `observe`."""
        if not callable(callback) or not (on_error is None or callable(on_error)):
            raise TypeError("observe takes functions")
        self._receiver = receiver
        self._key = key
        self._client = client
        self._callback = callback
        self._on_error = on_error
        self._closed = False
        self._tag = 0
        self._native: _Native | None = None

    def begin(self) -> Self:
        """Begins to observe."""
        try:
            self._tag, pointer = self._receiver.observe(self, pointer_of(self._client), utf8("key", self._key))
            self._native = _Native(pointer)
            return self
        except BaseException:
            # Perhaps an interruption of an observer that has begun.
            self.close()
            self._receiver.forget_listener(self)
            raise

    def begin_again(self) -> None:
        """Begins to observe anew, with a new mailbox of the receiver."""
        self._receiver.forget(self._tag)
        self.begin()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Ends the observer: its function is not called any more, but a call that runs in another thread goes on.

        Does nothing the second time. The function itself may call it.
        """
        self._closed = True
        self._receiver.forget(self._tag)
        self._native = None

    def hear(self, event: int) -> None:
        """Calls the function that an event is for. The receiver of the events calls this."""
        error = c.event_take_error(event)
        if error is not None:
            problem = take_error(error)
            if self._on_error is not None and not self._closed:
                self._on_error(problem)
            return
        holder = take_holder(c.event_take_holder(event))
        if not self._closed:
            self._callback(holder)

    def __enter__(self) -> Self:
        """Gives the observer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the observer."""
        self.close()

    def __repr__(self) -> str:
        """Tells the key."""
        return f"<consul_lock.Observer {self._key!r}{' closed' if self._closed else ''}>"

    def __reduce__(self) -> NoReturn:
        """Refuses a copy and a pickle."""
        raise TypeError("an observer cannot be copied or pickled. Share the object instead")


def observe(
    key: str,
    callback: Callable[[Holder | None], object],
    *,
    on_error: Callable[[Error], object] | None = None,
    client: Client | None = None,
) -> Observer:
    """Calls a function with the holder of a key, soon after this call and again at each change.

    A change is: another session holds the key exclusively, or none does any more. The last call has the present state
    in the end; the library may skip states in between. Sessions that share the key are no holders here: `holders` shows
    them. The thread that runs the callbacks of `Lock.on_lost` calls the function, so the function must return soon. The
    observer lives until `Observer.close`, whether the program keeps it or not. In a child after fork the observer calls
    nothing.

    Args:
        key: As for Lock.
        callback: Gets the holder, without name, node and ttl. None: no session holds the key exclusively.
        on_error: Gets an Error when Consul refuses to show the key, or does not answer: then the holder is unknown. The
            library asks on, and the callback gets the holder as soon as Consul shows it.
        client: None: the default client.

    Raises:
        InvalidArgumentError: The key is refused.
        InvalidEnvironmentError, UnavailableError: The library cannot make the default client.
        NoResourcesError: The system gives no thread.
    """
    heed_log()
    return Observer(dispatcher(), key, client, callback, on_error).begin()
