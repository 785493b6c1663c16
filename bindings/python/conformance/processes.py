"""Processes that execute a block: new processes of the runner, and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from expectation import Failed

RUNNER = Path(__file__).with_name("run.py")


def tell(write: Callable[[str], object], block: Callable[[], dict[str, str]]) -> None:
    """Executes a block, and prints the variables that it stored and how it ended, for the parent."""
    try:
        said = [f"as {name} {value}" for name, value in block().items()] + ["ok"]
    except Failed as failure:
        said = [f"FAILED {failure}"]
    except BaseException as error:
        said = [f"FAILED line 0: {type(error).__name__}: {' '.join(str(error).split())}"]
    write("".join(f"{line}\n" for line in said))


class Child:
    """A child process that executes a block."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid = pid
        self.said: list[str] = []
        self.reader = threading.Thread(target=self.read, args=(output,), daemon=True)
        self.reader.start()

    @classmethod
    def start(
        cls, arguments: list[str], file: Path, line: int, variables: dict[str, str], environment: dict[str, str]
    ) -> Child:
        """Starts a new process of the runner."""
        output, of_child = os.pipe()
        pairs = [f"{name}={value}" for name, value in variables.items()]
        process = subprocess.Popen(
            [sys.executable, str(RUNNER), *arguments, str(file), "child", str(line), *pairs],
            env={**os.environ, **environment},
            stdout=of_child,
        )
        os.close(of_child)
        process.returncode = 0  # This class waits for the process, and Popen must not.
        return cls(process.pid, output)

    @classmethod
    def fork(cls, block: Callable[[], dict[str, str]]) -> Child:
        """Forks this process. The child ends without exit handlers, which belong to the parent."""
        output, of_child = os.pipe()
        pid = os.fork()
        if pid == 0:
            tell(lambda said: os.write(of_child, said.encode()), block)
            os._exit(0)
        os.close(of_child)
        return cls(pid, output)

    def read(self, output: int) -> None:
        with open(output, encoding="utf-8") as lines:
            self.said = lines.read().splitlines()
        os.waitpid(self.pid, 0)

    @property
    def has_ended(self) -> bool:
        return not self.reader.is_alive()

    def variables(self) -> dict[str, str]:
        """Gives the variables that the ended child stored, or raises its failure."""
        *stored, last = self.said or ["nothing"]
        if last.startswith("FAILED "):
            raise Failed.told(last[len("FAILED ") :])
        if last != "ok":
            raise ValueError(f"the child said {last}")
        return dict(line.split(" ", 2)[1:3] for line in stored if line.startswith("as "))

    def kill(self) -> None:
        if not self.has_ended:
            os.kill(self.pid, signal.SIGKILL)
