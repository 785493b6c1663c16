"""The annotations: each public name has one, and a running program keeps to them. `check` runs mypy and pyright."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import support

import consul_lock
from consul_lock import aio

PUBLIC = [
    *(getattr(consul_lock, name) for name in consul_lock.__all__ if name not in ("__version__", "defaults")),
    *(getattr(aio, name) for name in aio.__all__),
]


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(consul_lock.__file__).parent / "py.typed").exists()


def test_each_public_function_is_annotated_and_documented() -> None:
    for public in PUBLIC:
        assert inspect.getdoc(public), public
        members = [public] if not inspect.isclass(public) else [
            member for name, member in inspect.getmembers(public)
            if not name.startswith("_") and str(getattr(member, "__module__", "")).startswith("consul_lock")
        ]  # fmt: skip
        for member in members:
            assert inspect.getdoc(member), member
            function = inspect.unwrap(member)
            if inspect.isfunction(function):
                signature = inspect.signature(function)
                assert signature.return_annotation is not inspect.Signature.empty, member
                for parameter in list(signature.parameters.values()):
                    assert parameter.name == "self" or parameter.annotation is not parameter.empty, member


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from consul_lock import *", names)
    assert set(consul_lock.__all__) <= set(names)
    assert sorted(consul_lock.__all__) == list(consul_lock.__all__)


def test_an_interactive_shell_completes_the_public_names() -> None:
    told = support.run("print(*dir(consul_lock), sep='\\n'); print('asyncio' in sys.modules)").split()
    shown = {name for name in told if not name.startswith("_")}
    assert shown == {*consul_lock.__all__, "aio", "False"} - {"__version__"}
    assert "__version__" in told


def test_the_help_of_hold_names_all_options() -> None:
    described = inspect.getdoc(consul_lock.hold)
    assert described is not None
    assert [name for name in consul_lock.LockOptions.__annotations__ if name not in described] == []


@pytest.mark.filterwarnings("error")
def test_a_program_keeps_to_the_annotations(key: str, full_key: str) -> None:
    text = Path(__file__).with_name("typed.py").read_text()
    support.run(f"exec({text!r})", key, options=("-X", "dev", "-W", "error"))
    for name in (full_key, f"{full_key}-b"):
        if support.session_on(name):
            support.end_session_of(name)
