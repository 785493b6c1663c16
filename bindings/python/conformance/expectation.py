"""The answer of a step, and what a scenario expects of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from scenario import Word

import consul_lock


class Failed(Exception):
    """The failure of a scenario, at a line of the file."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {' '.join(message.split())}")

    @classmethod
    def told(cls, message: str) -> Failed:
        """Reads a failure that a child process has printed."""
        found = re.fullmatch(r"line (\d+): (.*)", message)
        return cls(int(found[1]), found[2]) if found else cls(0, message)


class Own(Exception):
    """The error of the step `raise` and of the value generator."""


@dataclass
class Answer:
    """A text, and the error of a call that failed."""

    text: str
    says: str
    failed: bool = False
    error: consul_lock.Error | None = None

    @classmethod
    def of(cls, value: object) -> Answer:
        """Gives the answer of a call that returned: `ok` for None, `true` and `false`, or the text of the value."""
        text = "ok" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        return cls(text, text)

    @classmethod
    def of_error(cls, error: consul_lock.Error) -> Answer:
        return cls(error.status, str(error), True, error)

    @classmethod
    def of_failure(cls, text: str) -> Answer:
        """Gives the answer of a step that ended with an error of the runner: `raised` or `interrupted`."""
        return cls(text, text, True)

    def __str__(self) -> str:
        return f"{self.text}: {self.says}" if self.error else self.text


def _retryable(answer: Answer) -> bool | None:
    return answer.error.retryable if answer.error else None


# The number of words of each clause, and the question whether it holds. `took` is in milliseconds.
CLAUSES: dict[str, tuple[int, Callable[..., bool]]] = {
    "says": (1, lambda answer, took, text: text in answer.says),
    "hides": (1, lambda answer, took, text: text not in answer.says),
    "between": (2, lambda answer, took, least, most: int(least) <= int(answer.text) <= int(most)),
    "within": (2, lambda answer, took, least, most: float(least) <= took <= float(most)),
    "http": (1, lambda answer, took, number: bool(answer.error) and answer.error.http_status == int(number)),
    "retryable": (0, lambda answer, took: _retryable(answer) is True),
    "final": (0, lambda answer, took: _retryable(answer) is False),
}


def problem(words: list[Word], answer: Answer, took: float) -> str | None:
    """Says what is wrong with an answer that came after `took` milliseconds; None: nothing."""
    words = list(words)
    if words and not words[0].is_bare(*CLAUSES):
        wanted = words.pop(0).text
        if answer.text != wanted:
            return f"wanted {wanted}, got {answer}"
    elif answer.failed:
        return f"failed with {answer}"
    while words:
        clause = words.pop(0).text
        count, holds = CLAUSES.get(clause, (0, None))
        if holds is None or len(words) < count:
            return f"unknown clause {clause}"
        arguments = [word.text for word in words[:count]]
        del words[:count]
        try:
            right = holds(answer, took, *arguments)
        except ValueError:
            return f"not a number: {answer}"
        if not right:
            return f"{' '.join([clause, *arguments])}: got {answer} in {took:.0f} ms"
    return None
