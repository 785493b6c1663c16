"""Takes and releases a lock, by plain calls and by asyncio, and prints the file of the library that does this."""

import asyncio
import sys

import consul_lock
from consul_lock import aio

PATIENCE_S = 30


def locks() -> None:
    """Takes a lock, which another one then cannot have."""
    with consul_lock.hold("packages", timeout=PATIENCE_S) as lock:
        assert lock.held
        assert lock.fencing_token > 0
        try:
            consul_lock.Lock("packages").acquire()
        except consul_lock.NotAcquiredError:
            pass
        else:
            sys.exit("two locks have one key")
    assert consul_lock.holder("packages") is None


async def tasks() -> None:
    """Lets tasks take turns."""
    inside = []

    async def turn() -> None:
        async with aio.hold("packages", timeout=PATIENCE_S) as lock:
            assert lock.held
            assert not inside
            inside.append(lock)
            await asyncio.sleep(0.01)
            inside.pop()

    await asyncio.gather(*(turn() for _ in range(5)))
    assert await aio.holder("packages") is None


locks()
asyncio.run(tasks())
with open("/proc/self/maps") as maps:
    print(*{line.split()[-1] for line in maps if "libconsul_lock" in line})
