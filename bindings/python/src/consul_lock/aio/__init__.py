"""The locks of consul_lock for asyncio.

    from consul_lock import aio

    async with aio.hold("nightly-report", timeout=30):
        await make_the_report()

Each event loop has one queue of the library, whose descriptor the loop watches. No call here uses a thread or an
executor, and any number of tasks may wait at the same time. The errors, the clients and the defaults are those of
`consul_lock`. `task.cancel()`, `asyncio.timeout` and `asyncio.wait_for` end any wait at once.
"""

from __future__ import annotations

from ._lock import Lock, hold
from ._observer import Observer, observe
from ._questions import holder, holders, shutdown

__all__ = ["Lock", "Observer", "hold", "holder", "holders", "observe", "shutdown"]
