"""The queue of an event loop, and the calls whose outcomes come through it.

Only the loop's own registration of the reader keeps a queue alive: `loop.close()` frees the queue, and then no lock of
that loop is renewed any more. So nothing else may refer to the queue for longer than a call: no lock, no task.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .._dispatcher import Receiver
from .._native import Slot, address, byref, c, take_error


class Call:
    """A call of the library that has begun."""

    __slots__ = ("_error", "_found", "_take", "future", "is_over")

    def __init__(self, future: asyncio.Future[None], take: Callable[[int], Any] | None) -> None:
        #: Ends with the call, and has no result, so that the loop does not complain when no task waits any more.
        self.future = future
        self.is_over = False
        self._take = take
        self._found: Any = None
        self._error: Exception | None = None

    def finish(self, event: int) -> None:
        """Takes the outcome out of its event."""
        try:
            error = c.event_take_error(event)
            if error is not None:
                self._error = take_error(error)
            elif self._take is not None:
                self._found = self._take(event)
        except Exception as problem:
            self._error = problem
        self.is_over = True
        if not self.future.done():
            self.future.set_result(None)

    def result(self) -> Any:
        """What the call found. Raises its error, once: a call that kept it would be in a circle with the traceback."""
        error, self._error = self._error, None
        if error is None:
            return self._found
        try:
            raise error
        finally:
            del error

    async def settle(self, patience: float) -> None:
        """Waits for the end of a call whose task was cancelled, also when the task is cancelled again meanwhile.

        Args:
            patience: The longest wait in seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while not self.is_over and (left := deadline - loop.time()) > 0:
            # The first cancellation has ended the future.
            if self.future.done():
                self.future = loop.create_future()
            try:
                await asyncio.wait((self.future,), timeout=left)
            except asyncio.CancelledError:
                # The caller raises the first one, and the task counts both.
                continue


class LoopReceiver(Receiver):
    """A receiver whose events come through an event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = weakref.ref(self)
        #: The parent process made the receiver before a fork.
        self.is_parents = False
        self._calls: dict[int, Call] = {}

    def begin(
        self, function: Any, *arguments: object, done: int | None = None, take: Callable[[int], Any] | None = None
    ) -> Call:
        """Starts a call.

        Args:
            function: A function whose name ends in _start.
            arguments: Its arguments before the callback.
            done: The address of the callback. None: that of a call without an answer.
            take: Takes the answer out of the event.

        Raises:
            Error: The library refuses to start the call.
        """
        tag, slot = self._tag(), Slot()
        sender = c.sender_new(self.mailbox.pointer, tag)
        if function(*arguments, done or address.queue_done, sender, byref(slot)) != 0:
            c.sender_free(sender)
            raise take_error(slot.value)
        call = self._calls[tag] = Call(asyncio.get_running_loop().create_future(), take)
        return call

    def deliver(self, tag: int, event: int) -> None:
        """Delivers one event."""
        call = self._calls.pop(tag, None)
        if call is None:
            super().deliver(tag, event)
        else:
            call.finish(event)

    def complain(self, problem: BaseException) -> None:
        """Gives the exception of a program's callback to the loop's handler of exceptions."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a callback of consul_lock raised", "exception": problem}
        )

    def drain(self) -> None:
        """Delivers the events that have come. The loop calls this when the descriptor is readable."""
        try:
            self.mailbox.drain()
            self.deliver_all()
        except BaseException:
            # A Ctrl-C, or a callback that exits. The library does not wake the loop again for events that wait already.
            asyncio.get_running_loop().call_soon(self.drain)
            raise


#: The receivers of the loops of this process.
_receivers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[LoopReceiver]] = (
    weakref.WeakKeyDictionary()
)
_making = threading.Lock()


def receiver() -> LoopReceiver:
    """The receiver of the running loop, which the first call makes.

    Raises:
        RuntimeError: No loop runs in this thread.
        NoResourcesError: The system gives no sockets.
    """
    loop = asyncio.get_running_loop()
    reference = _receivers.get(loop)
    found = None if reference is None else reference()
    return found or _make(loop)


def _make(loop: asyncio.AbstractEventLoop) -> LoopReceiver:
    made = LoopReceiver()
    # In a context of its own, as the loop would keep the variables of the first caller.
    contextvars.Context().run(loop.add_reader, made.mailbox.descriptor, made.drain)
    with _making:
        _receivers[loop] = made.reference
    return made


def _forget() -> None:
    """A loop of the child makes its own receiver: no event comes out of the parent's queue."""
    global _receivers, _making
    for reference in _receivers.values():
        parents = reference()
        if parents is not None:
            parents.is_parents = True
    _receivers, _making = weakref.WeakKeyDictionary(), threading.Lock()


os.register_at_fork(after_in_child=_forget)
