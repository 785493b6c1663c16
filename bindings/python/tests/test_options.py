"""Options: Python's keywords, and the library's own names."""

from __future__ import annotations

import enum
import time
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import support

from consul_lock import Client, InvalidArgumentError, InvalidOptionError, Lock, _options, hold, holder, shutdown


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 1},
        {"timeout": 0.5},
        {"timeout": 0},
        {"timeout": None},
        {"timeout": timedelta(milliseconds=1500)},
        {"timeout": 86_400},
        {"lock_timeout": 10},
        {"lock_timeout": 10.0},
        {"lock_timeout": timedelta(minutes=1)},
        {"max_lifetime": 0, "auto_renew": True},
        {"max_lifetime": timedelta(days=1), "auto_renew": True},
        {"queue_grace": 0.5},
        {"lock_timeout": None, "share": None, "limit": None, "value": None, "auto_renew": None, "client": None},
        {"max_lifetime": None, "monitor": None, "fair": None, "queue_grace": None, "options": None},
        {"options": {"acquire_timeout_ms": 500, "lock_timeout_seconds": "40", "fair": False, "mode": "share"}},
        {"options": {}},
        {"value": b"\0"},
        {"monitor": False, "fair": False},
    ],
)
def test_good_options(key: str, options: dict[str, Any]) -> None:
    with Lock(key, **options) as lock:
        assert lock.held


def test_options_have_their_effect(key: str) -> None:
    with hold(key, lock_timeout=40, value="a\0ü") as lock:
        assert 35 < lock.remaining <= 40
        found = holder(key)
        assert found is not None
        assert (found.value, found.ttl) == ("a\0ü".encode(), 40.0)
        begun = time.monotonic()
        assert Lock(key, options={"acquire_timeout_ms": 400}).try_acquire() is False
        assert time.monotonic() - begun >= 0.39
        begun = time.monotonic()
        assert Lock(key, timeout=timedelta(milliseconds=400)).try_acquire() is False
        assert time.monotonic() - begun >= 0.39


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lock_timeout": 5}, "lock_timeout: must be 10 to 86400, is 5"),
        ({"lock_timeout": 86_401}, "lock_timeout: must be 10 to 86400, is 86401"),
        ({"timeout": 100_000}, "timeout: must be 0 to 86400, is 100000"),
        ({"queue_grace": 100}, "queue_grace: must be 0.01 to 60, is 100"),
        ({"options": {"lock_timeout_seconds": 5}}, "option lock_timeout_seconds: must be 10 to 86400, is 5"),
        ({"timeout": -1}, "timeout: -1 is not a time; None waits without an end"),
        ({"timeout": float("inf")}, "timeout: inf is not a time; None waits without an end"),
        ({"timeout": 10**400}, "timeout: must be 0 to 86400, is "),
        ({"lock_timeout": 10**400}, "lock_timeout: must be 10 to 86400, is "),
        ({"timeout": float("nan")}, "timeout: nan is not a time"),
        ({"timeout": timedelta(seconds=-1)}, "is not a time"),
        ({"timeout": 1e308}, "timeout"),
        ({"lock_timeout": 10.2}, "whole number of seconds"),
        ({"lock_timeout": timedelta(seconds=10, milliseconds=1)}, "whole number of seconds"),
        ({"lock_timeout": float("inf")}, "lock_timeout"),
        ({"max_lifetime": 0.5}, "whole number of seconds"),
        ({"limit": 0}, "1 to 1024"),
        ({"limit": 1025}, "1 to 1024"),
        ({"limit": 2**70}, "limit"),
        ({"value": "a" * 400_000}, "value"),
        ({"options": {"nonsense": 1}}, "nonsense"),
        ({"options": {"address": "127.0.0.1:8500"}}, "address"),
        ({"options": {"fair": "a\0b"}}, "NUL"),
        ({"options": {"a\0b": 1}}, "NUL"),
        ({"options": {"fair": "\ud800"}}, "UTF-8"),
        ({"options": {"acquire_timeout_ms": 2**70}}, "acquire_timeout_ms"),
        ({"options": {"mode": "both"}}, "mode"),
    ],
)
def test_bad_options_say_what_is_wrong(key: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        Lock(key, **options)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.code, caught.value.status, caught.value.retryable) == (2, "INVALID_OPTION", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": "1"}, "timeout must be a number of seconds or a timedelta, not str"),
        ({"timeout": True}, "timeout must be"),
        ({"timeout": complex(1, 1)}, "timeout must be"),
        ({"lock_timeout": "60"}, "lock_timeout must be"),
        ({"share": 1}, "share must be True or False, not int"),
        ({"share": "true"}, "share must be"),
        ({"value": 5}, "value must be str or bytes, not int"),
        ({"auto_renew": {}}, "auto_renew must be"),
        ({"fair": [{}]}, "fair must be"),
        ({"limit": 1.5}, "limit must be"),
        ({"nonsense": 1}, "a lock has no option 'nonsense'; there are auto_renew, fair, limit, lock_timeout, "),
        ({"acquire_timeout_ms": 1}, "no option 'acquire_timeout_ms'"),
        ({"connect_timeout": 1}, "no option 'connect_timeout'"),
        ({"options": {"fair": None}}, "fair must be"),
        ({"options": {"fair": object()}}, "fair must be"),
        ({"options": ["fair"]}, "options must be a mapping"),
        ({"options": {1: 1}}, "options must be a mapping"),
    ],
)
def test_wrong_types_say_what_is_wrong(key: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Lock(key, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": b"127.0.0.1:8500"}, "address must be a str or several, not bytes"),
        ({"address": ["127.0.0.1:8500", None]}, "address must be a str or several, and one of them is NoneType"),
        ({"session_checks": b"serfHealth"}, "session_checks must be a str or several, not bytes"),
        ({"session_checks": [1]}, "session_checks must be a str or several, and one of them is int"),
        ({"ca_file": b"/ca.pem"}, "ca_file must be a path, not bytes"),
        ({"token": b"s"}, "token must be str, int or bool, not bytes"),
    ],
)
def test_wrong_types_of_a_client_say_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Client(**options)
    assert str(caught.value) == message


