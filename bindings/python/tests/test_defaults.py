"""`consul_lock.defaults`: the defaults of the process, for both interfaces."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
import support

import consul_lock
from consul_lock import Client, InvalidOptionError, Lock, default_client, defaults, hold, holder, set_default_client


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The defaults are as they were before the test."""
    generate = defaults.generate_value
    yield
    defaults.acquire_timeout_ms = 0
    defaults.lock_timeout_seconds = 180
    defaults.lock_key_pattern = "locks/ephemeral/%s"
    defaults.consul_client = None
    defaults.generate_value = generate


def test_what_they_are() -> None:
    assert defaults.consul_client is None
    assert defaults.acquire_timeout_ms == 0
    assert defaults.lock_timeout_seconds == 180
    assert defaults.lock_key_pattern == "locks/ephemeral/%s"
    told = json.loads(defaults.generate_value())
    assert datetime.fromisoformat(told["locked_at"]).utcoffset() is not None


def test_a_lock_reads_them_when_it_is_made(key: str) -> None:
    before = Lock(key)
    defaults.lock_key_pattern = "elsewhere/%s"
    defaults.lock_timeout_seconds = 40
    defaults.acquire_timeout_ms = 300
    assert before.key == f"locks/ephemeral/{key}"
    with hold(key) as lock:
        assert lock.key == f"elsewhere/{key}"
        assert 30 < lock.remaining <= 40
        begun = time.monotonic()
        assert Lock(key).try_acquire() is False
        assert time.monotonic() - begun >= 0.29
        assert support.session_on(f"elsewhere/{key}") == lock.session_id
    with before:
        assert before.remaining > 100


def test_an_option_goes_first(key: str) -> None:
    defaults.acquire_timeout_ms = 60_000
    defaults.lock_timeout_seconds = 40
    with hold(key, lock_timeout=90) as lock:
        assert lock.remaining > 60
        with support.within(support.AT_ONCE):
            assert Lock(key, timeout=0).try_acquire() is False


def test_a_wait_without_end(key: str, full_key: str, holding: Lock) -> None:
    defaults.acquire_timeout_ms = -1
    lock = Lock(key)
    caller = support.waiting(lock, full_key)
    holding.release()
    caller.outcome()
    lock.close()


def test_wrong_values_raise_and_change_nothing() -> None:
    for name, wrong in {
        "lock_timeout_seconds": 9,
        "acquire_timeout_ms": 86_400_001,
        "lock_key_pattern": "no place for the key",
    }.items():
        before = getattr(defaults, name)
        with pytest.raises(InvalidOptionError, match=name):
            setattr(defaults, name, wrong)
        assert getattr(defaults, name) == before
    for name, strange in {
        "lock_timeout_seconds": "60",
        "acquire_timeout_ms": None,
        "lock_key_pattern": None,
        "generate_value": 7,
        "consul_client": "127.0.0.1:8500",
    }.items():
        before = getattr(defaults, name)
        with pytest.raises(TypeError):
            setattr(defaults, name, strange)
        assert getattr(defaults, name) == before


def test_names_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no default 'lock_timeout'"):
        defaults.lock_timeout = 5  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del defaults.lock_timeout_seconds
    assert not hasattr(defaults, "lock_timeout")


def test_the_client(key: str) -> None:
    client = Client(support.ACL_ADDRESS, token="root")
    defaults.consul_client = client
    assert default_client() is client
    with hold(key) as lock:
        assert support.session_on(lock.key) is None
        assert client.stats()["held"] == 1
    defaults.consul_client = None
    assert default_client() is None
    set_default_client(client)
    assert defaults.consul_client is client


def test_the_value(key: str) -> None:
    defaults.generate_value = lambda: b"made by the program"
    with hold(key):
        found = holder(key)
        assert found is not None
        assert found.value == b"made by the program"
    with hold(key, value="mine"):
        found = holder(key)
        assert found is not None
        assert found.value == b"mine"


def test_other_threads_see_them(key: str) -> None:
    defaults.lock_timeout_seconds = 50
    told: list[float] = []

    def work() -> None:
        with hold(key) as lock:
            told.append(lock.remaining)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert 40 < told[0] <= 50


def test_a_program_sets_them_after_an_import_by_name(key: str) -> None:
    told = support.run(
        """
        from consul_lock import defaults
        import consul_lock.defaults as same
        assert defaults is same is consul_lock.defaults
        defaults.lock_timeout_seconds = 33
        print(same.lock_timeout_seconds, consul_lock.Lock("a").key)
        """,
        key,
    )
    assert told == "33 locks/ephemeral/a\n"
    assert consul_lock.defaults is defaults
