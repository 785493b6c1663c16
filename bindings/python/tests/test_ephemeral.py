"""The interface of the older library, with the Consul object of the package that is installed here.

test_py_consul.py runs this file with the other one.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import pickle
import subprocess
import sys
import threading
import unittest.mock
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest.mock import DEFAULT

import consul
import pytest
import support

import consul_lock
from consul_lock import ConsulLockException, EphemeralLock, LockAcquisitionException, defaults

#: The programs of the older library's README, with `print` as Python 3 has it.
README = Path(__file__).parent / "old_readme.txt"
ADDRESS = os.environ["CONSUL_HTTP_ADDR"]


@pytest.fixture(autouse=True)
def client() -> Iterator[consul.Consul]:
    """The Consul object of the defaults, which are as they were after the test."""
    before = {name: getattr(defaults, name) for name in vars(defaults) if name in defaults.__annotations__}
    generate = defaults.generate_value
    made = defaults.consul_client = consul.Consul()
    yield made
    for name, value in before.items():
        setattr(defaults, name, value)
    defaults.generate_value = generate


def readme() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, README], capture_output=True, text=True, timeout=support.PATIENCE)


# ---- The README


@pytest.mark.usefixtures("keys_of_the_examples")
def test_the_programs_of_the_old_readme_run_unchanged_and_say_who_has_the_lock() -> None:
    ran = readme()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "here be dragons\n" * 3
    with EphemeralLock("my/special/key"):
        ran = readme()
    assert ran.returncode == 1
    assert "LockAcquisitionException" not in ran.stdout
    assert 'NotAcquiredError: could not acquire the lock "locks/ephemeral/my/special/key"' in ran.stderr
    assert f":{os.getpid()} " in ran.stderr


# ---- Attributes and arguments


def test_the_attributes(key: str) -> None:
    lock = EphemeralLock(key, 500, 60)
    assert (lock.key, lock.full_key) == (key, f"locks/ephemeral/{key}")
    assert (lock.acquire_timeout_ms, lock.lock_timeout_seconds) == (500, 60)
    assert lock.session_id is None
    assert repr(lock) == f"<consul_lock.EphemeralLock {lock.full_key!r} not held>"
    lock.acquire()
    assert lock.session_id == support.session_on(lock.full_key)
    assert lock.lock.held
    assert 50 < lock.lock.remaining <= 60
    assert repr(lock).startswith(f"<consul_lock.EphemeralLock {lock.full_key!r} held, ")
    assert lock.release() is True


def test_a_number_may_be_a_float(key: str) -> None:
    lock = EphemeralLock(key, acquire_timeout_ms=999.5, lock_timeout_seconds=10.5)
    assert (lock.acquire_timeout_ms, lock.lock_timeout_seconds) == (999.5, 10.5)
    with lock:
        # 10.5 s become 11 s.
        assert 10 < lock.lock.remaining <= 11


def test_a_time_that_is_over_means_one_attempt(key: str) -> None:
    with EphemeralLock(key), support.within(support.AT_ONCE):
        for over in (-1, -0.5, -5000, 0):
            assert EphemeralLock(key, acquire_timeout_ms=over).acquire(fail_hard=False) is False


def test_infinity_waits_without_an_end(key: str) -> None:
    first, second = EphemeralLock(key), EphemeralLock(key, acquire_timeout_ms=math.inf)
    first.acquire()
    caller = support.waiting(second.lock, first.full_key)
    first.release()
    caller.outcome()
    assert second.release() is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lock_timeout_seconds": 9}, "option lock_timeout_seconds: must be 10 to 86400, is 9"),
        ({"lock_timeout_seconds": math.inf}, "option lock_timeout_seconds: must be 10 to 86400, is -1"),
        ({"acquire_timeout_ms": 86_400_001}, "option acquire_timeout_ms: must be -1 to 86400000, is 86400001"),
        ({"acquire_timeout_ms": math.nan}, "acquire_timeout_ms: nan is not a time"),
    ],
)
def test_a_time_out_of_range_is_refused(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(consul_lock.InvalidOptionError) as refused:
        EphemeralLock("key", **arguments)
    assert said in str(refused.value)
    assert isinstance(refused.value, (ValueError, ConsulLockException))


@pytest.mark.parametrize(
    ("key", "arguments", "said"),
    [
        (None, {}, "key must be a str or an int, not NoneType"),
        (b"key", {}, "key must be a str or an int, not bytes"),
        ("key", {"acquire_timeout_ms": "500"}, "acquire_timeout_ms must be a number, not str"),
        ("key", {"lock_timeout_seconds": True}, "lock_timeout_seconds must be a number, not bool"),
        ("key", {"consul_client": "10.0.0.7"}, "consul_client must be a Consul of python-consul or py-consul"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused(key: object, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        EphemeralLock(key, **arguments)  # type: ignore[arg-type]


def test_a_key_may_be_a_number_and_not_be_empty() -> None:
    assert EphemeralLock(17).full_key == "locks/ephemeral/17"
    with pytest.raises(consul_lock.InvalidArgumentError):
        EphemeralLock("")


def test_a_lock_is_neither_copied_nor_pickled(key: str) -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            attempt(EphemeralLock(key))


# ---- Acquire and release


def test_a_lock_that_another_session_has_is_not_acquired(key: str) -> None:
    first = EphemeralLock(key, acquire_timeout_ms=0, lock_timeout_seconds=10)
    assert first.acquire() is True
    second = EphemeralLock(key, acquire_timeout_ms=100, lock_timeout_seconds=10)
    assert second.acquire(fail_hard=False) is False
    with pytest.raises(LockAcquisitionException, match=f"locks/ephemeral/{key}"):
        EphemeralLock(key).acquire()
    with EphemeralLock(f"{key}/other"):
        pass
    assert first.release() is True
    third = EphemeralLock(key)
    assert third.acquire(fail_hard=False) is True
    assert third.release() is True


def test_an_acquire_waits_for_a_release(key: str) -> None:
    first, second = EphemeralLock(key), EphemeralLock(key, acquire_timeout_ms=20_000)
    first.acquire()
    threading.Timer(0.2, first.release).start()
    with support.within(support.AT_ONCE):
        assert second.acquire() is True
    # The life of a lock begins when it is acquired.
    assert second.lock.remaining > 175
    assert second.release() is True


def test_a_lock_is_single_use(key: str) -> None:
    lock = EphemeralLock(key)
    lock.acquire()
    lock.release()
    for fail_hard in (True, False):
        with pytest.raises(consul_lock.AlreadyUsedError):
            lock.acquire(fail_hard=fail_hard)


def test_a_release_without_a_lock_does_nothing(key: str) -> None:
    lock = EphemeralLock(key)
    assert lock.release() is False
    with EphemeralLock(key) as holder:
        try:
            with pytest.raises(LockAcquisitionException):
                lock.acquire()
        finally:
            assert lock.release() is False
        assert holder.lock.held
    assert holder.release() is False
    dead = EphemeralLock(key, consul_client=consul_lock.Client(os.environ["TEST_CONSUL_DEAD_ADDR"]))
    with pytest.raises(ConsulLockException):
        dead.acquire()
    assert dead.release() is False


def test_the_release_of_a_lost_lock_is_false_and_the_log_says_so(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "consul_lock")
    with EphemeralLock(key) as lock:
        support.end_session_of(lock.full_key)
        with pytest.raises(consul_lock.LostError):
            lock.lock.check()
        assert lock.release() is False
    support.wait_until("the log has the loss", lambda: lock.full_key in caplog.text)
    assert lock.lock.lost


def test_a_release_that_consul_does_not_confirm_raises(key: str, gate: support.Gate) -> None:
    client = consul_lock.Client(gate.address, ssl=False, release_timeout=0.2)
    lock = EphemeralLock(key, consul_client=client)
    lock.acquire()
    gate.shut = True
    with pytest.raises(consul_lock.UnconfirmedError):
        lock.release()
    gate.shut = False
    consul_lock.shutdown(timeout=support.PATIENCE)
    support.wait_until("the library has released the lock", lambda: not support.keys(lock.full_key))


def test_a_child_does_not_release_the_lock_of_its_parent(key: str) -> None:
    with EphemeralLock(key) as lock:
        assert support.Child(lock.release).told() == "False"
        assert support.session_on(lock.full_key) == lock.session_id


# ---- hold


def test_hold_releases_however_the_block_ends(key: str) -> None:
    lock = EphemeralLock(key)
    with pytest.raises(ZeroDivisionError), lock.hold() as same:
        assert same is lock
        assert support.session_on(lock.full_key) == lock.session_id
        _ = 1 / 0
    assert support.session_on(lock.full_key) is None
    with EphemeralLock(key).hold(), pytest.raises(LockAcquisitionException), EphemeralLock(key).hold():
        pytest.fail("the block ran")


def test_the_exception_of_the_block_goes_first(key: str, gate: support.Gate) -> None:
    client = consul_lock.Client(gate.address, ssl=False, release_timeout=0.2)
    with pytest.raises(ZeroDivisionError), EphemeralLock(key, consul_client=client).hold() as lock:
        gate.shut = True
        _ = 1 / 0
    gate.shut = False
    consul_lock.shutdown(timeout=support.PATIENCE)
    support.wait_until("the library has released the lock", lambda: not support.keys(lock.full_key))


def test_hold_uses_the_methods_of_a_subclass(key: str) -> None:
    class Telling(EphemeralLock):
        def acquire(self, fail_hard: bool = True) -> bool:  # type: ignore[override]
            told.append("acquire")
            return super().acquire(fail_hard)

        def release(self) -> bool:
            told.append("release")
            return super().release()

    told: list[object] = []
    with Telling(key).hold() as lock:
        told.append(lock.lock.held)
    assert told == ["acquire", True, "release"]


def test_hold_uses_the_mocks_of_a_test(key: str, full_key: str) -> None:
    with unittest.mock.patch.multiple(EphemeralLock, acquire=DEFAULT, release=DEFAULT) as mocks:
        with EphemeralLock(key).hold():
            assert support.session_on(full_key) is None
        mocks["acquire"].assert_called_once_with(fail_hard=True)
        mocks["release"].assert_called_once_with()


# ---- Defaults


def test_the_defaults_are_read_when_a_lock_is_made(client: consul.Consul, key: str) -> None:
    assert (defaults.acquire_timeout_ms, defaults.lock_timeout_seconds) == (0, 180)
    assert defaults.lock_key_pattern == "locks/ephemeral/%s"
    assert defaults.consul_client is client
    before = EphemeralLock(key)
    defaults.acquire_timeout_ms = 300.5
    defaults.lock_timeout_seconds = 20
    defaults.lock_key_pattern = "python-tests/%s/lock"
    defaults.generate_value = lambda: json.dumps({"by": "the test"})
    lock = EphemeralLock(key)
    assert (before.acquire_timeout_ms, before.lock_timeout_seconds) == (0, 180)
    assert (lock.acquire_timeout_ms, lock.lock_timeout_seconds) == (300.5, 20)
    assert lock.full_key == f"python-tests/{key}/lock"
    with lock:
        assert support.value(lock.full_key) == b'{"by": "the test"}'
        assert lock.lock.remaining <= 20
    with consul_lock.Lock(key) as plain:
        assert plain.key == lock.full_key
        assert plain.remaining <= 20


def test_the_built_in_value_is_json_with_the_time(key: str) -> None:
    assert set(json.loads(defaults.generate_value())) == {"locked_at"}
    with EphemeralLock(key) as lock:
        value = support.value(lock.full_key)
    assert value is not None
    assert datetime.fromisoformat(json.loads(value)["locked_at"].replace("Z", "+00:00"))


@pytest.mark.parametrize(
    ("name", "wrong", "error"),
    [
        ("acquire_timeout_ms", -2, consul_lock.InvalidOptionError),
        ("acquire_timeout_ms", "500", TypeError),
        ("lock_timeout_seconds", 9, consul_lock.InvalidOptionError),
        ("lock_key_pattern", "locks/", consul_lock.InvalidOptionError),
        ("generate_value", "value", TypeError),
        ("consul_client", "10.0.0.7", TypeError),
        ("no_default", 1, AttributeError),
    ],
)
def test_a_wrong_default_changes_nothing(name: str, wrong: object, error: type[Exception]) -> None:
    before = getattr(defaults, name, None)
    with pytest.raises(error):
        setattr(defaults, name, wrong)
    assert getattr(defaults, name, None) is before


def test_a_client_of_this_package_is_a_default_too(client: consul.Consul, key: str) -> None:
    ours = defaults.consul_client = consul_lock.Client(ADDRESS, ssl=False)
    assert defaults.consul_client is ours is consul_lock.default_client()
    with EphemeralLock(key):
        assert ours.stats()["held"] == 1
    consul_lock.set_default_client(None)
    assert defaults.consul_client is None
    with EphemeralLock(key):
        assert ours.stats()["held"] == 0


def test_a_default_client_may_be_closed(key: str) -> None:
    # As of Lock, whose default client is the library's.
    with consul_lock.Client() as client:
        defaults.consul_client = client
    with EphemeralLock(key).hold() as lock:
        assert lock.lock.held


# ---- Errors


def test_the_errors_are_those_of_the_consul_package_too(client: consul.Consul, key: str) -> None:
    with EphemeralLock(key), pytest.raises(consul.ConsulException) as busy:
        EphemeralLock(key).acquire()
    error = busy.value
    assert isinstance(error, (LockAcquisitionException, ConsulLockException))
    assert type(error).__name__ == "NotAcquiredError"
    assert (error.status, error.retryable) == ("NOT_ACQUIRED", True)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
    with EphemeralLock(key), pytest.raises(consul.ConsulException) as second:
        EphemeralLock(key, consul_client=consul.Consul()).acquire()
    assert type(second.value) is type(error)


def test_an_error_reaches_a_process_without_the_consul_package(key: str) -> None:
    with EphemeralLock(key), pytest.raises(consul.ConsulException) as busy:
        EphemeralLock(key).acquire()
    ran = support.run(
        """
        import pickle
        sys.modules["consul"] = None
        error = pickle.loads(bytes.fromhex(sys.argv[1]))
        print(type(error) is consul_lock.NotAcquiredError, error.retryable, error)
        """,
        pickle.dumps(busy.value).hex(),
    )
    assert ran == f"True True {busy.value}\n"


def test_a_refusal_is_the_one_of_the_consul_package_too(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_HTTP_ADDR")
    host, port = os.environ["TEST_CONSUL_ACL_ADDR"].split(":")
    lock = EphemeralLock(key, consul_client=consul.Consul(host=host, port=int(port)))
    with pytest.raises(consul.ACLPermissionDenied) as refused:
        lock.acquire()
    assert isinstance(refused.value, (consul_lock.DeniedError, PermissionError))
    assert refused.value.http_status == 403


def test_the_errors_of_other_locks_stay_ours(key: str) -> None:
    with EphemeralLock(key):
        for lock in (EphemeralLock(key, consul_client=consul_lock.Client(ADDRESS, ssl=False)), consul_lock.Lock(key)):
            with pytest.raises(LockAcquisitionException) as busy:
                lock.acquire()
            assert type(busy.value) is consul_lock.NotAcquiredError
