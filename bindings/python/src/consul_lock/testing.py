"""A Consul for tests: `consul-lock dev`, a model of Consul that is ready in milliseconds. Each test may have one.

With pytest, the fixture `consul_lock_server` is the Consul of one test, and the default client of the package there:

    def test_one_report_at_a_time(consul_lock_server):
        with consul_lock.hold("report"):
            with pytest.raises(consul_lock.NotAcquiredError):
                make_the_report()

Without pytest:

    class ReportTest(unittest.TestCase):
        def setUp(self):
            self.consul = Consul(default=True)
            self.addCleanup(self.consul.stop)
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from . import defaults
from ._client import Client

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Consul", "StartError"]

#: What consul-lock prints before the address, when it serves.
_READY = "CONSUL_HTTP_ADDR="
#: How many seconds a program may take to end, and a real Consul to serve.
_PATIENCE, _START = 5, 30
_BUNDLED = pathlib.Path(__file__).parent / "_native" / "consul-lock"
#: Runs a program until the standard input ends, which it does with the process of the tests, however that ends.
_UNTIL_EOF = (
    'exec 3<&0; "$@" <&- 3<&- & child=$!; { read -r _ <&3; kill -KILL $child; } & wait $child; kill $! 2> /dev/null'
)


class StartError(RuntimeError):
    """No Consul was started. The message says why, and what to install."""


class Consul:
    """A running Consul on a free port of this machine, which ends with this process, however this process ends."""

    def __init__(self, *, default: bool = False, speed: int | None = None, real: bool | str = False) -> None:
        """Starts a Consul, and returns when it serves.

        The program is the one that CONSUL_LOCK_COMMAND names, else the one in this package, else `consul-lock` on the
        PATH. Where there is none, a real Consul starts.

        Args:
            default: Whether this is the Consul of locks without a client, and of child processes, until `stop`. The
                settings of the caller's own Consul are not for the tests: until then the variables that begin with
                CONSUL_ are not set, but for CONSUL_HTTP_ADDR, CONSUL_BIN and CONSUL_LOCK_*.
            speed: Lets the time of Consul pass so many times as fast (1 to 10,000), for tests that wait for the end of
                a TTL. Not for a real Consul.
            real: A real Consul (`consul agent -dev`): True for the program of CONSUL_BIN, else `consul` on the PATH; or
                the name of the program. A real Consul takes some seconds to serve.

        Raises:
            StartError: There is no such program, or it did not serve.
        """
        self._owner = os.getpid()
        self._process: subprocess.Popen[str] | None = None
        self._ending = contextlib.ExitStack()
        self._client: Client | None = None
        consul = real if isinstance(real, str) else os.environ.get("CONSUL_BIN") or shutil.which("consul")
        command = (
            os.environ.get("CONSUL_LOCK_COMMAND")
            or shutil.which(_BUNDLED)
            or shutil.which("consul-lock")
            or "consul-lock"
        )
        try:
            if real or (consul and not speed and not shutil.which(command)):
                self._address = self._start_real(consul or "consul", speed)
            else:
                self._address = self._start_model([command, "dev", *(["--speed", str(speed)] if speed else [])])
            if default:
                self._ending.enter_context(_default(self.client, self.address))
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)

    @property
    def address(self) -> str:
        """The address of the HTTP API, such as "127.0.0.1:34567"."""
        return self._address

    @property
    def url(self) -> str:
        """The address as a URL, such as "http://127.0.0.1:34567"."""
        return f"http://{self._address}"

    @property
    def client(self) -> Client:
        """The client of this Consul, for locks and calls that take one."""
        if self._client is None:
            self._client = Client(self.address, ssl=False)
        return self._client

    def stop(self) -> None:
        """Ends this Consul. A second call does nothing, and neither does a call in a forked process."""
        if self._owner != os.getpid():
            return
        self._ending.close()
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        """Gives the Consul itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends this Consul."""
        self.stop()

    def __repr__(self) -> str:
        """Tells the address."""
        return f"<consul_lock.testing.Consul {self._address}{'' if self._process else ' stopped'}>"

    def _start_model(self, command: list[str]) -> str:
        with tempfile.TemporaryFile("w+") as errors:
            process = self._run(command, errors)
            told = process.stdout.readline() if process.stdout else ""
            if told.startswith(_READY):
                return told[len(_READY) :].strip()
            raise StartError(f"{' '.join(command)} did not serve: {told}{_end_of(errors)}".strip())

    def _start_real(self, consul: str, speed: int | None) -> str:
        if speed:
            raise StartError("a real Consul has no other speed")
        usage = _usage(consul)
        folder = self._ending.enter_context(tempfile.TemporaryDirectory(prefix="consul-of-a-test-"))
        http, server, lan = _free_ports(3)
        command = [
            *(consul, "agent", "-dev", "-node=node", "-bind=127.0.0.1", "-client=127.0.0.1", f"-http-port={http}"),
            *(f"-server-port={server}", f"-serf-lan-port={lan}", "-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1"),
            # Consul has this port from 1.14 on.
            *(["-grpc-tls-port=-1"] if "-grpc-tls-port" in usage else []),
        ]
        with tempfile.TemporaryFile("w+") as log:
            process = self._run(["/bin/sh", "-c", _UNTIL_EOF, "sh", *command], log, folder)
            deadline = time.monotonic() + _START
            while time.monotonic() < deadline and process.poll() is None:
                if _serves(http):
                    return f"127.0.0.1:{http}"
                time.sleep(0.05)
            raise StartError(f"{' '.join(command)} did not serve: {_end_of(log)}".strip())

    def _run(self, command: list[str], errors: IO[str], folder: str | None = None) -> subprocess.Popen[str]:
        """Starts the model, or with a folder a real Consul."""
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE if folder else subprocess.DEVNULL,
                stdout=errors if folder else subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C is for the tests alone.
                start_new_session=True,
            )
        except OSError as problem:
            raise _could_not_start(command[0], problem) from None
        self._ending.callback(self._end_process)
        return self._process

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        else:
            process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _could_not_start(program: str, problem: OSError) -> StartError:
    return StartError(
        f"could not start {program}: {os.strerror(problem.errno or 0)}; install libconsul_lock with its command "
        "(`make`, `make install`), or name the program in CONSUL_LOCK_COMMAND, or a real Consul in CONSUL_BIN"
    )


def _usage(consul: str) -> str:
    try:
        told = subprocess.run([consul, "agent", "-help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as problem:
        raise _could_not_start(consul, problem) from None
    return told.stdout


@contextlib.contextmanager
def _default(client: Client, address: str) -> Iterator[None]:
    """Makes a Consul that of locks without a client, and of child processes."""
    before = defaults.consul_client
    hidden = {name: value for name, value in os.environ.items() if _is_of_another_consul(name)}
    for name in hidden:
        del os.environ[name]
    os.environ["CONSUL_HTTP_ADDR"] = address
    defaults.consul_client = client
    try:
        yield
    finally:
        # The test may have removed the variable itself.
        os.environ.pop("CONSUL_HTTP_ADDR", None)
        os.environ.update(hidden)
        # A client that the caller has closed meanwhile cannot be the default one again.
        defaults.consul_client = None if isinstance(before, Client) and before._native is None else before


def _is_of_another_consul(name: str) -> bool:
    return name.startswith("CONSUL_") and not name.startswith("CONSUL_LOCK_") and name != "CONSUL_BIN"


def _end_of(log: IO[str]) -> str:
    log.seek(0)
    return log.read()[-2000:]


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _serves(port: int) -> bool:
    """Whether a Consul takes sessions, which it does some time after it answers."""

    def put(path: str, body: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/session/{path}", body.encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=5) as answer:
            told: bytes = answer.read()
            return told

    try:
        made = put("create", '{"TTL": "10s", "Behavior": "delete"}')
        put(f"destroy/{json.loads(made)['ID']}", "")
    except (OSError, ValueError, KeyError):
        return False
    return True
