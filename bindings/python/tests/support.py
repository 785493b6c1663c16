"""What the tests share: an operator's requests to Consul, programs, children, and waiting with patience."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
import urllib.error
import urllib.request
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import consul_lock

ADDRESS = os.environ["CONSUL_HTTP_ADDR"]
ACL_ADDRESS = os.environ["TEST_CONSUL_ACL_ADDR"]
DEAD_ADDRESS = os.environ["TEST_CONSUL_DEAD_ADDR"]
#: How often a program runs that must never crash.
RUNS = 200 if os.environ.get("NIGHTLY") else 20
#: Longer than anything takes, so that only what hangs comes to it.
PATIENCE = 30.0
#: Seconds: "at once" on a busy machine.
AT_ONCE = 8.0

Found = TypeVar("Found")


# ---- Consul, as an operator asks it without the library


def _ask(method: str, path: str) -> Any:
    request = urllib.request.Request(f"http://{ADDRESS}/v1/{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        with problem:
            if problem.code == 404:
                return None
        raise


def session_on(key: str) -> str | None:
    """The id of the session that holds a full key."""
    found = _ask("GET", f"kv/{quote(key)}?consistent")
    return found[0].get("Session") if found else None


def value(key: str) -> bytes | None:
    """The value under a full key."""
    found = _ask("GET", f"kv/{quote(key)}?consistent")
    return b64decode(found[0]["Value"] or "") if found else None


def keys(key: str) -> list[str]:
    """A full key, and all keys below it."""
    return _ask("GET", f"kv/{quote(key)}?keys&consistent") or []


def delete(key: str) -> None:
    """Deletes a full key."""
    _ask("DELETE", f"kv/{quote(key)}")


def end_session_of(key: str) -> None:
    """Ends the session that holds a full key."""
    _ask("PUT", f"session/destroy/{session_on(key)}")


def sessions_of(*pids: int) -> int:
    """The number of sessions of processes."""
    names = [session["Name"] for session in _ask("GET", "session/list?consistent")]
    return sum(any(f":{pid} " in name for pid in pids) for name in names)


class Gate:
    """A proxy before Consul. A shut gate accepts connections and passes nothing on."""

    def __init__(self) -> None:
        self.shut = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *raised: object) -> None:
        # A socket that another thread waits for ends that wait when it is shut down.
        for one in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        host, port = ADDRESS.rsplit(":", 1)
        with contextlib.suppress(OSError):
            while True:
                client = self._server.accept()[0]
                consul = socket.create_connection((host, int(port)))
                self._sockets += [client, consul]
                for ends in ((client, consul), (consul, client)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(1 << 16)
                while self.shut:
                    time.sleep(0.01)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)


# ---- Waiting


def wait_until(what: str, check: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """Waits until a function gives something true, and gives that."""
    deadline = time.monotonic() + patience
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails when the block takes longer."""
    begun = time.monotonic()
    yield
    taken = time.monotonic() - begun
    assert taken < seconds, f"took {taken:.2f} s"


def nothing_left(full_key: str, *pids: int) -> None:
    """The tests have left no key, no ticket and no session of this process, nor of others."""
    # Destroys the session that the library keeps for reuse. A request without an answer is asked again after 10 s.
    try:
        consul_lock.shutdown(timeout=PATIENCE)
    except consul_lock.UnconfirmedError as problem:
        raise AssertionError(f"{problem}: {consul_lock.stats()}") from problem
    wait_until(f"nothing is left on {full_key}", lambda: not keys(full_key))
    # A program that ended may have left its session to Consul, which needs up to two TTLs: of such locks 20 s.
    wait_until("no session is left", lambda: not sessions_of(os.getpid(), *pids), patience=60)


def waits(full_key: str) -> bool:
    """Whether an acquire waits in the line of a full key."""
    return bool(keys(f"{full_key}/.fifo/"))


class Caller(threading.Thread):
    """A thread that keeps what its function returns or raises."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._outcome: Any = None
        self._problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._function()
        except BaseException as problem:
            self._problem = problem

    def outcome(self, patience: float = PATIENCE) -> Any:
        """Waits for the function's end. Returns what it returned, or raises what it raised."""
        self.join(patience)
        if self.is_alive():
            frame = sys._current_frames().get(self.ident or 0)
            raise AssertionError("the thread goes on:\n" + "".join(traceback.format_stack(frame)))
        if self._problem is not None:
            raise self._problem
        return self._outcome


def waiting(lock: consul_lock.Lock, full_key: str) -> Caller:
    """A thread that waits in the acquire of a lock."""
    caller = Caller(lock.acquire)
    wait_until("it waits", lambda: waits(full_key) or not caller.is_alive())
    return caller


# ---- Programs


class Program:
    """A program of this interpreter, in which consul_lock, os, sys, threading, time and signal are imported."""

    def __init__(self, text: str, *arguments: str, options: tuple[str, ...] = (), **environment: str) -> None:
        head = "import consul_lock, os, signal, sys, threading, time\n"
        path = os.pathsep.join([str(Path(consul_lock.__file__).parents[1]), str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *options, "-c", head + textwrap.dedent(text), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )
        self.pid = self.process.pid

    def line(self) -> str:
        """The next line that the program prints."""
        assert self.process.stdout is not None
        told = b""
        # Byte by byte, as `end` reads the rest from the same descriptor.
        while not told.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            byte = os.read(self.process.stdout.fileno(), 1) if readable else b""
            assert byte, f"the program says no more than {told!r}"
            told += byte
        return told.decode().strip()

    def end(self, patience: float = 60) -> tuple[int, str, str]:
        """Waits for the program's end, and gives its status, its output and its standard error."""
        try:
            out, said = self.process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            # faulthandler shows where each thread is.
            self.process.send_signal(signal.SIGABRT)
            out, said = self.process.communicate()
            raise AssertionError(f"the program hangs: {out}\n{said}") from None
        return self.process.returncode, out, said


def run(text: str, *arguments: str, options: tuple[str, ...] = (), **environment: str) -> str:
    """Runs a program that must end well and say nothing on standard error, and gives its output."""
    status, out, said = Program(text, *arguments, options=options, **environment).end()
    assert (status, said) == (0, ""), f"status {status}: {out}\n{said}"
    return out


# ---- Children


def fork() -> int:
    """Forks. From 3.12 on Python warns of each fork of a process with threads, as those of a lock's dispatcher."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


class Child:
    """A forked child, which tells what a function returns."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._told = tempfile.TemporaryFile("w+")  # noqa: SIM115 (the object closes the file)
        self.pid = fork()
        if self.pid == 0:
            status = 1
            try:
                signal.alarm(int(PATIENCE))
                self._told.write(repr(function()))
                status = 0
            except BaseException:
                self._told.write(traceback.format_exc())
            finally:
                self._told.flush()
                os._exit(status)

    def told(self) -> str:
        """Waits for the child's end, and gives what the function returned, as `repr` writes it."""
        _, status = os.waitpid(self.pid, 0)
        self._told.seek(0)
        with self._told:
            told = self._told.read()
        assert status == 0, f"status {status}: {told}"
        return told
