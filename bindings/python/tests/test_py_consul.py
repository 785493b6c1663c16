"""The older interface with py-consul, the other package that is imported as `consul`, in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import support

HERE = Path(__file__).parent
FILES = ("test_ephemeral.py", "test_takeover.py")


def test_the_tests_of_the_older_interface_pass_with_py_consul() -> None:
    python = os.environ["TEST_PY_CONSUL_PYTHON"]
    ran = subprocess.run(
        [python, "-X", "faulthandler", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *FILES],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=6 * support.PATIENCE,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    counted = re.search(r"^(\d+) passed in ", ran.stdout, re.MULTILINE)
    assert counted is not None, ran.stdout
    assert int(counted[1]) > 60
    named = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, timeout=support.PATIENCE)
    assert "py-consul" in named.stdout
    assert "python-consul" not in named.stdout
