"""Executes the steps of one scenario."""

from __future__ import annotations

import contextlib
import inspect
import os
import queue
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from expectation import Answer, Failed, Own, problem
from scenario import Step, Word

import consul_lock

PATIENCE = 30  # seconds


class Steps:
    """The state of a scenario. Verbs, in verbs.py, are its methods.

    `way` is the module of an interface: blocking.py or looping.py. All that may wait is a coroutine. In the blocking
    interface no coroutine suspends, so `way.finish` executes it like a function.
    """

    def __init__(self, way: ModuleType, file: Path, variables: dict[str, str]) -> None:
        self.way = way
        self.file = file
        self.variables = variables
        self.stored: dict[str, str] = {}
        self.locks: dict[str, Any] = {}
        self.clients: dict[str, consul_lock.Client] = {}
        self.losses: dict[str, queue.SimpleQueue[str]] = {}
        self.in_hold: set[str] = set()
        self.observers: dict[str, Any] = {}
        self.news: dict[str, queue.SimpleQueue[Any]] = {}
        self.tasks: dict[str, Any] = {}
        self.lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.interrupted: set[str] = set()  # the tasks that the steps interrupt

    async def run(self, steps: list[Step]) -> None:
        self.interrupted |= {step.arguments[0].text for step in steps if step.verb == "interrupt"}
        for step in steps:
            await self.run_one(step)

    async def clear(self) -> None:
        """Ends the calls, children and observers that a scenario has left."""
        for task in self.tasks.values():
            task.kill()
        for observer in self.observers.values():
            observer.close()
        for lock in self.locks.values():
            await self.way.call(lock.abandon)

    async def run_one(self, step: Step) -> None:
        arguments = [self.fill(word.text, step) for word in step.arguments]
        begun = time.monotonic()
        answer = await self.answer_of(step, arguments)
        took = (time.monotonic() - begun) * 1000
        expectation = [Word(self.fill(text, step), quoted) for text, quoted in step.expectation]
        if wrong := problem(expectation, answer, took):
            line = step.end_line if step.verb == "hold" else step.line
            raise Failed(line, f"{' '.join([step.verb, *arguments])}: {wrong}")
        if step.variable:
            self.store(step.variable, answer.text)

    def fill(self, text: str, step: Step) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] == "pid":
                return str(os.getpid())
            if found[1] not in self.variables:
                raise Failed(step.line, f"unknown variable {text}")
            return self.variables[found[1]]

        return re.sub(r"\{(\w+)\}", value, text)

    def store(self, name: str, value: str) -> None:
        self.variables[name] = self.stored[name] = value

    async def answer_of(self, step: Step, arguments: list[str]) -> Answer:
        act = getattr(self, f"do_{step.verb.replace('-', '_')}", None)
        if act is None:
            raise Failed(step.line, f"unknown verb {step.verb}")
        given = [step, *arguments] if step.opens_block else arguments
        try:
            inspect.signature(act).bind(*given)
        except TypeError as error:
            raise Failed(step.line, f"{step.verb}: {error}") from None
        try:
            answer = act(*given)
            answer = await answer if inspect.isawaitable(answer) else answer
            return answer if isinstance(answer, Answer) else Answer.of(answer)
        except consul_lock.Error as error:
            return Answer.of_error(error)
        except self.way.Interrupted:
            return Answer.of_failure("interrupted")
        except Own:
            if step.verb == "raise":
                raise
            return Answer.of_failure("raised")
        except (KeyError, ValueError) as error:
            raise Failed(step.line, f"{' '.join([step.verb, *arguments])}: {error}") from error

    async def until(self, found: Callable[[], Any]) -> Any:
        """Repeats a question until its answer is not None."""
        deadline = time.monotonic() + PATIENCE
        while (value := found()) is None:
            if time.monotonic() > deadline:
                raise ValueError(f"nothing came in {PATIENCE} s")
            await self.way.sleep(0.005)
        return value


def next_of(waiting: queue.SimpleQueue[Any]) -> Any:
    """Takes the next entry, or gives None."""
    with contextlib.suppress(queue.Empty):
        return waiting.get_nowait()
    return None
