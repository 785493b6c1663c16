"""The interface of the older library consul-lock, whose programs run unchanged: EphemeralLock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from . import defaults
from ._client import Client
from ._lock import Lock
from ._options import whole
from ._takeover import as_theirs, base_of
from .errors import Error, ForkedError, LostError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class EphemeralLock:
    """A lock with the interface of the older library. New programs use `Lock` and `hold`.

        lock = EphemeralLock("my/special/key", acquire_timeout_ms=500)
        with lock.hold():
            ...

    A lock is single use. `lock` is the lock behind it, with all that this interface does not have.

    Where the client is a Consul of python-consul or py-consul, the errors of `acquire` and `release` are also its
    ConsulException, and DeniedError is also its ACLPermissionDenied.
    """

    def __init__(
        self,
        key: str | int,
        acquire_timeout_ms: float | None = None,
        lock_timeout_seconds: float | None = None,
        consul_client: Any = None,
    ) -> None:
        """Makes a lock. Reads the defaults that it needs. Sends nothing.

        Args:
            key: The name of the work. The default `lock_key_pattern` makes of it the full key.
            acquire_timeout_ms: How long an acquire waits, in milliseconds (up to 86,400,000). 0: exactly one attempt,
                and so a negative number. math.inf: without an end. None: the default.
            lock_timeout_seconds: The life of a lock that is never released, in seconds (10 to 86,400), rounded up.
                None: the default.
            consul_client: A Consul of python-consul or py-consul (see Client.of), or a Client. None:
                `defaults.consul_client`, else the client that the library makes from the environment.

        Raises:
            InvalidArgumentError: The key is one that Consul would change or refuse.
            InvalidOptionError: A time is out of range, or the Consul object cannot be taken over.
            TypeError: The key, a time or the client has a wrong type.
        """
        consul = defaults.consul_client if consul_client is None else consul_client
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise TypeError(f"key must be a str or an int, not {type(key).__name__}")
        self._key = key
        self._acquire_timeout_ms = defaults.acquire_timeout_ms if acquire_timeout_ms is None else acquire_timeout_ms
        self._lock_timeout_seconds = (
            defaults.lock_timeout_seconds if lock_timeout_seconds is None else lock_timeout_seconds
        )
        wait = whole("acquire_timeout_ms", self._acquire_timeout_ms)
        if acquire_timeout_ms is not None and acquire_timeout_ms < 0:
            # To the library -1 is a wait without an end. A program that computes the rest of its time wants none.
            wait = 0
        self._base = base_of(consul)
        # A Client of the defaults is that of the library, also where the program has closed it meanwhile. Of a Consul
        # object the settings may have changed.
        is_librarys = consul_client is None and (consul is None or isinstance(consul, Client))
        self._lock = Lock(
            str(key),
            client=None if is_librarys else Client.of(consul),
            options={
                "acquire_timeout_ms": wait,
                "lock_timeout_seconds": whole("lock_timeout_seconds", self._lock_timeout_seconds),
            },
        )

    @property
    def key(self) -> str | int:
        """The key that the program has given."""
        return self._key

    @property
    def full_key(self) -> str:
        """The key in Consul's KV store, such as "locks/ephemeral/my/special/key"."""
        return self._lock.key

    @property
    def session_id(self) -> str | None:
        """The id of the session that holds, or held, the lock. None: the lock was not acquired."""
        return self._lock.session_id or None

    @property
    def acquire_timeout_ms(self) -> float:
        """How long an acquire waits, in milliseconds."""
        return self._acquire_timeout_ms

    @property
    def lock_timeout_seconds(self) -> float:
        """The life of a lock that is never released, in seconds."""
        return self._lock_timeout_seconds

    @property
    def lock(self) -> Lock:
        """The lock behind this interface, for `held`, `remaining`, `fencing_token`, `renew`, `on_lost` and the rest."""
        return self._lock

    @overload
    def acquire(self, fail_hard: Literal[True] = ...) -> Literal[True]: ...
    @overload
    def acquire(self, fail_hard: bool) -> bool: ...
    def acquire(self, fail_hard: bool = True) -> bool:
        """Takes the lock.

        Args:
            fail_hard: False: returns False where another session has the lock until the end of `acquire_timeout_ms`.

        Returns:
            True: the lock is held, with its whole life.

        Raises:
            LockAcquisitionException: Another session had the lock. Not with fail_hard=False.
            ConsulLockException: Consul cannot be reached, or refused; or this is the second acquire. See Lock.acquire.
        """
        try:
            if not fail_hard:
                return self._lock.try_acquire()
            self._lock.acquire()
        except Error as problem:
            as_theirs(problem, self._base)
            raise
        return True

    def release(self) -> bool:
        """Releases the lock. Can stand in a `finally`, also where the acquire failed.

        Returns:
            True: the lock was held until now. False: it was never acquired, was lost (the log has an error), or is the
            parent process's.

        Raises:
            ConsulLockException: Consul did not confirm the release. The library goes on in the background.
        """
        try:
            return self._lock.release()
        except (LostError, ForkedError):
            return False
        except Error as problem:
            as_theirs(problem, self._base)
            raise

    @contextlib.contextmanager
    def hold(self) -> Iterator[EphemeralLock]:
        """Acquires the lock for a `with`, and releases it however the block ends. The block's own exception goes first.

        Raises:
            ConsulLockException: At the `with` as `acquire`, and at its end as `release`.
        """
        with self:
            yield self

    def __enter__(self) -> Self:
        """Acquires the lock."""
        try:
            self._lock._expect_block()
        except Error as problem:
            as_theirs(problem, self._base)
            raise
        # As the older library calls it, for a subclass or a mock with another `acquire`.
        self.acquire(fail_hard=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Releases the lock. The block's own exception goes first."""
        try:
            self.release()
        except Error:
            if kind is None:
                raise

    def __repr__(self) -> str:
        """Tells the key and the state."""
        return repr(self._lock).replace("consul_lock.Lock", "consul_lock.EphemeralLock", 1)

    def __reduce__(self) -> NoReturn:
        """Refuses a copy and a pickle."""
        raise TypeError("a lock cannot be copied or pickled: it is held once, and belongs to its process")
