"""Prints what failed in a run of pytest, and the count that `test` adds up.

    report.py JUNIT.xml NAME

A skipped test has failed: each test of this package runs everywhere.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree


def main(path: str, run: str) -> int:
    """Reads the results that `pytest --junitxml` wrote."""
    passed = failed = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        wrong = next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)
        if wrong is None:
            passed += 1
            continue
        failed += 1
        said = (wrong.get("message") or wrong.text or "").strip()
        print(f"FAILED  {run}: {case.get('classname')}.{case.get('name')}: {wrong.tag}: {said[:600]}")
    if passed + failed == 0:
        print(f"FAILED  {run}: there was no test")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
