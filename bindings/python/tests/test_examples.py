"""The programs in examples/, which the README shows."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import support

import consul_lock

pytestmark = pytest.mark.usefixtures("keys_of_the_examples")
ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "bindings/python/examples"
README = ROOT / "bindings/python/README.md"
EXPECTED = {
    "event_loop.py": r"in turn, 1[78]\d s left\n100 turns\n",
    "first.py": r"making the report\n",
    "moving.py": r"here be dragons\ntoken \d+, 60 s left\nreleased: True\n",
    "nightly.py": r"the report of Monday\ninvoice 7 and invoice 8\n",
    "sharing.py": (
        r"licence [012] of 0 to 2\nwriting the prices\nreading the prices\nreading the prices\nmoving the money\n"
    ),
}


def example(name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / name]
    return subprocess.run(command, capture_output=True, text=True, timeout=support.PATIENCE)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example(name: str) -> None:
    ran = example(name)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(EXPECTED[name], ran.stdout), ran.stdout


def test_the_first_example_says_who_has_the_lock() -> None:
    with consul_lock.hold("nightly-report"):
        ran = example("first.py")
        assert (ran.returncode, ran.stdout) == (1, "")
        assert re.match('no report: could not acquire the lock "locks/ephemeral/nightly-report" .*held by', ran.stderr)
        skipped = example("nightly.py")
        assert skipped.stdout.startswith("another server makes it\n")
        assert "INFO:consul_lock:skipped make_the_report: " in skipped.stderr


def test_one_of_two_leads() -> None:
    def lead() -> subprocess.Popen[str]:
        command = [sys.executable, EXAMPLES / "leader.py"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = lead()
    support.wait_until("the first one leads", lambda: support.value("locks/ephemeral/leader"))
    second = lead()
    support.wait_until("the second one waits", lambda: support.waits("locks/ephemeral/leader"))
    first.send_signal(signal.SIGINT)
    out, said = first.communicate(timeout=support.PATIENCE)
    assert (first.returncode, said) == (0, "")
    assert f"the leader is process {first.pid}\n" in out
    assert out.endswith("resigned\n")
    support.wait_until(
        "the second one leads", lambda: support.value("locks/ephemeral/leader") == f"process {second.pid}".encode()
    )
    second.send_signal(signal.SIGINT)
    out, said = second.communicate(timeout=support.PATIENCE)
    assert (second.returncode, said) == (0, "")
    assert f"the leader is process {first.pid}\n" in out


def test_each_example_is_run_and_shown() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {*EXPECTED, "leader.py"}
    for name in (*EXPECTED, "leader.py"):
        assert f"<!-- bindings/python/examples/{name}" in README.read_text(), name
    told = subprocess.run([ROOT / "bindings/conformance/quoted", README], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
