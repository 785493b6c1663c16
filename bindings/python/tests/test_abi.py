"""The declarations and tables of the package are those of abi/api.json."""

from __future__ import annotations

import ctypes
import inspect
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

import consul_lock
from consul_lock import _abi, _native, _options, errors
from consul_lock._dispatcher import LEVELS
from consul_lock._library import load

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCES = sorted(Path(consul_lock.__file__).parent.rglob("*.py"))
API: dict[str, Any] = json.loads((REPOSITORY / "abi/api.json").read_text())
FUNCTIONS: dict[str, Any] = {function["name"]: function for function in API["functions"]}
OPTIONS: dict[str, Any] = {option["name"]: option for option in API["options"]}

#: The functions that the package does not use, and why.
UNUSED = {
    "acquire": "waits in C, where Ctrl-C cannot end it",
    "release": "the same",
    "renew": "the same",
    "check": "the same",
    "put_if_held": "the same",
    "delete_if_held": "the same",
    "downgrade": "the same",
    "upgrade": "the same",
    "holder": "the same",
    "holders": "the same",
    "shutdown": "the same",
    "free": "the same, if the lock is held",
    "options_set_int": "the package passes each number as a text",
    "set_value_generator": "the package calls the generator",
    "value_set": "the same",
    "lost_reason_name": "_abi.py has the names",
    "status_name": "the same",
    "event_kind": "a tag, or the call, has one kind of event",
    "holders_count": "the package reads the JSON form",
    "holders_role": "the same",
    "holders_get": "the same",
    "holders_limit": "the same",
    "holders_slot": "the same",
    "holders_key_count": "the same",
    "holders_key": "the same",
}
TYPES = {
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "void": None,
    "const char *": ctypes.c_char_p,
}
ENUMS = {
    "consul_lock_event_kind_t",
    "consul_lock_log_level",
    "consul_lock_lost_reason",
    "consul_lock_role",
    "consul_lock_status",
}
CALLBACKS = {callback["name"] for callback in API["callbacks"]}


def short(name: str) -> str:
    return name[len("consul_lock_") :]


def declared(c_type: str) -> object:
    """The type of ctypes for a type of C."""
    if c_type in TYPES:
        return TYPES[c_type]
    if c_type in ENUMS:
        return ctypes.c_int
    # No int is a pointer, which has 8 bytes.
    assert c_type.endswith("*") or c_type in CALLBACKS, f"no type for {c_type}"
    return ctypes.c_void_p


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_is_declared_as_it_is(name: str) -> None:
    function = FUNCTIONS[name]
    types = [function["returns"], *(parameter["type"] for parameter in function["params"])]
    assert list(_abi.FUNCTIONS[short(name)]) == types
    bound = getattr(_native.c, short(name))
    assert bound.restype is declared(function["returns"])
    assert list(bound.argtypes) == [declared(c_type) for c_type in types[1:]]


def test_no_other_function_is_declared() -> None:
    assert set(_abi.FUNCTIONS) == {short(name) for name in FUNCTIONS}


def test_each_function_is_used() -> None:
    text = "\n".join(source.read_text() for source in SOURCES if source.name != "_abi.py")
    used = set(re.findall(r"\b(?:c|address)\.(\w+)", text)) & set(_abi.FUNCTIONS)
    # The loader asks for the number before it binds the others.
    used |= {"abi_version"} & set(re.findall(r"consul_lock_(\w+)", text))
    assert set(_abi.FUNCTIONS) - used == set(UNUSED)


def test_each_callback_is_one_of_the_library() -> None:
    library = load()
    for name, value in vars(_native.address).items():
        function = FUNCTIONS[f"consul_lock_{name}"]
        assert value == ctypes.cast(library[function["name"]], ctypes.c_void_p).value


@pytest.mark.parametrize(
    ("table", "entries"),
    [
        (_abi.STATUSES, "statuses"),
        (_abi.LOST_REASONS, "lost_reasons"),
        (_abi.EVENT_KINDS, "event_kinds"),
        (_abi.LOG_LEVELS, "log_levels"),
    ],
)
def test_each_number_has_its_name(table: dict[int, str], entries: str) -> None:
    assert table == {entry["number"]: entry["name"] for entry in API[entries]}


def test_each_status_has_a_class_of_its_own() -> None:
    statuses = {entry["number"]: entry["name"] for entry in API["statuses"] if entry["number"] != 0}
    assert errors.BY_CODE.keys() == statuses.keys()
    assert len(set(errors.BY_CODE.values())) == len(statuses)
    for number, name in statuses.items():
        kind = errors.BY_CODE[number]
        assert kind.__name__ == "".join(word.capitalize() for word in name.split("_")) + "Error"
        assert kind.__bases__[0] is consul_lock.Error
        assert getattr(consul_lock, kind.__name__) is kind
        made = kind("why")
        assert (made.code, made.status, str(made)) == (number, name, "why")


def test_a_status_of_a_later_library_is_an_error() -> None:
    made = consul_lock.Error("why", code=77)
    assert (made.code, made.status) == (77, "UNKNOWN")


def test_each_level_of_the_log_is_one_of_logging() -> None:
    names = {"WARN": "WARNING"}
    levels = {entry["number"]: entry["name"] for entry in API["log_levels"]}
    assert {number: getattr(logging, names.get(name, name)) for number, name in levels.items()} == LEVELS


def keywords(place: str) -> set[str]:
    """The keywords for the options that a lock or a client takes."""
    own = {name: python for python, (name, _) in _options.TIMES.items()} | {"mode": "share"}
    return {own.get(name, name) for name, option in OPTIONS.items() if place in option["places"]}


def test_each_option_is_a_keyword() -> None:
    # `options` takes each of them by the library's own name.
    assert set(_options.LockOptions.__annotations__) == keywords("lock") | {"options"}
    taken = set(inspect.signature(consul_lock.Client).parameters) | set(_options.ClientOptions.__annotations__)
    assert taken - {"self"} >= keywords("client") | {"options"}
    assert set(_options.ClientOptions.__annotations__) <= keywords("client") | {"options"}


def test_each_time_has_the_unit_of_the_library() -> None:
    times = {name for name in OPTIONS if re.search(r"_(ms|seconds)$", name)}
    assert {own for own, _ in _options.TIMES.values()} == times
    for own, per_second in _options.TIMES.values():
        assert per_second == {"ms": 1000, "seconds": 1}[own.rpartition("_")[2]]


def test_the_page_of_the_options_names_the_same() -> None:
    """The docstrings of the keywords send a reader to docs/OPTIONS.md."""
    page = (REPOSITORY / "docs/OPTIONS.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(OPTIONS)


def test_each_default_can_be_read() -> None:
    for name, option in OPTIONS.items():
        if "default" in option["places"]:
            assert str(getattr(consul_lock.defaults, name)) == option["default"]


def test_the_version_is_that_of_the_library() -> None:
    assert consul_lock.__version__ == consul_lock.version() == API["version"]
    assert API["abi_version"] == _abi.ABI_VERSION == _native.c.abi_version()
