"""The Consul that the package gives to the tests of its users, and its fixture."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import support

import consul_lock
from consul_lock.testing import Consul, StartError

ADDRESS = re.compile(r"127\.0\.0\.1:\d+")


def is_served(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_consul_serves_locks_until_it_is_stopped(key: str) -> None:
    with Consul() as consul:
        assert consul.client is consul.client
        assert consul.url == f"http://{consul.address}"
        with consul.client.hold(key):
            assert is_served(consul.address)
        assert repr(consul) == f"<consul_lock.testing.Consul {consul.address}>"
    assert not is_served(consul.address)
    assert repr(consul) == f"<consul_lock.testing.Consul {consul.address} stopped>"
    consul.stop()


def test_each_consul_is_another(key: str) -> None:
    with Consul() as one, Consul() as other, one.client.hold(key), other.client.hold(key):
        assert one.address != other.address


def test_the_consul_of_locks_without_a_client(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "another")
    mine = os.environ["CONSUL_HTTP_ADDR"]
    with consul_lock.Client() as client:
        consul_lock.defaults.consul_client = client
        with Consul(default=True) as consul, consul_lock.hold(key):
            assert os.environ["CONSUL_HTTP_ADDR"] == consul.address != mine
            assert "CONSUL_HTTP_TOKEN" not in os.environ
            assert "CONSUL_BIN" in os.environ
            assert consul_lock.holder(key, client=client) is None
            assert support.run(f"print(consul_lock.holder({key!r}).session == sys.argv[1])", "x") == "False\n"
        assert consul_lock.defaults.consul_client is client
        consul_lock.defaults.consul_client = None
    assert os.environ["CONSUL_HTTP_ADDR"] == mine
    assert os.environ["CONSUL_HTTP_TOKEN"] == "another"


def test_a_default_client_that_was_closed_is_no_problem() -> None:
    mine = os.environ["CONSUL_HTTP_ADDR"]
    with consul_lock.Client() as client:
        consul_lock.set_default_client(client)
    with Consul(default=True) as consul:
        pass
    assert "stopped" in repr(consul)
    assert os.environ["CONSUL_HTTP_ADDR"] == mine
    assert consul_lock.default_client() is None


def test_a_test_may_remove_the_variable_of_its_consul(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "another")
    mine = os.environ["CONSUL_HTTP_ADDR"]
    with Consul(default=True):
        del os.environ["CONSUL_HTTP_ADDR"]
    assert (os.environ["CONSUL_HTTP_ADDR"], os.environ["CONSUL_HTTP_TOKEN"]) == (mine, "another")


def test_speed_ends_a_lock_soon(key: str) -> None:
    with Consul(speed=100) as consul:
        lock = consul.client.lock(key, lock_timeout=20)
        lock.acquire()
        support.wait_until("the lock ends with its session", lambda: not lock.held)
        lock.close()


@pytest.mark.parametrize("named", [True, False])
def test_a_real_consul(named: bool, key: str) -> None:
    with Consul(real=os.environ["CONSUL_BIN"] if named else True) as consul:
        with consul.client.hold(key):
            assert is_served(consul.address)
        address = consul.address
    support.wait_until("the Consul ends", lambda: not is_served(address))


def test_a_real_consul_where_there_is_no_other(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_LOCK_COMMAND")
    monkeypatch.setattr("consul_lock.testing._BUNDLED", Path("/nowhere"))
    monkeypatch.setenv("PATH", f"{Path(os.environ['CONSUL_BIN']).parent}:/bin:/usr/bin")
    assert shutil.which("consul-lock") is None
    with Consul() as consul, consul.client.hold(key) as lock:
        assert lock.held
        holder = consul.client.holder(key)
        assert holder is not None
        assert holder.node == "node"


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("/nowhere/consul-lock", {"speed": 2}, "could not start /nowhere/consul-lock: No such file or directory"),
        ("/bin/echo", {}, "/bin/echo dev did not serve: dev"),
        ("/bin/false", {}, "/bin/false dev did not serve:"),
        ("/bin/false", {"real": "/nowhere/consul"}, "could not start /nowhere/consul: No such file or directory"),
        ("/bin/false", {"real": "/bin/false"}, "/bin/false agent -dev "),
        ("/bin/false", {"real": True, "speed": 2}, "a real Consul has no other speed"),
    ],
)
def test_what_is_wrong_is_said(
    command: str, options: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_LOCK_COMMAND", command)
    with support.within(support.AT_ONCE), pytest.raises(StartError) as refused:
        Consul(default=True, **options)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert consul_lock.defaults.consul_client is None


@pytest.mark.parametrize("real", [True, False], ids=["real", "model"])
@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["end", "kill"])
def test_a_consul_ends_with_its_process(real: bool, end: str) -> None:
    program = support.Program(
        f"""
        import consul_lock.testing
        consul = consul_lock.testing.Consul(default=True, real={real})
        with consul_lock.hold("a"):
            print(consul.address, flush=True)
        {end}
        """
    )
    address = program.line()
    status, _, said = program.end()
    assert (status, said) == (0 if end == "pass" else -signal.SIGKILL, "")
    support.wait_until("the Consul ends", lambda: not is_served(address))


def test_a_forked_process_leaves_the_consul_alone() -> None:
    with Consul() as consul:
        assert support.Child(consul.stop).told() == "None"
        assert is_served(consul.address)


# ---- pytest


def suite(folder: Path, text: str, *options: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Runs a suite of a user, and gives the addresses that it prints."""
    (folder / "test_report.py").write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--strict-markers", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=support.PATIENCE,
        env={**os.environ, "CONSUL_HTTP_ADDR": os.environ["TEST_CONSUL_DEAD_ADDR"]},
    )
    return ran, sorted(set(ADDRESS.findall(ran.stdout)) - {os.environ["TEST_CONSUL_DEAD_ADDR"]})


def test_pytest_has_a_consul_for_each_test(tmp_path: Path) -> None:
    ran, addresses = suite(
        tmp_path,
        """
import consul_lock, os, pytest, time

def test_one(consul_lock_server):
    with consul_lock.hold("report"):
        print(consul_lock_server.address, os.environ["CONSUL_HTTP_ADDR"])

def test_two(consul_lock_server):
    with consul_lock.hold("report"), consul_lock_server.client.hold("other"):
        print(consul_lock_server.address)

def test_that_fails(consul_lock_server):
    print(consul_lock_server.address)
    consul_lock.Lock("report").acquire()
    consul_lock.Lock("report").acquire()

@pytest.mark.consul_lock_server(speed=100)
def test_the_end_of_a_lock(consul_lock_server):
    lock = consul_lock.Lock("report", lock_timeout=10)
    lock.acquire()
    while lock.held:
        time.sleep(0.01)
    print(consul_lock_server.address)
    lock.abandon()

def test_without():
    assert consul_lock.default_client() is None
""",
    )
    assert "1 failed, 4 passed" in ran.stdout, ran.stdout + ran.stderr
    assert len(addresses) == 4
    assert not any(map(is_served, addresses))


def test_the_plugin_loads_nothing_in_a_run_that_does_not_use_it(tmp_path: Path) -> None:
    ran, _ = suite(
        tmp_path,
        """
import sys

def test_what_is_loaded(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("consul_lock")
    assert "_consul_lock_pytest" in sys.modules
    assert not [name for name in sys.modules if name.startswith("consul_lock")]
""",
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    listed, _ = suite(tmp_path, "", "--fixtures", "--markers")
    assert "@pytest.mark.consul_lock_server(speed=None, real=False)" in listed.stdout
