"""The fixtures that the tests share. They need the Consuls of bindings/with-consul."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import support

import consul_lock


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """The key of a lock that no other test uses."""
    name = request.node.originalname or request.node.name
    return f"python-tests/{name[:80]}-{secrets.token_hex(4)}"


@pytest.fixture
def full_key(key: str) -> str:
    """The same key in Consul."""
    return f"locks/ephemeral/{key}"


@pytest.fixture
def holding(key: str) -> Iterator[consul_lock.Lock]:
    """The lock of this test, held until the end of the test. The test may release it before."""
    lock = consul_lock.Lock(key)
    lock.acquire()
    yield lock
    lock.close()


@pytest.fixture
def keys_of_the_examples() -> Iterator[None]:
    """The keys that are written in the examples and in the older README. Tests run side by side, and these in turn."""
    with consul_lock.hold("python-tests/keys-of-the-examples", timeout=8 * support.PATIENCE, lock_timeout=600):
        yield


@pytest.fixture
def gate() -> Iterator[support.Gate]:
    """A proxy before Consul, which the test shuts."""
    with support.Gate() as opened:
        yield opened
