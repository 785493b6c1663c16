"""The lock of threads, and its scoped form."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ._base import BaseLock
from ._client import Client
from ._dispatcher import dispatcher, heed_log
from ._events import ask
from ._handle import Handle
from ._native import c, some_bytes, utf8
from ._options import LockOptions, Seconds, milliseconds
from .errors import Error, LostError, NoResourcesError, NotAcquiredError, NotHeldError, UnconfirmedError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

Callback = TypeVar("Callback", bound=Callable[[str], object])
#: How many seconds an interrupted acquire or upgrade waits for Consul's confirmation that it is undone. After that the
#: library goes on in the background.
_UNDO_PATIENCE = 0.25


class Lock(BaseLock):
    """A lock on one key, or on several. A lock is single use: a program acquires it once and releases it.

        lock = consul_lock.Lock("nightly-report", timeout=30)
        if lock.try_acquire():
            try:
                make_the_report()
            finally:
                lock.release()

    A `with` does all of that: `with consul_lock.Lock("nightly-report"): make_the_report()`.

    Any thread may call any method at any time. The methods that wait let other threads run. Ctrl-C and the exception of
    a signal's handler end a wait at once, and leave nothing behind. After a fork a lock stays the parent's: in the
    child the lock is not held, and its methods raise ForkedError.
    """

    _title = "consul_lock.Lock"

    def __init__(
        self, key: str | Sequence[str], *, client: Client | None = None, **options: Unpack[LockOptions]
    ) -> None:
        """Makes a lock. Reads the options, the defaults and, for the default client, the environment. Sends nothing.

        Args:
            key: The name of the work. The default `lock_key_pattern` makes of it the key in Consul's KV store. With a
                sequence of at most 30 keys the lock takes all of them or none, in one transaction. Such locks never
                wait for each other in a circle, whatever the order of their keys.
            client: The way to Consul. None: the default client.
            options: See LockOptions: timeout, lock_timeout, share, limit, value, auto_renew, max_lifetime, monitor,
                fair, queue_grace, options. Times are in seconds, or a timedelta.

        Raises:
            InvalidArgumentError: The key is one that Consul would change or refuse, or there are too many keys.
            InvalidOptionError: An option is wrong, belongs to a client, or a lock of several keys is to share them.
            InvalidEnvironmentError: A variable of the default client is wrong.
            TypeError: The key, the client or an option has a wrong type.
        """
        heed_log()
        super().__init__(key, client=client, **options)

    # ---- Taking and releasing

    def acquire(self) -> None:
        """Takes the lock. Waits as long as `timeout` says, whose default 0 makes exactly one attempt.

        Waiters are served first come, first served, within a process and between processes. The first acquire uses a
        lock up, whatever the outcome (ValueFailedError excepted). An acquire that fails or is interrupted leaves
        nothing behind in Consul.

        Raises:
            NotAcquiredError: Another session had the lock until the deadline, and the message names the holder.
            ConflictError: Others share the key with another limit.
            AlreadyUsedError: The lock was used before.
            CancelledError: `cancel` ended the acquire.
            ValueFailedError: The value generator gave no value.
            UnavailableError: Consul gave no usable answer in time.
            DeniedError, RejectedError: Consul refused.
            NoResourcesError: The system gives no thread, descriptor or memory.
            ClosedError: The lock was closed, perhaps while the acquire waited.
        """
        handle = self._live()
        self._store_value(handle)
        # Only the first acquire can succeed. The interruption of a second one must not undo the first.
        is_first = not handle.has_begun
        try:
            # Noted before: as soon as the library has begun, an interruption may come.
            handle.has_begun = True
            self._ask(handle, c.acquire_start)
        except NoResourcesError:
            # The acquire has not begun, and the next one is the first.
            handle.has_begun = not is_first
            raise
        except Error:
            raise
        except BaseException:
            if is_first:
                _undo(handle)
            raise

    def try_acquire(self) -> bool:
        """Does what `acquire` does, but returns False instead of raising NotAcquiredError.

        Returns:
            True: the lock is held, with its whole life. False: another session had the lock until the deadline.

        Raises:
            Error: As `acquire`.
        """
        try:
            self.acquire()
        except NotAcquiredError:
            return False
        return True

    def release(self) -> bool:
        """Releases the lock and removes its key. Never touches the lock of another holder.

        Cancels an acquire that waits in another thread. Waits at most as long as the client's `release_timeout`. An
        interrupted release goes on in the background.

        Returns:
            True: the lock was held until now. False: the lock was not held, and there was nothing to do.

        Raises:
            LostError: The lock had been lost before, so others may have worked meanwhile.
            UnconfirmedError: Consul did not confirm in time. The library goes on in the background while the process
                lives, and `shutdown` waits for that.
        """
        handle = self._handle
        if handle is None or self._closed:
            return False
        # Read before: an acquire that begins in another thread meanwhile is not what this release ends.
        has_begun = handle.has_begun
        try:
            self._ask(handle, c.release_start)
            was_held = True
        except NotHeldError:
            was_held = False
        except (LostError, UnconfirmedError):
            handle.is_released = True
            raise
        except Error:
            raise
        except BaseException:
            # The interruption may have come before the release began.
            _undo(handle)
            raise
        handle.is_released = has_begun
        return was_held

    def close(self) -> None:
        """Releases a held lock, and ends the object. Does nothing the second time.

        An acquire that waits in another thread raises ClosedError, and so do later calls that need the lock. Raises no
        error of the release, so that it can stand in a `finally`: `release` reports that error, and the log has it.
        In a child after fork it frees memory only.
        """
        handle = self._handle
        if handle is None or self._closed:
            return
        try:
            # Noted first, for the acquire that the cancel ends in another thread.
            self._end(handle)
            if not handle.is_released:
                # Sticky, for an acquire of another thread that has yet to begin, as its value is being made.
                c.cancel(handle.pointer)
                if handle.has_begun:
                    with contextlib.suppress(Error):
                        ask(c.release_start, handle.pointer)
        except BaseException:
            _undo(handle)
            raise

    def __enter__(self) -> Self:
        """Acquires the lock. Raises what `acquire` raises."""
        self._expect_block()
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Releases and closes the lock, however the block ends.

        Raises:
            LostError: The block ended well, but the lock was lost meanwhile: others may have worked at the same time.
            UnconfirmedError: The block ended well, but Consul did not confirm the release.
        """
        try:
            self.release()
        except Error:
            # The exception of the block goes first. The log has the error of the release.
            if kind is None:
                raise
        finally:
            self.close()

    # ---- While it is held

    def renew(self) -> None:
        """Starts the lock's life anew, for work that takes longer than expected. Sends one request.

        Raises:
            LostError: The lock is lost, and the caller stops the work.
            NotHeldError: The lock is not held.
            UnavailableError: Consul gave no usable answer. The lock is held until `remaining` is 0.
            DeniedError, RejectedError: Consul refused.
        """
        self._ask(self._live(), c.renew_start)

    def check(self) -> None:
        """Asks Consul whether the lock is still held, so it also finds a loss that no notice has reported yet.

        Does not extend the lock's life. Sends one request. Raises what `renew` raises.
        """
        self._ask(self._live(), c.check_start)

    def downgrade(self) -> None:
        """Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between.

        Others may share the key from then on, at most as many as the option `limit` says. (With share=False a limit is
        for this alone.) The fencing token grows. An interrupted downgrade goes on in the background.

        Raises:
            InvalidArgumentError: The lock shares its key already, has several keys, or is being downgraded or upgraded.
            Error: As `renew`.
        """
        self._ask(self._live(), c.downgrade_start)

    def upgrade(self, timeout: Seconds | None = 0) -> None:
        """Turns a share into an exclusive lock, without a gap: what the holder has read stays true.

        Waits until the others that share the key have released it, and meanwhile no other lock can take the key. The
        fencing token grows. An interruption ends the wait.

        Of two locks that share a key only one can be upgraded at a time, as each would wait for the other: the second
        upgrade raises NotAcquiredError at once. Its caller releases that lock, takes a new, exclusive one, and reads
        again what it has read.

        Args:
            timeout: How many seconds to wait for the others (0 to 86,400). 0: not at all. None: until `cancel`.

        Raises:
            NotAcquiredError: Others still share the key, or another lock is being upgraded. The lock is a share, as
                before.
            CancelledError: `cancel` ended the wait, and the lock is a share, as before.
            InvalidArgumentError: The lock is exclusive already, is being downgraded or upgraded, or timeout is wrong.
            Error: As `renew`.
        """
        wait = milliseconds("timeout", timeout)
        handle = self._live()
        try:
            self._ask(handle, c.upgrade_start, wait)
        except Error:
            raise
        except BaseException:
            _end_upgrade(handle)
            raise

    def put_if_held(self, key: str, value: str | bytes) -> None:
        """Writes a key of Consul's KV store in one transaction with a check that this lock is held.

        So a former holder cannot write, whether it knows of the loss or not.

        Args:
            key: A plain key of the KV store. `lock_key_pattern` does not apply.
            value: At most 390,000 bytes. A str is written in UTF-8.

        Raises:
            LostError: The lock is lost, and nothing was written.
            NotHeldError: The lock is not held, and nothing was written.
            UnconfirmedError: Consul's answer was lost: Consul may have written the value, or may write it later, as
                long as the lock is in Consul. While the lock is held, the caller may repeat the call.
            UnavailableError, DeniedError, RejectedError: Nothing was written.
            InvalidArgumentError: The key or the value is wrong.
        """
        name, stored = utf8("key", key), some_bytes("value", value)
        self._ask(self._live(), c.put_if_held_start, name, stored, len(stored))

    def delete_if_held(self, key: str) -> None:
        """Deletes a key of Consul's KV store in the same way. A key that does not exist is no error.

        Raises:
            Error: As `put_if_held`.
        """
        self._ask(self._live(), c.delete_if_held_start, utf8("key", key))

    def on_lost(self, callback: Callback) -> Callback:
        """Sets the function that is called once when the lock is lost, at the end of its life at the latest.

        One thread of the package runs the callbacks of all locks, one after the other, so a callback only stops the
        work and returns. Its exception goes to `sys.excepthook`. A later callback replaces an earlier one. A released,
        closed, abandoned or dropped lock calls none. Also a decorator.

        Args:
            callback: Gets the reason: "EXPIRED", "SESSION_GONE", "KEY_GONE" or "TAKEN_OVER".

        Returns:
            The callback.
        """
        if not callable(callback):
            raise TypeError("on_lost takes a function")
        dispatcher().watch(self._live(), callback)
        return callback

    def _expect_block(self) -> None:
        """Makes a drop release the lock, for a `with` that is about to acquire it.

        A `with` keeps its lock. So a drop tells that an interruption has ended the block outside of this package's own
        code: just before the block, or just behind it.
        """
        handle = self._live()
        handle.drop_releases = not handle.has_begun

    def _ask(self, handle: Handle, call: object, *arguments: object) -> None:
        try:
            ask(call, handle.pointer, *arguments)
        except Error as problem:
            self._refuse_closed(problem)
            raise


