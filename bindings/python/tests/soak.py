"""What the tests of growth share."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import consul_lock

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


def ask_consul(path: str) -> Any:
    address = os.environ["CONSUL_HTTP_ADDR"]
    with urllib.request.urlopen(f"http://{address}/v1/{path}", timeout=30) as answer:
        return json.load(answer)


def own_sessions() -> int:
    return sum(f":{os.getpid()} " in session["Name"] for session in ask_consul("session/list?consistent"))


def has_keys(key: str) -> bool:
    try:
        return bool(ask_consul(f"kv/locks/ephemeral/{key}?keys&consistent"))
    except urllib.error.HTTPError as refusal:
        assert refusal.code == 404
        return False


def assert_nothing_left(key: str) -> None:
    """Waits until the locks have left nothing. The shutdown destroys the sessions that are kept for reuse."""
    consul_lock.shutdown(timeout=10)
    deadline = time.monotonic() + 30
    while (left := has_keys(key)) or own_sessions():
        assert time.monotonic() < deadline, "a key is left" if left else "a session is left"
        time.sleep(0.05)


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
    sessions = own_sessions()
    assert_no_growth("cycles", lambda: cycles(CYCLES), 8 * 1024, rounds=3)
    after = Use.now()
    assert after.descriptors <= before.descriptors + 8
    assert after.threads <= before.threads + 8
    assert own_sessions() <= sessions + 8
    assert_nothing_left(key)


def assert_no_growth_of(what: str, use: Callable[[], object], count: int) -> None:
    def many(times: int) -> None:
        for _ in range(times):
            use()

    many(count // 10)
    assert_no_growth(what, lambda: many(count), OBJECT_KB, rounds=5)
