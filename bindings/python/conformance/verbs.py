"""The verbs of the scenarios."""

from __future__ import annotations

import logging
import queue
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expectation import Answer, Own
from processes import Child
from scenario import Step
from steps import PATIENCE, Steps, next_of

import consul_lock

OPERATOR = Path(__file__).parents[2] / "conformance" / "operator"
FIELDS = ("session", "name", "node", "value", "fencing_token", "mode", "limit", "slot", "keys")
BUILT_IN = consul_lock.defaults.generate_value
LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


class LockVerbs(Steps):
    """What a scenario does with locks and clients."""

    def do_client(self, name: str, *words: str) -> None:
        self.clients[name] = consul_lock.Client(**self.options(words))

    def do_lock(self, name: str, key: str, *words: str) -> None:
        self.locks[name] = self.way.make(*self.of_lock(key, words))

    async def do_acquire(self, name: str) -> None:
        await self.way.call(self.locks[name].acquire)

    async def do_try(self, name: str) -> bool:
        return bool(await self.way.call(self.locks[name].try_acquire))

    async def do_release(self, name: str) -> bool:
        return bool(await self.way.call(self.locks[name].release))

    async def do_cancel(self, name: str) -> None:
        await self.way.call(self.locks[name].cancel)

    async def do_renew(self, name: str) -> None:
        await self.way.call(self.locks[name].renew)

    async def do_check(self, name: str) -> None:
        await self.way.call(self.locks[name].check)

    async def do_downgrade(self, name: str) -> None:
        await self.way.call(self.locks[name].downgrade)

    async def do_upgrade(self, name: str, milliseconds: str) -> None:
        timeout = None if milliseconds == "-1" else int(milliseconds) / 1000
        await self.way.call(self.locks[name].upgrade, timeout=timeout)

    async def do_put(self, name: str, key: str, value: str) -> None:
        await self.way.call(self.locks[name].put_if_held, key, value)

    async def do_delete(self, name: str, key: str) -> None:
        await self.way.call(self.locks[name].delete_if_held, key)

    async def do_close(self, name: str) -> None:
        try:
            await self.way.call(self.locks[name].close)
        except (consul_lock.LostError, consul_lock.UnconfirmedError):
            return

    async def do_abandon(self, name: str) -> None:
        await self.way.call(self.locks[name].abandon)

    def do_held(self, name: str) -> bool:
        return bool(self.locks[name].held)

    def do_remaining(self, name: str) -> int:
        remaining: float = self.locks[name].remaining
        return round(remaining * 1000)

    def do_token(self, name: str) -> int:
        return int(self.locks[name].fencing_token)

    def do_session(self, name: str) -> str:
        return str(self.locks[name].session_id)

    def do_key(self, name: str) -> str:
        return str(self.locks[name].key)

    def do_keys(self, name: str) -> str:
        return " ".join(self.locks[name].keys)

    def do_slot(self, name: str) -> object:
        return _or_none(self.locks[name].slot)

    async def do_watch(self, name: str) -> None:
        losses = self.losses[name] = queue.SimpleQueue()
        await self.way.call(self.locks[name].on_lost, losses.put)

    async def do_lost(self, name: str) -> str:
        lock = self.locks[name]
        return str(
            await self.way.lost(lock, lambda: self.until(lambda: next_of(self.losses[name])), name in self.in_hold)
        )

    async def do_hold(self, step: Step, name: str, key: str, *words: str) -> None:
        async with self.way.hold(*self.of_lock(key, words)) as lock:
            self.locks[name] = lock
            self.in_hold.add(name)
            await self.do_watch(name)
            try:
                await self.run(step.block)
            finally:
                self.in_hold.discard(name)

    def do_raise(self) -> None:
        raise Own("a block's own error")

    async def do_holder(self, key: str, field: str, *words: str) -> object:
        holder = await self.way.call(self.way.holder, key, client=self.client_of(words))
        return "free" if holder is None else _field(holder, field)

    async def do_holders(self, key: str, role: str, field: str, *words: str) -> object:
        holders = await self.way.call(self.way.holders, key, client=self.client_of(words))
        one = [] if holders.exclusive is None else [holders.exclusive]
        found = {"exclusive": one, "sharers": holders.sharers, "line": holders.line}[role]
        if field == "count":
            return len(found)
        if field not in FIELDS:
            raise KeyError(f"no field {field}")
        return " ".join(_field(it, field) for it in found)

    def do_observe(self, name: str, key: str, *words: str) -> None:
        news = self.news[name] = queue.SimpleQueue()
        self.observers[name] = self.way.observe(key, self.client_of(words), news.put)

    async def do_observed(self, name: str, field: str) -> str:
        news = self.news[name]
        seen = await self.until(lambda: next_of(news))
        if isinstance(seen, consul_lock.Error):
            raise seen
        (holder,) = seen
        return "free" if holder is None else _field(holder, field)

    def do_unobserve(self, name: str) -> None:
        self.observers[name].close()

    def of_lock(self, key: str, words: Sequence[str]) -> tuple[str | list[str], dict[str, Any]]:
        """Gives the key or the keys of a lock, and its options."""
        further = [word[len("and=") :] for word in words if word.startswith("and=")]
        options = self.options([word for word in words if not word.startswith("and=")])
        return [key, *further] if further else key, options

    def options(self, words: Sequence[str]) -> dict[str, Any]:
        """Gives the arguments that set any option by its name, as a text."""
        pairs = dict(word.split("=", 1) for word in words)
        client = {"client": self.clients[pairs.pop("client")]} if "client" in pairs else {}
        return {**client, "options": pairs}

    def client_of(self, words: Sequence[str]) -> consul_lock.Client | None:
        client: consul_lock.Client | None = self.options(words).get("client")
        return client