def hold(key: str | Sequence[str], *, client: Client | None = None, **options: Unpack[LockOptions]) -> Lock:
    """Makes a lock for a `with`, which acquires the lock, runs the block, and releases the lock however the block ends.

        with consul_lock.hold("invoices", timeout=30, lock_timeout=60) as lock:
            database.write(invoices, token=lock.fencing_token)

    Args:
        key: The name of the work, or up to 30 keys, of which the lock takes all or none.
        client: The way to Consul. None: the default client.
        options: Those of LockOptions. Times are in seconds, or a timedelta.
            timeout: How long to wait for a lock that another session holds. 0, the default: one attempt. None: without
                an end.
            lock_timeout: The life of a lock that is never released (10 to 86,400 s, by default 180).
            auto_renew: True: the library renews the lock while it is held, up to max_lifetime if that is given.
            share, limit: True: the lock shares its key; how many may share the key at once (1 to 1,024).
            value: What Consul stores under the key, str or bytes; no secret.
            monitor, fair, queue_grace: Whether the library watches the held lock; whether a waiter stands in line; how
                long the first in line may leave the lock free.
            options: Any option by the library's own name, such as {"acquire_timeout_ms": 500}.

    Raises:
        NotAcquiredError: At the `with`: another session had the lock, and the block did not run. See Lock.acquire.
        LostError, UnconfirmedError: At the end of the block. See Lock.__exit__.
    """
    return Lock(key, client=client, **options)


def _undo(handle: Handle) -> None:
    """Undoes an interrupted acquire, also one that has succeeded, or begins an interrupted release."""
    try:
        handle.is_over = handle.drop_releases = True
        c.cancel(handle.pointer)
        with contextlib.suppress(Error, OSError):
            ask(c.release_start, handle.pointer, patience=_UNDO_PATIENCE)
    except BaseException:
        # A second interruption, which may have come before the release began.
        handle.begin_release()
        raise
    finally:
        handle.is_released = True


def _end_upgrade(handle: Handle) -> None:
    """Ends the wait of an interrupted upgrade. The library answers a check only when the lock is a share again."""
    if c.is_held(handle.pointer):
        # Of a lock that is not held this would cancel an acquire.
        c.cancel(handle.pointer)
    with contextlib.suppress(Error):
        ask(c.check_start, handle.pointer, patience=_UNDO_PATIENCE)
