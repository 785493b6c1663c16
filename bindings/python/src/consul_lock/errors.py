"""The errors of consul_lock.

Each status of the library has a class of its own, so that an `except` names what it handles. The message of an error is
one line for people: what failed, on which key and address, what Consul said, what to do. A message never contains a
token or a stored value.
"""

from __future__ import annotations

from typing import ClassVar

from ._abi import STATUSES


class LibraryError(ImportError):
    """The package cannot load libconsul_lock. The message lists each file that was tried, with its problem."""


class Error(Exception):
    """The base of all errors of this package, but for LibraryError.

    The programs of the older library know this class as `ConsulLockException`.
    """

    _code: ClassVar[int] = 0

    def __init__(
        self, message: str = "", *, code: int | None = None, http_status: int | None = None, retryable: bool = False
    ) -> None:
        """Makes an error. Programs catch errors, and need not make them.

        Args:
            message: One line for people.
            code: The number of the status. None: that of the class.
            http_status: The HTTP status of Consul's answer. None: the failure came without one.
            retryable: Whether the same call may work later.
        """
        super().__init__(message)
        #: The number of the status, as in consul_lock.h; 0: the library does not know this error.
        self.code: int = self._code if code is None else code
        #: The HTTP status of Consul's answer, such as 403. None: the failure came without an answer.
        self.http_status: int | None = http_status
        #: Whether the same call may work later without any change: another session had the lock, or Consul was
        #: unreachable. A lock is single use, so the caller tries again with a new one.
        self.retryable: bool = retryable

    @property
    def status(self) -> str:
        """The name of the status, such as "NOT_ACQUIRED"."""
        return STATUSES.get(self.code, "UNKNOWN") if self.code else "CLOSED"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles the error with all that it says, for the pools of multiprocessing."""
        return type(self), self.args, dict(self.__dict__)


class InvalidArgumentError(Error, ValueError):
    """An argument is wrong, such as a key that Consul would change or refuse. The call changed nothing."""

    _code = 1


class InvalidOptionError(Error, ValueError):
    """An option is unknown, in the wrong place, or out of its range. The call changed nothing."""

    _code = 2


class InvalidEnvironmentError(Error, ValueError):
    """A variable of the environment is wrong, and the message names it. Nothing was sent."""

    _code = 3


class AlreadyUsedError(Error, RuntimeError):
    """The lock was used before, and a lock is single use."""

    _code = 4


class ValueFailedError(Error):
    """The value generator raised, and its exception is the cause, or gave neither text nor bytes.

    Nothing was sent, and the lock is not used up.
    """

    _code = 5


class NotAcquiredError(Error):
    """Consul said until the deadline that the lock is not free: another session holds it, or its lock-delay runs.

    The message names the holder. Of an upgrade: others still share the key, or another lock is being upgraded. The
    programs of the older library know this class as `LockAcquisitionException`.
    """

    _code = 20


class CancelledError(Error):
    """`Lock.cancel()` ended the call, or the lock was released, closed or abandoned meanwhile."""

    _code = 21


class LostError(Error):
    """The lock was held and is lost: it expired, or Consul or an operator ended it.

    Others may have worked at the same time.
    """

    _code = 22

    def __init__(self, message: str = "", *, reason: str | None = None, **details: int | bool | None) -> None:
        """Makes an error. See Error for the details.

        Args:
            message: One line for people.
            reason: How the lock was lost.
            details: As for Error.
        """
        super().__init__(message, **details)  # type: ignore[arg-type]
        #: How the lock was lost: "EXPIRED", "SESSION_GONE", "KEY_GONE" or "TAKEN_OVER".
        self.reason: str | None = reason


class NotHeldError(Error, RuntimeError):
    """The lock is not held: it was never acquired, was released, or is used up."""

    _code = 23


class UnconfirmedError(Error):
    """Consul did not confirm a release in time, and the library goes on while the process lives.

    Or Consul did not confirm a guarded write, and may have applied it.
    """

    _code = 24


class ConflictError(Error):
    """The key is shared with another limit than the lock's. The message names both."""

    _code = 25


class UnavailableError(Error, ConnectionError):
    """Consul gave no usable answer in time, so the state of the lock is unknown."""

    _code = 40


class DeniedError(Error, PermissionError):
    """Consul refused because the token lacks a right, which the message names."""

    _code = 60


class RejectedError(Error):
    """Consul refused the request itself, or gave an answer that the library does not know.

    Or the key of the lock holds the data of another program, which the library leaves as they are.
    """

    _code = 61


class InternalError(Error):
    """The library has a defect. Please report it."""

    _code = 90


class ForkedError(Error, RuntimeError):
    """The parent process made the lock before the fork, and the lock stays the parent's."""

    _code = 91


class NoResourcesError(Error, OSError):
    """The system gave no thread, no descriptor or no memory."""

    _code = 92


class ClosedError(Error, RuntimeError):
    """The lock or the client was closed or abandoned, perhaps by another thread while the call waited."""


#: The class of each status, by its number.
BY_CODE: dict[int, type[Error]] = {
    kind._code: kind
    for kind in (
        InvalidArgumentError,
        InvalidOptionError,
        InvalidEnvironmentError,
        AlreadyUsedError,
        ValueFailedError,
        NotAcquiredError,
        CancelledError,
        LostError,
        NotHeldError,
        UnconfirmedError,
        ConflictError,
        UnavailableError,
        DeniedError,
        RejectedError,
        InternalError,
        ForkedError,
        NoResourcesError,
    )
}