class OtherVerbs(Steps):
    """What a scenario does with calls, programs and the whole process."""

    client_of: Callable[[Sequence[str]], consul_lock.Client | None]

    async def do_begin(self, task: str, verb: str, name: str, milliseconds: str = "0") -> None:
        lock = self.locks[name]
        timeout = None if milliseconds == "-1" else int(milliseconds) / 1000
        calls: dict[str, Callable[[], object]] = {
            "acquire": lock.acquire,
            "try": lock.try_acquire,
            "release": lock.release,
            "upgrade": lambda: lock.upgrade(timeout=timeout),
        }
        call = self.tasks[task] = self.way.begin(calls[verb], task in self.interrupted)
        await call.wait_until_begun(PATIENCE)

    def do_interrupt(self, task: str) -> None:
        self.tasks[task].interrupt()

    async def do_join(self, task: str) -> object:
        joined = self.tasks[task]
        if not isinstance(joined, Child):
            return await joined.join(PATIENCE)
        await self.until(lambda: joined.has_ended or None)
        for name, value in joined.variables().items():
            self.store(name, value)
        return None

    def do_child(self, step: Step, task: str, *words: str) -> None:
        environment = dict(word.split("=", 1) for word in words)
        self.tasks[task] = Child.start(self.way.ARGUMENTS, self.file, step.line, self.variables, environment)

    def do_fork(self, step: Step, task: str) -> None:
        def block() -> dict[str, str]:
            self.tasks = {}
            self.way.finish(self.run(step.block))
            return {}

        self.tasks[task] = Child.fork(block)

    async def do_operator(self, *words: str) -> str:
        status, said, problem = await self.way.program([str(OPERATOR), *words])
        if status != 0:
            raise ValueError(problem.strip())
        return str(said).removesuffix("\n")

    async def do_sleep(self, milliseconds: str) -> None:
        await self.way.sleep(int(milliseconds) / 1000)

    def do_expect(self, left: str, operator: str, right: str) -> None:
        comparisons: dict[str, Callable[[], bool]] = {
            "=": lambda: left == right,
            "!=": lambda: left != right,
            "<": lambda: int(left) < int(right),
            ">": lambda: int(left) > int(right),
        }
        if not comparisons[operator]():
            raise ValueError("it is not so")

    def do_default(self, name: str, value: str) -> Answer | None:
        number = re.fullmatch(r"-?\d+", value)
        try:
            setattr(consul_lock.defaults, name, int(value) if number else value)
        except AttributeError as error:
            # With this error Python refuses a name that does not exist.
            return Answer("INVALID_OPTION", str(error), failed=True)
        return None

    def do_default_client(self, name: str) -> None:
        consul_lock.set_default_client(None if name == "none" else self.clients[name])

    def do_generator(self, kind: str, text: str = "") -> None:
        def fails() -> str:
            raise Own("the generator's own error")

        consul_lock.defaults.generate_value = {  # type: ignore[assignment]  # "nothing" is what a checker refuses
            "value": lambda: text,
            "raises": fails,
            "nothing": lambda: None,
            "none": BUILT_IN,
        }[kind]

    def do_log(self, level: str) -> None:
        lines = self.lines

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.put((record.levelname, record.getMessage()))

        logger = logging.getLogger("consul_lock")
        logger.addHandler(Collector())
        logger.setLevel(LEVELS[level])

    async def do_logged(self, text: str) -> Answer:
        def found() -> tuple[str, str] | None:
            line: tuple[str, str] | None = next_of(self.lines)
            return line if line and text in line[1] else None

        level, line = await self.until(found)
        return Answer(level, line)

    def do_stats(self, field: str, *words: str) -> object:
        client = self.client_of(words)
        return (client.stats() if client else consul_lock.stats())[field]

    async def do_shutdown(self, milliseconds: str) -> None:
        await self.way.call(self.way.shutdown, timeout=int(milliseconds) / 1000)

    def do_version(self) -> str:
        return consul_lock.version()


class Verbs(LockVerbs, OtherVerbs):
    """All verbs."""


def _or_none(value: object) -> object:
    return "none" if value is None else value


def _field(found: object, name: str) -> str:
    value = getattr(found, name)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (list, tuple)):
        return " ".join(value) or "none"
    return str(_or_none(value))
