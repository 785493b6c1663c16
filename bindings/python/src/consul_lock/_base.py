"""What the locks of threads and those of event loops share: the making of a native lock, and what sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from . import defaults
from ._abi import LOST_REASONS
from ._client import Client, pointer_of
from ._handle import Handle, collect
from ._native import Slot, byref, c, some_bytes, take_error, text, utf8
from ._options import LockOptions, as_written, lend, of_lock
from .errors import (
    CancelledError,
    ClosedError,
    Error,
    InvalidArgumentError,
    InvalidOptionError,
    NotHeldError,
    ValueFailedError,
)

if TYPE_CHECKING:
    import ctypes

    from typing_extensions import Unpack


class BaseLock:
    """A lock on one key, or on several, without the calls that wait."""

    _title: ClassVar[str]
    #: None: the lock was abandoned, and its native lock is gone. A closed lock keeps its native lock, which answers.
    _handle: Handle | None = None
    _closed = False
    _keys: tuple[str, ...] = ()
    # What an abandoned lock still answers.
    _last_token, _last_slot, _last_session, _last_loss = 0, -1, "", 0

    def __init__(
        self, key: str | Sequence[str], *, client: Client | None = None, **options: Unpack[LockOptions]
    ) -> None:
        """Makes a lock. Reads the options, the defaults and, for the default client, the environment. Sends nothing.

        Args:
            key: The name of the work. The default `lock_key_pattern` makes of it the key in Consul's KV store. With a
                sequence of at most 30 keys the lock takes all of them or none, in one transaction. Such locks never
                wait for each other in a circle, whatever the order of their keys.
            client: The way to Consul. None: the default client.
            options: See LockOptions.

        Raises:
            InvalidArgumentError: The key is one that Consul would change or refuse, or there are too many keys.
            InvalidOptionError: An option is wrong, belongs to a client, or a lock of several keys is to share them.
            InvalidEnvironmentError: A variable of the default client is wrong.
            TypeError: The key, the client or an option has a wrong type.
        """
        self._name = key if isinstance(key, str) else _several(key)
        translated = of_lock(options)
        self._generator: Callable[[], str | bytes] | None = None if "value" in translated else defaults.generator()
        self._handle = Handle(_make(self._name, translated, client, list(options)))

    # ---- What sends nothing

    @property
    def key(self) -> str:
        """The full key in Consul's KV store, such as "locks/ephemeral/nightly-report". Of several the first."""
        return self.keys[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """The full keys, in the order of their bytes, each of them once."""
        handle = self._handle
        if not self._keys and handle is not None:
            self._keys = _keys(handle.pointer)
        return self._keys

    @property
    def held(self) -> bool:
        """Whether the lock is held, by this process's own clock. The holder asks before each step of its work."""
        handle = self._handle
        return handle is not None and c.is_held(handle.pointer) is True

    @property
    def lost(self) -> bool:
        """Whether the lock was held and is lost, as far as this process knows."""
        return self._loss() != 0

    @property
    def lost_reason(self) -> str | None:
        """How the lock was lost: "EXPIRED", "SESSION_GONE", "KEY_GONE" or "TAKEN_OVER". None: it was not lost."""
        return LOST_REASONS.get(self._loss())

    @property
    def remaining(self) -> float:
        """The rest of the lock's life in seconds, by this process's own clock. 0.0: the lock is not held."""
        handle = self._handle
        return 0.0 if handle is None else c.remaining_ms(handle.pointer) / 1000

    @property
    def fencing_token(self) -> int:
        """The fencing token, which grows with every acquisition of the key; 0 before the acquire.

        The holder sends the token along with each write, and the receiver refuses a token smaller than one that it has
        seen. That stops a holder that was paused past the end of its lock. Of locks with a limit the receiver keeps a
        token for each slot. Only a downgrade and an upgrade change the token after the acquire.
        """
        handle = self._handle
        token: int = self._last_token if handle is None else c.fencing_token(handle.pointer)
        return token

    @property
    def slot(self) -> int | None:
        """The slot of a lock that shares its key with a limit: a number from 0 and below the limit.

        No two locks that share the key at the same time have the same slot. None: the lock was not acquired yet, is
        exclusive, or has no limit.
        """
        handle = self._handle
        slot = self._last_slot if handle is None else c.slot(handle.pointer)
        return None if slot < 0 else slot

    @property
    def session_id(self) -> str:
        """The id of the session that holds, or held, the lock; "" before the acquire."""
        handle = self._handle
        return self._last_session if handle is None else text(c.session_id, handle.pointer)

    @property
    def closed(self) -> bool:
        """Whether the lock was closed or abandoned."""
        return self._closed

    def cancel(self) -> None:
        """Ends an acquire that waits: it raises CancelledError. Any thread, and the handler of a signal, may call it.

        A cancel is sticky: a later acquire raises the same. A held lock stays held: only an upgrade that waits ends.
        Does nothing to a closed lock. Never waits.
        """
        handle = self._handle
        if handle is not None:
            c.cancel(handle.pointer)

    def abandon(self) -> None:
        """Closes the lock without a release and without a wait: a held lock stays in Consul until its life ends.

        For work that all processes together may do only once in that time. An acquire that waits ends with
        CancelledError or ClosedError.
        """
        handle = self._handle
        if handle is not None:
            # Noted first, for the acquire that the cancel ends in another thread.
            self._end(handle)
            c.cancel(handle.pointer)
            _ = self.keys
            self._last_token, self._last_slot = c.fencing_token(handle.pointer), c.slot(handle.pointer)
            self._last_session, self._last_loss = text(c.session_id, handle.pointer), c.why_lost(handle.pointer)
            handle.drop_releases = False
            self._handle = None
            del handle
            collect()

    def __repr__(self) -> str:
        """Tells the key, the state, and how long the lock is still held."""
        return f"<{self._title} {', '.join(map(repr, self.keys))} {self._state()}>"

    def __copy__(self) -> NoReturn:
        """Refuses a copy."""
        raise TypeError("a lock cannot be copied: it is held once. Share the object instead")

    def __deepcopy__(self, memo: object) -> NoReturn:
        """Refuses a copy."""
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        """Refuses a pickle."""
        raise TypeError(
            "a lock cannot be pickled, because it belongs to its process. Let the other process make its own"
        )

    # ---- For the locks themselves

    def _live(self) -> Handle:
        handle = self._handle
        if handle is None or self._closed:
            raise ClosedError(f'the lock "{self.key}" is closed')
        return handle

    def _refuse_closed(self, problem: Error) -> None:
        """Raises ClosedError where a close ended the call that waited.

        A close causes these two alone. Any other error, such as a loss, came before the close, and is what happened.
        """
        if self._closed and isinstance(problem, (CancelledError, NotHeldError)):
            raise ClosedError(f'the lock "{self.key}" was closed meanwhile') from problem

    def _end(self, handle: Handle) -> None:
        """Closes the lock. The native lock goes with the last reference to its handle."""
        self._closed = True
        handle.is_over = True
        handle.on_lost = None

    def _loss(self) -> int:
        handle = self._handle
        loss: int = self._last_loss if handle is None else c.why_lost(handle.pointer)
        return loss

    def _state(self) -> str:
        if self.held:
            return f"held, {self.remaining:.0f} s left"
        if self.lost:
            return f"lost, {self.lost_reason}"
        if self.closed:
            return "closed"
        return "not held"

    def _store_value(self, handle: Handle) -> None:
        """Calls the generator on the thread that acquires."""
        generator = self._generator
        if generator is None or handle.has_begun:
            return
        try:
            value = some_bytes("the value", generator())
            slot = Slot()
            if c.set_value(handle.pointer, value, len(value), byref(slot)) != 0:
                raise take_error(slot.value)
        except InvalidArgumentError as problem:
            raise ValueFailedError(f'could not acquire the lock "{self.key}": {problem}') from problem
        except Exception as problem:
            said = type(problem).__name__ if not isinstance(problem, TypeError) else f"{problem}"
            raise ValueFailedError(
                f'could not acquire the lock "{self.key}": the value generator failed ({said})'
            ) from problem


def _several(keys: Any) -> tuple[str, ...]:
    if isinstance(keys, (bytes, bytearray)) or not isinstance(keys, Iterable):
        raise TypeError(f"key must be a str or a sequence of str, not {type(keys).__name__}")
    return tuple(keys)


def _make(name: str | tuple[str, ...], options: dict[str, str | bytes], client: Client | None, given: list[str]) -> int:
    keys = utf8("key", name) if isinstance(name, str) else [utf8("key", one) for one in name]
    slot = Slot()
    with lend(options, pointer_of(client)) as native:
        if isinstance(keys, bytes):
            pointer = c.new(keys, native, byref(slot))
        else:
            pointer = c.new_all(_array(keys), len(keys), native, byref(slot))
    if pointer is None:
        error = take_error(slot.value)
        raise as_written(error, given) if isinstance(error, InvalidOptionError) else error
    made: int = pointer
    return made


def _array(texts: list[bytes]) -> ctypes.Array[Any]:
    import ctypes

    return (ctypes.c_char_p * len(texts))(*texts)


def _keys(pointer: int) -> tuple[str, ...]:
    return tuple(text(c.key_at, pointer, number) for number in range(c.keys_count(pointer)))
