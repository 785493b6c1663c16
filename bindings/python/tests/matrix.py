"""Runs smoke.py with a wheel on each Python of this machine, the oldest and the newest among them.

    matrix.py WHEEL

The Pythons are `python3`, `pythonX.Y`, `pypy3` and `pypyX.Y` in PATH, those of pyenv, and those that TEST_PYTHONS
names (paths with a colon between them). Each gets an empty environment with nothing but the wheel. Prints a line for
each, and `N passed, N failed`.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
OLDEST = (3, 9)
PATIENCE_S = 300
COUNT = re.compile(r"(\d+) passed, (\d+) failed")
PROBE = """
import json, platform, sys
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(json.dumps([platform.python_implementation(), list(sys.version_info[:3]), gil]))
"""


class Python(NamedTuple):
    """One interpreter of this machine."""

    implementation: str
    version: tuple[int, ...]
    has_gil: bool
    path: str

    def __str__(self) -> str:
        version = ".".join(map(str, self.version))
        return f"{self.implementation} {version}{'' if self.has_gil else 't'}"


def paths() -> list[str]:
    """Gives the path of each program that may be a Python. The one that runs this file stands first."""
    found = [sys.executable, *os.environ.get("TEST_PYTHONS", "").split(os.pathsep)]
    names = re.compile(r"(python|pypy)3(\.\d+)?t?")
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.path.isdir(folder):
            found += [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if names.fullmatch(name)]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    found += [str(path) for path in sorted(pyenv.glob("versions/*/bin/python"))]
    return [path for path in found if path]


def pythons() -> list[Python]:
    """Finds the Pythons of this machine that the package supports, one of each minor version, the oldest first."""
    found: dict[tuple[str, tuple[int, ...], bool], Python] = {}
    for path in paths():
        try:
            told = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
            implementation, version, has_gil = json.loads(told.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue  # A shim of pyenv for a version that is not installed, for instance.
        if tuple(version) >= OLDEST:
            python = Python(implementation, tuple(version), has_gil, path)
            found.setdefault((implementation, python.version[:2], has_gil), python)
    return sorted(found.values())


def smoke(python: Python, wheel: str) -> str:
    """Installs the wheel for one Python, runs smoke.py there, and gives what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.path.join(folder, "environment")
        inside = os.path.join(environment, "bin", "python")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", inside]
        try:
            for command in (
                [python.path, "-m", "venv", "--without-pip", environment],
                [*pip, "install", "--no-index", "--no-deps", "--no-compile", wheel],
            ):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S, cwd=folder)
            shutil.copy(HERE / "smoke.py", folder)
            ran = subprocess.run(
                [inside, "-X", "faulthandler", "smoke.py"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE_S,
                cwd=folder,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or getattr(error, "stdout", None) or ""
            return f"FAILED  {error}\n{said}\n0 passed, 1 failed"
    lines = ran.stdout.strip().splitlines()
    if not lines or not COUNT.fullmatch(lines[-1]):
        # It crashed, or complained at its very end.
        return f"FAILED  it ended with {ran.returncode} after its tests:\n{ran.stdout}\n0 passed, 1 failed"
    return ran.stdout


def main(wheel: str) -> int:
    """Runs two Pythons at a time: they wait more than they work."""
    found = pythons()
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for python, said in zip(found, pool.map(lambda python: smoke(python, wheel), found)):
            *lines, count = said.strip().splitlines()
            for line in lines:
                print(line.replace("FAILED  ", f"FAILED  {python}: ", 1))
            print(f"{python}: {count}")
            counted = COUNT.fullmatch(count)
            assert counted is not None
            passed += int(counted[1])
            failed += int(counted[2])
    if len(found) == 1:
        print("this machine has no other Python: the wheel was tried on this one alone")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
