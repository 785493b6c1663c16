"""The notice of a loss, and the body of an `async with` that the notice cancels."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from .._handle import Handle
from .._native import c, text

#: From Python 3.11 on a task counts its cancellations.
_COUNTS = hasattr(asyncio.Task, "uncancel")


class Body:
    """A body that a loss cancels, by the rules of `asyncio.timeout`."""

    __slots__ = ("_before", "_task", "was_cancelled")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        #: Weak, as the task's own coroutine refers to the lock.
        self._task = weakref.ref(task)
        #: How many cancellations were under way when the body began.
        self._before: int = task.cancelling() if _COUNTS else 0  # type: ignore[attr-defined,unused-ignore]
        #: The loss has cancelled the body.
        self.was_cancelled = False

    def cancel(self, why: str) -> None:
        """Cancels the body."""
        task = self._task()
        if task is not None and (_COUNTS or not _is_cancelled(task)):
            self.was_cancelled = task.cancel(why)

    def end(self, kind: type[BaseException] | None) -> bool:
        """Ends the body, which raised such an exception.

        Returns:
            True: the exception is the cancellation by the loss, and no other cancellation came.
        """
        if not self.was_cancelled:
            return False
        task = self._task()
        left: int = task.uncancel() if _COUNTS and task is not None else 0  # type: ignore[attr-defined,unused-ignore]
        return left <= self._before and kind is not None and issubclass(kind, asyncio.CancelledError)


class Notice:
    """What the receiver of a loop calls when a lock is lost.

    A notice keeps no lock alive, because the lock's handle refers to the notice: a dropped lock must go at once.
    """

    __slots__ = ("_callback", "_context", "_handle", "body", "reason")

    def __init__(self, handle: Handle) -> None:
        self._handle = weakref.ref(handle)
        self._callback: Callable[[str], object] | None = None
        self._context: contextvars.Context | None = None
        #: The body that the loss is to cancel.
        self.body: Body | None = None
        #: How the lock was lost. None: no notice has come.
        self.reason: str | None = None

    def __call__(self, reason: str) -> None:
        """The lock is lost."""
        self.reason = reason
        body = self.body
        if body is not None:
            handle = self._handle()
            key = "" if handle is None else text(c.key, handle.pointer)
            body.cancel(f'the lock "{key}" was lost ({reason})')
        callback, context = self._callback, self._context
        self._callback = self._context = None
        if callback is not None and context is not None:
            context.run(callback, reason)

    def set_callback(self, callback: Callable[[str], object]) -> None:
        """Sets the program's callback, which runs in the context of this call."""
        if self.reason is not None:
            asyncio.get_running_loop().call_soon(callback, self.reason)
            return
        self._callback, self._context = callback, contextvars.copy_context()


def may_wait_at_close(frame: FrameType) -> bool:
    """Whether a frame that gets GeneratorExit may wait: an asynchronous generator in `aclose`, and no coroutine."""
    if not frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return False
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        # No loop runs: the collector closes the generator.
        return False


def _is_cancelled(task: Any) -> bool:
    """Whether a cancellation is under way, where tasks do not count them: it stays a cancellation."""
    waiter = task._fut_waiter
    return bool(task._must_cancel or (waiter is not None and waiter.cancelled()))
