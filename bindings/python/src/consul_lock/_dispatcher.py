"""One thread that runs the callbacks of `Lock.on_lost` and `observe`, and hands the log of the library to `logging`.

The first of them starts the thread, which is a daemon, as it must not keep a program alive. A dispatcher keeps no lock
alive: the lock's own handle keeps the callback.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from ._abi import LOST_REASONS
from ._events import Mailbox
from ._handle import Handle
from ._native import Slot, address, byref, c, is_ending, owned, take_error, text
from .errors import NoResourcesError

#: The logger of this package. Its level decides what the library reports.
logger = logging.getLogger("consul_lock")
#: The levels of `logging`, by those of the library.
LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}
#: The tag of the lines of the log. Locks and observers have others.
_LOG = 0
#: A level above all that the library has.
_NEVER = logging.CRITICAL + 1


class Listener(Protocol):
    """What an observer is to a dispatcher."""

    def hear(self, event: int) -> None:
        """Takes the news out of an event."""


class NativeObserver(ctypes.c_void_p):
    """A native observer, which is freed when the last reference to it goes: see `_handle.py`."""

    def __del__(self, is_ending: Callable[[], bool] = is_ending) -> None:
        if not is_ending():
            c.observer_free(self)


_begin_to_observe = owned(c.observe, NativeObserver)


class Receiver:
    """What comes unasked into a mailbox: notices of losses, news of observers, lines of the log."""

    def __init__(self) -> None:
        self.mailbox: Mailbox = Mailbox()
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._listeners: dict[int, Listener] = {}

    def watch(self, handle: Handle, callback: Callable[[str], object]) -> None:
        """Registers the callback for the loss of a lock. A later one replaces an earlier one."""
        tag = self._tag()
        self._handles.pop(handle.tag, None)
        self._handles[tag] = handle
        handle.tag, handle.on_lost = tag, callback
        slot = Slot()
        sender = self._sender(tag)
        c.set_lost_callback(handle.pointer, address.queue_lost, sender, address.sender_free, byref(slot))
        if slot.value is not None:
            raise take_error(slot.value)

    def observe(self, listener: Listener, client: ctypes.c_void_p | None, key: bytes) -> tuple[int, NativeObserver]:
        """Begins to observe a key, and gives the tag and the native observer."""
        tag = self._tag()
        slot = Slot()
        try:
            self._listeners[tag] = listener
            sender = self._sender(tag)
            observer: NativeObserver = _begin_to_observe(
                client, key, address.queue_observed, sender, address.sender_free, byref(slot)
            )
            if not observer:
                raise take_error(slot.value)
        except BaseException:
            self.forget(tag)
            raise
        return tag, observer

    def forget(self, tag: int) -> None:
        """Forgets an observer."""
        self._listeners.pop(tag, None)

    def forget_listener(self, listener: Listener) -> None:
        """Forgets an observer whose tag is not known."""
        for tag, one in list(self._listeners.items()):
            if one is listener:
                self.forget(tag)

    def receive_log(self, level: int) -> None:
        """Makes the library send the lines of its log here, from this level of the library on."""
        c.set_log_callback(address.queue_log, self._sender(_LOG), address.sender_free, level)

    def deliver_all(self) -> None:
        """Delivers all events that wait."""
        while True:
            event = self.mailbox.next()
            if event is None:
                return
            try:
                self.deliver(c.event_tag(event), event)
            except Exception as problem:
                # The next event must be delivered.
                self.complain(problem)
            finally:
                c.event_free(event)

    def deliver(self, tag: int, event: int) -> None:
        """Delivers one event."""
        listener = self._listeners.get(tag)
        if listener is not None:
            listener.hear(event)
        elif tag == _LOG:
            logger.log(LEVELS.get(c.event_code(event), logging.ERROR), "%s", text(c.event_line, event))
        else:
            self._lost(tag, event)

    def complain(self, problem: BaseException) -> None:
        """Reports the exception of a program's callback, which has no other place to go."""
        # A hook that fails, too, has nothing to report to.
        with contextlib.suppress(Exception):
            sys.excepthook(type(problem), problem, problem.__traceback__)

    def _lost(self, tag: int, event: int) -> None:
        handle = self._handles.pop(tag, None)
        # The tag tells a notice for an earlier callback from one for this callback.
        if handle is None or handle.tag != tag or handle.on_lost is None:
            return
        callback, handle.on_lost = handle.on_lost, None
        callback(LOST_REASONS[c.event_code(event)])

    def _sender(self, tag: int) -> int | None:
        """What puts events with a tag into the mailbox."""
        # A reference of its own, as `_begin_again` may end the mailbox at any moment.
        mailbox = self.mailbox
        sender: int | None = c.sender_new(mailbox.pointer, tag)
        return sender

    def _tag(self) -> int:
        # A number of its own, at random, as a counter needs a mutex: an interruption at its end leaves a mutex locked.
        return int.from_bytes(os.urandom(8), "little") | 1


