"""The scenarios of a file, as bindings/conformance/README.md describes its form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
ESCAPES = {"n": "\n", "t": "\t", "0": "\0"}


class Word(NamedTuple):
    """A word of the file."""

    text: str
    quoted: bool

    def is_bare(self, *texts: str) -> bool:
        return not self.quoted and self.text in texts


@dataclass
class Step:
    """A step, as written in the file. A block's expectation stands at its `end`, and so does `end_line`."""

    line: int
    verb: str
    arguments: list[Word]
    variable: str | None
    expectation: list[Word]
    block: list[Step] = field(default_factory=list)
    end_line: int = 0

    @property
    def opens_block(self) -> bool:
        return self.verb in ("hold", "child", "fork")


@dataclass
class Scenario:
    """A scenario of the file, and the languages that do not execute it."""

    name: str
    without: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def read(file: Path) -> list[Scenario]:
    """Gives the scenarios in the order of the file."""
    scenarios: list[Scenario] = []
    blocks: list[list[Step]] = []  # from the scenario's own steps to those of the innermost block
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if line in ("", "must-fail") or line.startswith("#"):
            continue
        if line.startswith("scenario "):
            scenarios.append(Scenario(line.split()[1].rstrip(":")))
            blocks = [scenarios[-1].steps]
        elif line.startswith("without "):
            scenarios[-1].without += line[: line.index(":")].split()[1:]
        else:
            _add(blocks, _step(line, number))
    return scenarios


def block_at(scenarios: list[Scenario], line: int) -> list[Step]:
    """Gives the block that begins on a line, at any depth."""
    for step in _all_steps([step for scenario in scenarios for step in scenario.steps]):
        if step.line == line:
            return step.block
    raise KeyError(f"no block begins on line {line}")


def _all_steps(steps: list[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _all_steps(step.block)


def _words(line: str) -> Iterator[Word]:
    for word in WORD.findall(line):
        if word.startswith('"'):
            yield Word(re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), word[1:-1]), True)
        else:
            yield Word(word, False)


def _step(line: str, number: int) -> Step:
    words = list(_words(line))
    arrow = next((at for at, word in enumerate(words) if word.is_bare("->")), len(words))
    call, expectation, variable = words[:arrow], words[arrow + 1 :], None
    if len(call) > 2 and call[-2].is_bare("as"):
        variable = call[-1].text
        del call[-2:]
    return Step(number, call[0].text, call[1:], variable, expectation, end_line=number)


def _add(blocks: list[list[Step]], step: Step) -> None:
    if step.verb == "end":
        blocks.pop()
        opener = blocks[-1][-1]
        opener.expectation, opener.end_line = step.expectation, step.line
    else:
        blocks[-1].append(step)
        if step.opens_block:
            blocks.append(step.block)
