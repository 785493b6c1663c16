"""The errors: what they are, what they say, and that they go from process to process."""

from __future__ import annotations

import copy
import pickle

import pytest
import support

from consul_lock import (
    Client,
    ConsulLockException,
    Error,
    InvalidOptionError,
    LibraryError,
    Lock,
    LockAcquisitionException,
    LostError,
    NotAcquiredError,
    errors,
    hold,
)


def test_they_are_the_built_in_ones_too() -> None:
    for kind, built_in in {
        errors.InvalidArgumentError: ValueError,
        errors.InvalidOptionError: ValueError,
        errors.InvalidEnvironmentError: ValueError,
        errors.AlreadyUsedError: RuntimeError,
        errors.NotHeldError: RuntimeError,
        errors.ForkedError: RuntimeError,
        errors.ClosedError: RuntimeError,
        errors.UnavailableError: ConnectionError,
        errors.DeniedError: PermissionError,
        errors.NoResourcesError: OSError,
    }.items():
        assert issubclass(kind, Error)
        assert issubclass(kind, built_in)
    assert issubclass(LibraryError, ImportError)
    assert not issubclass(LibraryError, Error)
    assert ConsulLockException is Error
    assert LockAcquisitionException is NotAcquiredError


def test_an_except_of_a_built_in_error(key: str) -> None:
    with pytest.raises(PermissionError), Client(support.ACL_ADDRESS).hold(key):
        pytest.fail("it ran")
    with pytest.raises(ConnectionError), Client(support.DEAD_ADDRESS, request_timeout=0.5).hold(key):
        pytest.fail("it ran")
    with pytest.raises(ValueError, match="lock_timeout"):
        Lock(key, lock_timeout=1)


@pytest.mark.parametrize("kind", errors.BY_CODE.values())
def test_each_can_be_pickled_and_copied(kind: type[Error]) -> None:
    problem = kind("why", http_status=403, retryable=True)
    problem.seen = "by the program"  # type: ignore[attr-defined]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for same in (pickle.loads(pickle.dumps(problem, protocol)), copy.copy(problem), copy.deepcopy(problem)):
            assert type(same) is kind
            assert (str(same), same.args) == ("why", ("why",))
            assert (same.code, same.status) == (kind._code, problem.status)
            assert (same.http_status, same.retryable, same.seen) == (403, True, "by the program")
    assert repr(problem) == f"{kind.__name__}('why')"


def test_what_an_operating_system_error_says() -> None:
    # OSError takes its text apart if it gets two arguments.
    problem = errors.NoResourcesError("no thread")
    assert (str(problem), problem.errno, problem.strerror) == ("no thread", None, None)
    denied = errors.DeniedError("no right", http_status=403)
    assert (str(denied), denied.errno, denied.http_status) == ("no right", None, 403)


def test_a_loss_keeps_its_reason(key: str, full_key: str) -> None:
    lock = Lock(key, monitor=False)
    lock.acquire()
    support.delete(full_key)
    with pytest.raises(LostError) as caught:
        lock.check()
    lock.close()
    same = pickle.loads(pickle.dumps(caught.value))
    assert (same.reason, same.code, same.status, str(same)) == ("KEY_GONE", 22, "LOST", str(caught.value))


def test_a_message_is_one_line_for_people(key: str, full_key: str, holding: Lock) -> None:
    with pytest.raises(NotAcquiredError) as caught, hold(key):
        pytest.fail("it ran")
    said = str(caught.value)
    assert "\n" not in said
    assert full_key in said
    assert holding.session_id in said


def test_details_of_an_answer(key: str) -> None:
    with pytest.raises(errors.DeniedError) as caught:
        Client(support.ACL_ADDRESS).holder(key)
    assert (caught.value.http_status, caught.value.retryable, caught.value.code) == (403, False, 60)
    with pytest.raises(InvalidOptionError) as refused:
        Lock(key, lock_timeout=1)
    assert (refused.value.http_status, refused.value.retryable) == (None, False)


def test_no_chain_of_internals(key: str, holding: Lock) -> None:
    # A program's traceback shows one error, and not how the package got it.
    with pytest.raises(NotAcquiredError) as caught:
        Lock(key).acquire()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
