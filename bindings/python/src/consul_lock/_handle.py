"""A handle owns a native lock. The native lock is freed when the last reference to its handle goes.

A method takes a reference of its own before it uses the pointer. So neither another thread nor the handler of a signal
can free a native lock that a call is about to use, and no mutex is needed.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable

from ._native import address, c, is_ending, text


class Handle:
    """A native lock, with the callback for its loss."""

    # An interruption may end __init__ at any moment, and __del__ needs all of them.
    pointer: int = 0
    #: An acquire has begun, so there may be something to release,
    has_begun = False
    #: unless a release has had its outcome.
    is_released = False
    #: The program has ended the lock by a release, a close or an abandon.
    is_over = False
    #: No work goes on under a lock that is dropped, so the drop releases the lock.
    drop_releases = False
    #: The callback for the loss, and the tag that its notice has.
    on_lost: Callable[[str], object] | None = None
    tag = 0

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    def __del__(self, is_ending: Callable[[], bool] = is_ending) -> None:
        """Leaves a held lock to its TTL, with a warning, because the work under the lock may go on."""
        if is_ending() or not self.pointer:
            return
        try:
            if self.drop_releases:
                self.begin_release()
            elif not self.is_over and c.is_held(self.pointer):
                warnings.warn(
                    f'the lock "{text(c.key, self.pointer)}" was dropped without a release: it stays in Consul until '
                    "its life ends",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
        finally:
            # Of a circle of objects the collector may finalize the handle before a generator whose frame still uses the
            # lock. The library takes NULL, but no freed pointer.
            pointer, self.pointer = self.pointer, 0
            c.abandon(pointer)

    def begin_release(self) -> None:
        """Begins a release without a wait for its outcome. Does nothing to a lock that is not held."""
        c.release_start(self.pointer, address.queue_done, None, None)


def collect() -> None:
    """Frees a handle that was just dropped. Without reference counts that is the collector's to do."""
    if sys.implementation.name != "cpython":
        gc.collect()
