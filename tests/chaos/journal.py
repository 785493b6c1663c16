"""The lines of the journals: CLOCK_BOOTTIME in nanoseconds, an event, `name=value`, and `said=` up to the end."""

import threading
import time


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Journal:
    """A journal that is written line by line."""

    def __init__(self, path):
        self.file = path.open("a", buffering=1)
        self.mutex = threading.Lock()

    def note(self, event, **values):
        line = " ".join([str(now()), event, *(f"{name}={value}" for name, value in values.items())])
        with self.mutex:
            self.file.write(line.replace("\n", " ") + "\n")
        return line


class Line:
    """One event. `where` is its place, for the reader of a violation."""

    __slots__ = ("at", "event", "text", "values", "where")

    def __init__(self, text, where, behind=0):
        self.text, self.where = text, where
        at, self.event, rest = [*text.split(" ", 2), ""][:3]
        self.at = int(at) - behind
        rest, has_said, said = rest.partition("said=")
        self.values = dict(word.split("=", 1) for word in rest.split() if "=" in word)
        if has_said:
            self.values["said"] = said
        if "before" in self.values:
            self.values["before"] = int(self.values["before"]) - behind

    def __getattr__(self, name):
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(f"{self.where}: no {name} in {self.text}") from None


def read(path, behind=0):
    """The lines of a file whose clock is `behind` nanoseconds ahead. A kill may have cut off the last line."""
    with path.open() as file:
        for number, text in enumerate(file, 1):
            if text.endswith("\n"):
                yield Line(text[:-1], f"{path.name}:{number}", behind)
