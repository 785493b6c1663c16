"""What a lock of an event loop needs for its calls: the loop that it belongs to, and the waits for outcomes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from .._base import BaseLock
from .._dispatcher import heed_log
from .._handle import Handle
from .._native import Slot, byref, c, take_error
from ..errors import Error, LostError
from ._body import Notice
from ._loop import Call, LoopReceiver, receiver

if TYPE_CHECKING:
    import weakref

#: How many seconds a cancelled task waits for Consul's confirmation that its call is undone, or that its release is
#: done. After that the library goes on in the background.
_PATIENCE = 0.25


class BoundLock(BaseLock):
    """A lock that belongs to the event loop in which its acquire began."""

    #: The receiver of that loop.
    _home: weakref.ref[LoopReceiver] | None = None
    _notice: Notice

    def _bind(self, handle: Handle) -> None:
        """Binds the lock to the running loop."""
        home = receiver()
        slot = Slot()
        if c.bind_to_queue(handle.pointer, home.mailbox.pointer, byref(slot)) != 0:
            raise take_error(slot.value)
        heed_log(home)
        home.watch(handle, self._notice)
        self._home = home.reference

    def _belongs_here(self) -> LoopReceiver:
        """The receiver of the running loop.

        Raises:
            RuntimeError: The acquire began in another loop.
        """
        present = receiver()
        if self._home is not None and self._home is not present.reference:
            home = self._home()
            # Of a parent's lock the library says in its own words that it is the parent's.
            if home is None or not home.is_parents:
                raise RuntimeError(
                    f'the lock "{self.key}" belongs to another event loop, in which its acquire began; '
                    "make one for this loop"
                )
        return present

    def _begin(self, handle: Handle, function: Any, *arguments: object) -> Call:
        """Starts a call. No task may keep the receiver while it waits, so this is no coroutine."""
        return self._belongs_here().begin(function, handle.pointer, *arguments)

    async def _release(self, handle: Handle) -> None:
        # A lock that is not in use yet stays usable.
        has_begun = handle.has_begun
        call = self._begin(handle, c.release_start)
        try:
            await call.future
        except asyncio.CancelledError:
            await call.settle(_PATIENCE)
            raise
        finally:
            handle.is_released = has_begun and call.is_over
        call.result()

    async def _ask(self, handle: Handle, function: Any, *arguments: object) -> None:
        try:
            call = self._begin(handle, function, *arguments)
            await call.future
            call.result()
        except Error as problem:
            self._refuse_closed(problem)
            raise

    async def _undo(self, handle: Handle) -> None:
        """Undoes a cancelled acquire, also one that has succeeded."""
        c.cancel(handle.pointer)
        # The drop releases where the release cannot begin now.
        handle.is_over = handle.drop_releases = True
        await self._settle(handle, c.release_start)

    async def _settle(self, handle: Handle, function: Any) -> None:
        with contextlib.suppress(Error):
            await self._begin(handle, function).settle(_PATIENCE)

    def _loss_error(self) -> LostError:
        reason = self.lost_reason
        return LostError(f'the lock "{self.key}" was lost ({reason})', reason=reason)

    def _undo_unseen(self, handle: Handle) -> None:
        """Undoes an acquire, or releases the lock, without waiting."""
        c.cancel(handle.pointer)
        handle.is_over = True
        handle.begin_release()
