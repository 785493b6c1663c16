"""Clients: the ways to Consul."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import support

import consul_lock
from consul_lock import (
    Client,
    ClosedError,
    DeniedError,
    InvalidArgumentError,
    InvalidOptionError,
    Lock,
    UnavailableError,
    default_client,
    hold,
    set_default_client,
    shutdown,
    stats,
)


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of this test."""
    with Client(support.ADDRESS) as made:
        yield made


def test_lock_and_hold_use_the_client(key: str, client: Client) -> None:
    with client.hold(key) as lock:
        found = client.holder(key)
        assert found is not None
        assert found.session == lock.session_id
        assert client.lock(key).try_acquire() is False
    assert client.holder(key) is None


def test_stats(key: str, client: Client) -> None:
    assert client.stats()["held"] == 0
    with client.hold(key):
        assert client.stats()["held"] == 1
    told = client.stats()
    assert told["requests"]["lock"] == 1
    assert told["hold_us"]["count"] == 1
    assert isinstance(stats()["raft_writes"], int)
    assert stats(client) == client.stats()


def test_a_token_without_rights(key: str) -> None:
    with pytest.raises(DeniedError) as caught, Client(support.ACL_ADDRESS, token="no-such-token").hold(key):
        pytest.fail("it ran")
    assert (caught.value.http_status, caught.value.code, caught.value.retryable) == (403, 60, False)
    assert "no-such-token" not in str(caught.value)
    with Client(support.ACL_ADDRESS, token="root").hold(key) as lock:
        assert lock.held


def test_a_token_file(key: str, tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    file = tmp_path / "token"
    file.write_text("root\n")
    with Client(support.ACL_ADDRESS, token_file=str(file)).hold(key) as lock:
        assert lock.held
    with pytest.raises(InvalidOptionError, match="token_file"):
        Client(token_file=str(tmp_path / "none"))


def test_several_addresses(key: str) -> None:
    for addresses in ([support.DEAD_ADDRESS, support.ADDRESS], f"{support.DEAD_ADDRESS},{support.ADDRESS}"):
        with Client(addresses).hold(key) as lock:
            assert lock.held


def test_the_default_client(key: str) -> None:
    nowhere = Client(support.DEAD_ADDRESS, request_timeout=0.5)
    before = Lock(key)
    assert default_client() is None
    set_default_client(nowhere)
    try:
        assert default_client() is nowhere
        assert consul_lock.defaults.consul_client is nowhere
        with pytest.raises(UnavailableError), hold(key):
            pytest.fail("it ran")
        with before:
            assert before.held
    finally:
        set_default_client(None)
    assert default_client() is None
    assert consul_lock.defaults.consul_client is None
    with hold(key) as lock:
        assert lock.held


def test_the_environment() -> None:
    told = support.run(
        """
        try:
            consul_lock.Lock("a")
        except consul_lock.InvalidEnvironmentError as problem:
            print(isinstance(problem, ValueError), "CONSUL_HTTP_ADDR" in str(problem))
        print(consul_lock.stats())
        for call in (consul_lock.holder, consul_lock.holders, lambda key: consul_lock.observe(key, print)):
            try:
                call("a")
            except consul_lock.InvalidEnvironmentError:
                print("refused")
        """,
        CONSUL_HTTP_ADDR="nowhere://at-all",
    )
    assert told == "True True\n{}\nrefused\nrefused\nrefused\n"


def test_a_closed_client(key: str, client: Client) -> None:
    lock = client.lock(key)
    client.close()
    client.close()
    for use in (lambda: client.lock(key), lambda: client.holder(key), client.stats, lambda: set_default_client(client)):
        with pytest.raises(ClosedError, match="client is closed"):
            use()
    assert repr(client) == "<consul_lock.Client closed>"
    # A lock keeps its client.
    gc.collect()
    with lock:
        assert lock.held


def test_repr_shows_no_secret(key: str) -> None:
    client = Client(support.ADDRESS, token="s3cret", http_auth="user:s3cret")
    assert repr(client) == "<consul_lock.Client 0 locks held>"
    assert "s3cret" not in repr(client.lock(key, value="s3cret"))


def test_wrong_options() -> None:
    for wrong in ({"lock_timeout": 60}, {"timeout": 5}, {"nonsense": 1}):
        with pytest.raises(TypeError, match="no option"):
            Client(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="lock_timeout_seconds"):
        Client(options={"lock_timeout_seconds": 60})
    with pytest.raises(TypeError) as caught:
        Client(token=b"s3cret")  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidOptionError, match="connect_timeout: must be"):
        Client(connect_timeout=100_000)
    for wrong in ("x", 7, object()):
        with pytest.raises(TypeError):
            Lock("a", client=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            set_default_client(wrong)  # type: ignore[arg-type]


def test_shutdown(key: str, full_key: str) -> None:
    for _ in range(2):
        with hold(key):
            pass
    shutdown(timeout=10)
    support.nothing_left(full_key)
    for wrong in (-1, 86_401, 2**80, 1e300, float("inf"), float("nan")):
        with pytest.raises(InvalidArgumentError, match="timeout"):
            shutdown(timeout=wrong)
    for strange in ("2", complex(1, 1), True):
        with pytest.raises(TypeError, match="timeout"):
            shutdown(timeout=strange)  # type: ignore[arg-type]
    with hold(key) as lock:
        assert lock.held


def test_the_version() -> None:
    assert consul_lock.version() == consul_lock.__version__


@pytest.mark.parametrize(
    "action",
    [
        "consul_lock.Lock(sys.argv[1], client=client).close()",
        "consul_lock.holder(sys.argv[1], client=client)",
        "consul_lock.holders(sys.argv[1], client=client)",
        "consul_lock.observe(sys.argv[1], str, client=client).close()",
        "consul_lock.stats(client)",
        "consul_lock.set_default_client(client)",
        "asyncio.run(consul_lock.aio.holder(sys.argv[1], client=client))",
        "asyncio.run(consul_lock.aio.holders(sys.argv[1], client=client))",
    ],
)
def test_a_close_at_any_moment_frees_no_client_that_a_call_uses(key: str, action: str) -> None:
    told = support.run(
        f"""
        import asyncio
        import consul_lock.aio

        inside = os.path.dirname(consul_lock.__file__)

        def trace(frame, event, _):
            global seen
            if not frame.f_code.co_filename.startswith(inside):
                return None
            if event == "line":
                seen += 1
                if seen == number:
                    sys.settrace(None)
                    client.close()
                    # Takes the memory of a client that was freed.
                    others.extend(consul_lock.Client("127.0.0.1:1", session_name="z" * 50) for _ in range(3))
            return trace

        number, seen, others = 0, 1, []
        while seen >= number:
            number, seen = number + 1, 0
            client = consul_lock.Client(os.environ["CONSUL_HTTP_ADDR"])
            sys.settrace(trace)
            try:
                {action}
            except consul_lock.ClosedError:
                pass
            finally:
                sys.settrace(None)
            consul_lock.set_default_client(None)
        print(number > 5)
        """,
        key,
    )
    assert told == "True\n"