class Dispatcher(Receiver):
    """A receiver with a thread."""

    def __init__(self) -> None:
        super().__init__()
        try:
            threading.Thread(target=self._run, name="consul_lock", daemon=True).start()
        except RuntimeError as problem:
            raise NoResourcesError(f"consul_lock could not start its thread: {problem}") from problem

    def _run(self) -> None:
        while True:
            try:
                self.mailbox.wait()
            except OSError:
                self._begin_again()
            self._deliver_all()

    def _deliver_all(self) -> None:
        while True:
            try:
                return self.deliver_all()
            except SystemExit:
                # `sys.exit` ends a thread of Python, but this thread has the other callbacks to run, too.
                continue
            except BaseException as problem:
                # Such as asyncio.CancelledError, or what `pytest.fail` raises.
                self.complain(problem)

    def _begin_again(self) -> None:
        """Takes a new mailbox, after the program has closed the descriptor, as daemons do."""
        self.mailbox = Mailbox()
        for handle in list(self._handles.values()):
            # The library tells a loss that came meanwhile at once.
            if handle.on_lost is not None:
                self.watch(handle, handle.on_lost)
        observers: list[Any] = list(self._listeners.values())
        for observer in observers:
            try:
                observer.begin_again()
            except Exception as problem:
                self.complain(problem)
        told = _log
        if told is not None and told[0]() is self:
            self.receive_log(told[2])


_dispatcher: Dispatcher | None = None
#: The handler of a signal may interrupt the very thread that is inside.
_making = threading.RLock()
#: The receiver of the log, the level of the logger that it was told, and that level as the library's.
_log: tuple[weakref.ref[Receiver], int, int] | None = None


def dispatcher() -> Dispatcher:
    """The dispatcher of this process, which the first call starts.

    Raises:
        NoResourcesError: The system gives no thread or socket, or the interpreter ends and takes no new thread.
    """
    global _dispatcher
    made = _dispatcher
    if made is not None:
        return made
    with _making:
        if _dispatcher is None:
            _dispatcher = Dispatcher()
        return _dispatcher


def heed_log(receiver: Receiver | None = None) -> None:
    """Makes the log of the library go to `logging`, at the level that its logger has now.

    Args:
        receiver: Receives the log where no other receiver does. None: the dispatcher.
    """
    global _log
    level = _NEVER if logger.disabled else logger.getEffectiveLevel()
    # Another thread may change the variable at any moment.
    told = _log
    present = None if told is None else told[0]()
    if receiver is None and present is not _dispatcher:
        present = None
    if told is not None and told[1] == level and present is not None:
        return
    wanted = max((own for own, theirs in LEVELS.items() if theirs >= level), default=0)
    if wanted == 0:
        if told is not None:
            c.set_log_callback(None, None, None, 1)
            _log = None
        return
    try:
        chosen = present or receiver or dispatcher()
    except NoResourcesError:
        # A lock works without its log. Python 3.12.0 and 3.12.1 start no thread after the end of the main thread, and
        # other threads may still take locks.
        return
    chosen.receive_log(wanted)
    _log = weakref.ref(chosen), level, wanted


def _forget() -> None:
    """A child makes its own dispatcher: a fork copies no thread, and no event comes out of the parent's queue."""
    global _dispatcher, _making, _log
    _dispatcher, _making, _log = None, threading.RLock(), None


os.register_at_fork(after_in_child=_forget)