def test_the_members_of_an_enum_stand_for_their_values(key: str) -> None:
    class Place(str, enum.Enum):
        ADDRESS = support.ADDRESS
        NAME = "tests"
        KEY = key

    class Number(enum.IntEnum):
        LIMIT = 3

    client = Client(Place.ADDRESS, session_name=Place.NAME)
    with client.hold(Place.KEY, limit=Number.LIMIT, options={"mode": "share"}) as lock:
        assert lock.key == f"locks/ephemeral/{key}"
        (sharer,) = client.holders(key).sharers
        assert sharer.limit == 3
        assert sharer.name is not None
        assert sharer.name.startswith("tests")
    with Client([Place.ADDRESS]).hold(key) as lock:
        assert lock.held


def test_a_file_is_a_text_or_a_path(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("root")
    for path in (token, str(token)):
        assert Client(support.ACL_ADDRESS, token_file=path).holder("tests") is None
    missing = tmp_path / "missing"
    for options in ({"ca_file": missing}, {"ca_path": missing}, {"client_cert": missing, "client_key": missing}):
        with pytest.raises(InvalidOptionError, match=f"option c.*: {missing}: No such file"):
            Client(**options)


@pytest.mark.parametrize("number", [Fraction(1, 3), Decimal("0.5")])
def test_other_numbers(key: str, number: Any) -> None:
    # The annotation says float or timedelta. Other numbers are refused in words, not taken for something else.
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        Lock(key, timeout=number)


def test_a_secret_in_a_wrong_option_is_not_shown() -> None:
    for wrong in ({"token": ["s3cret"]}, {"options": {"token": ["s3cret"]}}, {"http_auth": {"s3cret": 1}}):
        with pytest.raises(TypeError) as caught:
            Client(**wrong)  # type: ignore[arg-type]
        assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidOptionError) as refused:
        Client(http_auth="s3cret\0")
    assert "s3cret" not in str(refused.value)


def test_times_are_rounded_up() -> None:
    # 0 would have another meaning.
    for time_, milliseconds in ((0.0001, 1), (timedelta(microseconds=1), 1), (0.57, 570), (1.0005, 1001), (3, 3000)):
        assert _options.count("timeout", time_, 1000) == milliseconds


def test_the_timeout_of_an_upgrade(key: str) -> None:
    with hold(key, share=True) as lock:
        for wrong in (-1, 86_401, float("nan"), float("inf"), 1e300):
            with pytest.raises(InvalidArgumentError, match="timeout"):
                lock.upgrade(timeout=wrong)
        for strange in ("2", True):
            with pytest.raises(TypeError, match="timeout"):
                lock.upgrade(timeout=strange)  # type: ignore[arg-type]
        lock.check()


def test_a_shutdown_has_an_end() -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds or a timedelta, not NoneType"):
        shutdown(timeout=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError) as caught:
        shutdown(timeout=-1)
    assert str(caught.value) == "timeout: -1 is not a time"


def test_client_options(key: str) -> None:
    client = Client(
        support.ADDRESS,
        connect_timeout=0.5,
        request_timeout=timedelta(seconds=1),
        release_timeout=2,
        lock_delay=1.5,
        max_connections=4,
        session_name="tests",
        flags=7,
        options={"connect_timeout_ms": 600},
    )
    with client.hold(key) as lock:
        found = client.holder(key)
        assert found is not None
        assert found.name is not None
        assert found.name.startswith("tests")
        assert lock.held
