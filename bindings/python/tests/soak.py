"""What the tests of growth share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import nothing_left, sessions_of

CYCLES = 10_000
#: The growth in many uses of one object: a leak makes more. Other collectors than CPython's give memory back when they
#: like.
OBJECT_KB = 1_500 if sys.implementation.name == "cpython" else 20_000


@dataclass
class Use:
    """What a process uses."""

    memory_kb: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Use:
        gc.collect()
        status = Path("/proc/self/status").read_text()
        memory = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return cls(int(memory.split()[1]), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))


def growth_of(use: Callable[[], object]) -> int:
    """The growth of the memory in KB."""
    before = Use.now()
    use()
    return Use.now().memory_kb - before.memory_kb


def assert_no_growth(what: str, use: Callable[[], object], limit_kb: int, rounds: int) -> None:
    """A leak grows in every round, so one round without growth is enough."""
    grown: list[int] = []
    while len(grown) < rounds and not any(kilobytes < limit_kb for kilobytes in grown):
        grown.append(growth_of(use))
    assert min(grown) < limit_kb, f"{what}: each round has grown, by {grown} KB"


def assert_cycles_leave_nothing(key: str, cycles: Callable[[int], object]) -> None:
    cycles(CYCLES // 10)
    before = Use.now()
    sessions = sessions_of(os.getpid())
    assert_no_growth("cycles", lambda: cycles(CYCLES), 8 * 1024, rounds=3)
    after = Use.now()
    assert after.descriptors <= before.descriptors + 8
    assert after.threads <= before.threads + 8
    assert sessions_of(os.getpid()) <= sessions + 8
    nothing_left(f"locks/ephemeral/{key}")


def assert_no_growth_of(what: str, use: Callable[[], object], count: int) -> None:
    def many(times: int) -> None:
        for _ in range(times):
            use()

    many(count // 10)
    assert_no_growth(what, lambda: many(count), OBJECT_KB, rounds=5)
