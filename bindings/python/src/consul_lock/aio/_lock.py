"""The lock of event loops, and its scoped form."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from .._client import Client
from .._native import c, some_bytes, utf8
from .._options import LockOptions, Seconds, milliseconds
from ..errors import Error, LostError, NoResourcesError, NotAcquiredError, NotHeldError
from ._body import Body, Notice, may_wait_at_close
from ._bound import BoundLock

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

Callback = TypeVar("Callback", bound=Callable[[str], object])


class Lock(BoundLock):
    """A lock on one key, or on several, for asyncio. A lock is single use: a task acquires it once and releases it.

        lock = aio.Lock("nightly-report", timeout=30)
        if await lock.try_acquire():
            try:
                await make_the_report()
            finally:
                await lock.release()

    An `async with` does all of that, and also stops its body when the lock is lost.

    A lock belongs to the event loop in which its acquire began: in another loop its methods raise RuntimeError. When
    the loop is closed, the library ends an acquire that waits, and renews a held lock no more. `task.cancel()`,
    `asyncio.timeout` and `asyncio.wait_for` end any wait, and a cancelled acquire leaves nothing behind. Any thread may
    read the properties and call `cancel`. After a fork a lock stays the parent's: in the child the lock is not held,
    and its methods raise ForkedError.
    """

    _title = "consul_lock.aio.Lock"

    def __init__(
        self, key: str | Sequence[str], *, client: Client | None = None, **options: Unpack[LockOptions]
    ) -> None:
        """Makes a lock. Reads the options, the defaults and, for the default client, the environment. Sends nothing.

        Needs no event loop.

        Args:
            key: As for consul_lock.Lock.
            client: The way to Consul. None: the default client.
            options: See LockOptions: timeout, lock_timeout, share, limit, value, auto_renew, max_lifetime, monitor,
                fair, queue_grace, options. Times are in seconds, or a timedelta.

        Raises:
            InvalidArgumentError: The key is one that Consul would change or refuse, or there are too many keys.
            InvalidOptionError: An option is wrong, belongs to a client, or a lock of several keys is to share them.
            InvalidEnvironmentError: A variable of the default client is wrong.
            TypeError: The key, the client or an option has a wrong type.
        """
        super().__init__(key, client=client, **options)
        self._notice = Notice(self._live())

    # ---- Taking and releasing

    async def acquire(self) -> None:
        """Takes the lock. Waits as long as `timeout` says, whose default 0 makes exactly one attempt.

        Waiters are served first come, first served, within a process and between processes. The first acquire uses a
        lock up, whatever the outcome (ValueFailedError excepted). An acquire that fails or is cancelled leaves nothing
        behind in Consul.

        Raises:
            NotAcquiredError: Another session had the lock until the deadline, and the message names the holder.
            ConflictError: Others share the key with another limit.
            AlreadyUsedError: The lock was used before.
            CancelledError: `cancel` ended the acquire. (`task.cancel()` raises asyncio.CancelledError.)
            ValueFailedError: The value generator gave no value.
            UnavailableError: Consul gave no usable answer in time.
            DeniedError, RejectedError: Consul refused.
            NoResourcesError: The system gives no thread, descriptor or memory.
            ClosedError: The lock was closed, perhaps while the acquire waited.
        """
        handle = self._live()
        self._store_value(handle)
        # Only the first acquire can succeed. The cancellation of a second one must not undo the first.
        is_first = not handle.has_begun
        if is_first:
            self._bind(handle)
            # The drop of a lock whose acquire waits tells that the collector has destroyed the task.
            handle.has_begun = handle.drop_releases = True
        try:
            await self._ask(handle, c.acquire_start)
            if is_first:
                handle.drop_releases = False
        except NoResourcesError:
            # The acquire has not begun, and the next one is the first.
            handle.has_begun = not is_first
            raise
        except Error:
            raise
        except asyncio.CancelledError:
            if is_first:
                await self._undo(handle)
            raise
        except BaseException:
            # The coroutine is closed, as at the end of its loop, and must not wait any more.
            if is_first:
                self._undo_unseen(handle)
            raise

    async def try_acquire(self) -> bool:
        """Does what `acquire` does, but returns False instead of raising NotAcquiredError.

        Returns:
            True: the lock is held, with its whole life. False: another session had the lock until the deadline.

        Raises:
            Error: As `acquire`.
        """
        try:
            await self.acquire()
        except NotAcquiredError:
            return False
        return True

    async def release(self) -> bool:
        """Releases the lock and removes its key. Never touches the lock of another holder.

        Ends an acquire that waits in another task. Waits at most as long as the client's `release_timeout`. A cancelled
        release goes on in the background.

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
        try:
            await self._release(handle)
        except NotHeldError:
            return False
        except Error as problem:
            self._refuse_closed(problem)
            raise
        return True

    async def close(self) -> None:
        """Releases a held lock, and ends the object. Does nothing the second time.

        An acquire that waits in another task raises ClosedError, and so do later calls that need the lock. Raises no
        error of the release, so that it can stand in a `finally`: `release` reports that error, and the log has it.
        In a child after fork it frees memory only.
        """
        handle = self._handle
        if handle is None or self._closed:
            return
        if handle.has_begun and not handle.is_released:
            self._belongs_here()
            # Before the wait, as the release ends an acquire that waits.
            self._end(handle)
            with contextlib.suppress(Error):
                await self._release(handle)
        else:
            self._end(handle)

    async def __aenter__(self) -> Self:
        """Acquires the lock. Raises what `acquire` raises.

        Raises:
            RuntimeError: No task runs this coroutine.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an `async with` of a lock needs a task, which the loss of the lock can cancel")
        handle = self._live()
        await self.acquire()
        # The coroutine of the body keeps the lock, so a drop tells that the collector has destroyed that coroutine.
        handle.drop_releases = True
        if self.lost:
            # The lock was lost before the task ran again. The notice may still be on its way.
            try:
                await self.release()
                raise self._loss_error()
            finally:
                await self.close()
        self._notice.body = Body(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Releases and closes the lock, however the body ends.

        When the lock is lost, the body is cancelled, and LostError takes the place of that CancelledError. If the task
        is cancelled from outside as well, the CancelledError stays, as with `asyncio.timeout`.

        Raises:
            LostError: The lock was lost, and the body ended well or was cancelled by the loss. Others may have worked
                at the same time.
            UnconfirmedError: The body ended well, but Consul did not confirm the release.
        """
        body, self._notice.body = self._notice.body, None
        is_by_loss = body is not None and body.end(kind)
        handle = self._handle
        if kind is not None and issubclass(kind, GeneratorExit) and not may_wait_at_close(sys._getframe(1)):
            # The coroutine of the body is closed, and must not wait any more.
            if handle is not None and not self._closed:
                self._undo_unseen(handle)
                self._end(handle)
            return
        try:
            await self.release()
            if body is not None and body.was_cancelled and (kind is None or is_by_loss):
                # An earlier call has reported the loss, so the release has not.
                raise self._loss_error()
        except Error as problem:
            if is_by_loss:
                raise (problem if isinstance(problem, LostError) else self._loss_error()) from raised
            # The exception of the body goes first. The log has the error of the release.
            if kind is None:
                raise
        finally:
            if handle is not None:
                self._end(handle)

    # ---- While it is held

    async def renew(self) -> None:
        """Starts the lock's life anew, for work that takes longer than expected. Sends one request.

        Raises:
            LostError: The lock is lost, and the caller stops the work.
            NotHeldError: The lock is not held.
            UnavailableError: Consul gave no usable answer. The lock is held until `remaining` is 0.
            DeniedError, RejectedError: Consul refused.
        """
        await self._ask(self._live(), c.renew_start)

    async def check(self) -> None:
        """Asks Consul whether the lock is still held, so it also finds a loss that no notice has reported yet.

        Does not extend the lock's life. Sends one request. Raises what `renew` raises.
        """
        await self._ask(self._live(), c.check_start)

    async def downgrade(self) -> None:
        """Turns an exclusive lock into a share of its key, without a gap: no exclusive lock comes between.

        Others may share the key from then on, at most as many as the option `limit` says. (With share=False a limit is
        for this alone.) The fencing token grows. A cancelled downgrade goes on in the background.

        Raises:
            InvalidArgumentError: The lock shares its key already, has several keys, or is being downgraded or upgraded.
            Error: As `renew`.
        """
        await self._ask(self._live(), c.downgrade_start)

    async def upgrade(self, timeout: Seconds | None = 0) -> None:
        """Turns a share into an exclusive lock, without a gap: what the holder has read stays true.

        Waits until the others that share the key have released it, and meanwhile no other lock can take the key. The
        fencing token grows. A cancellation of the task ends the wait.

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
            await self._ask(handle, c.upgrade_start, wait)
        except Error:
            raise
        except BaseException as interruption:
            if c.is_held(handle.pointer):
                # Of a lock that is not held this would cancel an acquire.
                c.cancel(handle.pointer)
            if isinstance(interruption, asyncio.CancelledError):
                # The library answers a check only when the lock is a share again.
                await self._settle(handle, c.check_start)
            raise

    async def put_if_held(self, key: str, value: str | bytes) -> None:
        """Writes a key of Consul's KV store in one transaction with a check that this lock is held.

        So a former holder cannot write, whether it knows of the loss or not. A cancelled write goes on in the
        background.

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
        await self._ask(self._live(), c.put_if_held_start, name, stored, len(stored))

    async def delete_if_held(self, key: str) -> None:
        """Deletes a key of Consul's KV store in the same way. A key that does not exist is no error.

        Raises:
            Error: As `put_if_held`.
        """
        await self._ask(self._live(), c.delete_if_held_start, utf8("key", key))

    def on_lost(self, callback: Callback) -> Callback:
        """Sets the function that the loop calls once when the lock is lost, at the end of its life at the latest.

        The function is no coroutine function; it may set an event or make a task. Its exception goes to the loop's
        handler of exceptions. A later callback replaces an earlier one. A released, closed, abandoned or dropped lock
        calls none. Also a decorator.

        Args:
            callback: Gets the reason: "EXPIRED", "SESSION_GONE", "KEY_GONE" or "TAKEN_OVER".

        Returns:
            The callback.
        """
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("on_lost takes a function, which may make a task, and no coroutine function")
        self._live()
        self._notice.set_callback(callback)
        return callback


def hold(key: str | Sequence[str], *, client: Client | None = None, **options: Unpack[LockOptions]) -> Lock:
    """Makes a lock for an `async with`, which acquires the lock, runs the body, and releases the lock.

        async with aio.hold("invoices", timeout=30, lock_timeout=60) as lock:
            await database.write(invoices, token=lock.fencing_token)

    When the lock is lost, the body is cancelled, and LostError comes out of the `async with`.

    Args:
        key: See Lock.
        client: See Lock.
        options: See Lock.

    Raises:
        NotAcquiredError: At the `async with`: another session had the lock, and the body did not run. See Lock.acquire.
        LostError, UnconfirmedError: At the end of the body. See Lock.__aexit__.
    """
    return Lock(key, client=client, **options)
