"""Acquires and releases a lock as its input says: benches/peers/README.md has the contract.

    program.py ADDRESS KEY

Through the calls that wait; looping.py does the same through asyncio. Several turns of one process run at once.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import consul_lock


def say(*words: object) -> None:
    sys.stdout.write(f"{' '.join(map(str, words))}\n")
    sys.stdout.flush()


def turns(key: str, name: int, hold: float, count: int) -> None:
    for _ in range(count):
        lock = consul_lock.Lock(key, timeout=None)
        begun = time.monotonic_ns()
        try:
            lock.acquire()
        except consul_lock.Error as error:
            say("failed", name, error)
            continue
        say("acquired", name, begun, time.monotonic_ns())
        time.sleep(hold)
        begun = time.monotonic_ns()
        lock.release()
        say("released", name, begun, time.monotonic_ns())


def cycle(key: str) -> int:
    begun = time.monotonic_ns()
    lock = consul_lock.Lock(key, timeout=None)
    lock.acquire()
    lock.release()
    return time.monotonic_ns() - begun


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    os.environ["CONSUL_HTTP_ADDR"], key = sys.argv[1:]
    consul_lock.defaults.lock_key_pattern = "%s"
    say("ready")
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "turns":
            name, hold_ms, count = map(int, numbers)
            threading.Thread(target=turns, args=(key, name, hold_ms / 1000, count)).start()
        elif word == "cycles":
            say("cycles", *(cycle(key) for _ in range(int(numbers[0]))))


main()
