"""Subinterpreters are refused in words. The free-threaded Python keeps its GIL off."""

from __future__ import annotations

import sys

import support

#: Imports the package in a subinterpreter and prints what that raises.
INSIDE = """
import sys
sys.path[:0] = PATH
try:
    import consul_lock
except BaseException as problem:
    # In 3.12 and later with a GIL of its own, ctypes is refused before this package is asked.
    told = f"{type(problem).__name__}: {problem}"
else:
    told = "imported"
with open(OUT, "w") as out:
    out.write(told)
"""
OUTSIDE = """
    import tempfile
    inside = os.environ["INSIDE"]
    def run(start):
        with tempfile.NamedTemporaryFile("r") as out:
            start(f"PATH = {sys.path!r}\\nOUT = {out.name!r}\\n{inside}")
            return out.read()

    def isolated(text):
        import _interpreters
        made = _interpreters.create("isolated")
        problem = _interpreters.exec(made, text)
        assert problem is None, problem
        _interpreters.destroy(made)

    def legacy(text):
        try:
            import _interpreters
            made = _interpreters.create("legacy")
            problem = _interpreters.exec(made, text)
            assert problem is None, problem
            _interpreters.destroy(made)
        except ImportError:
            import _xxsubinterpreters
            made = _xxsubinterpreters.create(isolated=False)
            _xxsubinterpreters.run_string(made, text)
            _xxsubinterpreters.destroy(made)

    def own(text):
        import _xxsubinterpreters
        made = _xxsubinterpreters.create(isolated=True)
        _xxsubinterpreters.run_string(made, text)
        _xxsubinterpreters.destroy(made)

    ways = [legacy, isolated if sys.version_info >= (3, 13) else own]
    for way in ways:
        print(run(way).replace("\\n", " "))
    with consul_lock.hold(sys.argv[1]) as lock:
        print(lock.held)
"""


def test_a_subinterpreter_is_refused_in_words(key: str) -> None:
    if sys.implementation.name != "cpython":
        # PyPy has no subinterpreters.
        return
    status, out, said = support.Program(OUTSIDE, key, INSIDE=INSIDE).end()
    assert status == 0, said
    shared, own, held = out.splitlines()
    assert shared.startswith("LibraryError: consul_lock does not run in a subinterpreter")
    assert own.startswith(("LibraryError: consul_lock does not run in a subinterpreter", "ImportError: module _"))
    assert held == "True"


def test_the_gil_stays_as_it_is() -> None:
    told = support.run(
        """
        before = getattr(sys, "_is_gil_enabled", lambda: True)()
        with consul_lock.hold(sys.argv[1]) as lock:
            lock.on_lost(print)
            found = consul_lock.holder(sys.argv[1])
        print(before == getattr(sys, "_is_gil_enabled", lambda: True)())
        """,
        "python-tests/gil",
        options=("-W", "error"),
    )
    assert told == "True\n"
