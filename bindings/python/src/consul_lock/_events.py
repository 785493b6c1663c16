"""Mailboxes: the queues of the library, and the calls that wait for an outcome.

The library puts events into a queue, and its descriptor becomes readable. A Python thread waits for that descriptor as
for any other: the GIL is free, Ctrl-C and the exceptions of signal handlers end the wait at once, gevent's patched
`select` switches to other greenlets, and no thread of the library ever enters Python.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import math
import os
import select
import time
from collections.abc import Callable
from typing import Any

from ._native import Slot, address, byref, c, is_ending, take_error

#: How many idle mailboxes are kept for reuse. A call that waits uses one.
_IDLE = 8
#: How long a call waits without a look at the signals and exceptions that have come for its thread, in seconds.
_GLANCE = 0.5
#: More bytes than ever wait: the library sends one when the first event comes.
_BYTES = 64


class Mailbox:
    """A queue of the library with its descriptor. One thread at a time may receive."""

    # An interruption may end __init__ at any moment, and __del__ needs all of them.
    pointer: int | None = None
    _file: tuple[int, int] | None = None
    _number = ctypes.c_int32(-1)

    def __init__(self) -> None:
        # The library writes the number, so an interruption behind the call does not lose the descriptor.
        self._number = ctypes.c_int32(-1)
        slot = Slot()
        self.pointer = c.queue_new(byref(self._number), byref(slot))
        if self.pointer is None:
            raise take_error(slot.value)
        self._file = self._identify(self.descriptor)

    def __del__(self, is_ending: Callable[[], bool] = is_ending) -> None:
        """Drops later events. A call may still be under way, so nothing ends a mailbox before its last reference."""
        if is_ending():
            return
        if self.pointer is not None:
            # See Handle.
            pointer, self.pointer = self.pointer, None
            c.queue_free(pointer)
        if self.descriptor >= 0 and (self._file is None or self.is_open()):
            os.close(self.descriptor)

    @property
    def descriptor(self) -> int:
        """The descriptor that is readable when events wait."""
        return self._number.value

    def is_open(self) -> bool:
        """Whether the descriptor is still this mailbox's. Daemons close all descriptors that they do not know.

        The system may give the number of such a descriptor to another file.
        """
        return self._identify(self.descriptor) == self._file

    @staticmethod
    def _identify(descriptor: int) -> tuple[int, int] | None:
        """What tells a file from another one that has the same number later. None: the descriptor is closed.

        No function of the module: the free-threaded interpreter clears those before the last mailboxes, when it ends.
        """
        try:
            found = os.fstat(descriptor)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def next(self) -> int | None:
        """The event that has waited longest. The caller frees it."""
        event: int | None = c.queue_next(self.pointer)
        return event

    def drain(self) -> None:
        """Reads the bytes away, before the events are taken: the library sends a byte again for the next event."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, _BYTES)

    def wait(self, patience: float | None = None) -> bool:
        """Waits until events may have come.

        Args:
            patience: The longest wait in seconds. None: no limit.

        Returns:
            False: no event came in that time.

        Raises:
            OSError: The program has closed the descriptor.
        """
        ready = self._poll(patience)
        if not ready:
            return False
        if ready != select.POLLIN or (patience is None and not self.is_open()):
            raise OSError(errno.EBADF, "the program has closed a descriptor of consul_lock, which waits for an event")
        self.drain()
        return True

    def _poll(self, patience: float | None) -> int:
        """Waits for the descriptor, and gives its events; 0 at the end of the patience."""
        # Looked up at each call, as gevent and eventlet may patch the module later.
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            events = poll.poll(None if patience is None else patience * 1000)
            return events[0][1] if events else 0
        # eventlet removes `poll`, and lets `select` switch to other greenlets.
        return select.POLLIN if select.select([self.descriptor], [], [], patience)[0] else 0

    def receive(self, patience: float | None = None) -> int | None:
        """Waits for an event, which the caller frees. None: no event came within the patience, in seconds."""
        deadline = math.inf if patience is None else time.monotonic() + patience
        while True:
            # In the main thread Python can run no handler of a signal that comes just before the wait begins in the
            # kernel. In any other thread a wait does not end for the exception of PyThreadState_SetAsyncExc.
            rest = min(_GLANCE, deadline - time.monotonic())
            if rest <= 0:
                return None
            event = self.next() if self.wait(rest) else None
            if event is not None:
                return event


_idle: collections.deque[Mailbox] = collections.deque()


def ask(call: Any, *arguments: object, patience: float | None = None) -> bool:
    """Starts a call of the library and waits for its outcome.

    Args:
        call: A function whose name ends in _start.
        arguments: Its arguments before the callback.
        patience: The longest wait in seconds. None: no limit. The library limits the wait itself.

    Returns:
        False: the patience has ended. The call goes on in the background.

    Raises:
        Error: The call failed.
    """
    event = _outcome(call, arguments, address.queue_done, patience)
    if event is None:
        return False
    error = c.event_take_error(event)
    c.event_free(event)
    if error is not None:
        raise take_error(error)
    return True


def inquire(call: Any, *arguments: object, done: int, take: Any) -> int | None:
    """Starts a question, waits for the answer, and gives what `take` takes out of its event.

    Raises:
        Error: The call failed.
    """
    event = _outcome(call, arguments, done, None)
    error = c.event_take_error(event)
    found: int | None = take(event)
    c.event_free(event)
    if error is not None:
        raise take_error(error)
    return found


def _outcome(call: Any, arguments: tuple[object, ...], done: int, patience: float | None) -> int | None:
    """The event of a call. An exception during the wait leaves the call to the background."""
    mailbox = _mailbox()
    slot = Slot()
    sender = c.sender_new(mailbox.pointer, 0)
    refused = call(*arguments, done, sender, byref(slot)) != 0
    if refused:
        c.sender_free(sender)
        event = None
    else:
        event = mailbox.receive(patience)
    # A mailbox whose one outcome has come is empty, and serves again.
    if (refused or event is not None) and len(_idle) < _IDLE:
        _idle.append(mailbox)
    if refused:
        raise take_error(slot.value)
    return event


def _mailbox() -> Mailbox:
    while True:
        try:
            mailbox = _idle.pop()
        except IndexError:
            return Mailbox()
        if mailbox.is_open():
            return mailbox
        # Ends it before a new one takes the numbers of its descriptors.
        del mailbox


def _forget() -> None:
    """A child makes its own mailboxes, because no event comes out of the parent's."""
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
