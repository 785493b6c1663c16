"""Acquires and releases a lock through asyncio as its input says: benches/peers/README.md has the contract.

    looping.py ADDRESS KEY

Several turns of one process run at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import consul_lock
from consul_lock import aio


def say(*words: object) -> None:
    sys.stdout.write(f"{' '.join(map(str, words))}\n")
    sys.stdout.flush()


async def turns(key: str, name: int, hold: float, count: int) -> None:
    for _ in range(count):
        lock = aio.Lock(key, timeout=None)
        begun = time.monotonic_ns()
        try:
            await lock.acquire()
        except consul_lock.Error as error:
            say("failed", name, error)
            continue
        say("acquired", name, begun, time.monotonic_ns())
        await asyncio.sleep(hold)
        begun = time.monotonic_ns()
        await lock.release()
        say("released", name, begun, time.monotonic_ns())


async def cycle(key: str) -> int:
    begun = time.monotonic_ns()
    lock = aio.Lock(key, timeout=None)
    await lock.acquire()
    await lock.release()
    return time.monotonic_ns() - begun


async def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    os.environ["CONSUL_HTTP_ADDR"], key = sys.argv[1:]
    consul_lock.defaults.lock_key_pattern = "%s"
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say("ready")
    tasks = set()
    async for line in lines:
        word, *numbers = line.decode().split()
        if word == "turns":
            name, hold_ms, count = map(int, numbers)
            tasks.add(asyncio.create_task(turns(key, name, hold_ms / 1000, count)))
        elif word == "cycles":
            say("cycles", *[await cycle(key) for _ in range(int(numbers[0]))])
    await asyncio.gather(*tasks)


asyncio.run(main())
