"""What is taken over of the Consul object of the package that is installed here.

test_py_consul.py runs this file with the other one.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from unittest import mock

import consul
import consul.base
import consul.std
import pytest
import support

import consul_lock
from consul_lock import Client, EphemeralLock

HOST, PORT = os.environ["CONSUL_HTTP_ADDR"].split(":")
ACL_HOST, ACL_PORT = os.environ["TEST_CONSUL_ACL_ADDR"].split(":")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No Consul object gets its address from the environment."""
    monkeypatch.delenv("CONSUL_HTTP_ADDR")
    return monkeypatch


def here(**options: Any) -> consul.Consul:
    return consul.Consul(host=HOST, port=int(PORT), **options)


# ---- One client for the same settings


def test_objects_with_the_same_settings_share_a_client(key: str) -> None:
    one, other = Client.of(here()), Client.of(here())
    with one.hold(key):
        assert other.stats()["held"] == 1
        one.close()
        with EphemeralLock(f"{key}/other", consul_client=here()):
            assert other.stats()["held"] == 2
        assert Client.of(here(dc="dc1")).stats()["held"] == 0
    assert other.stats()["held"] == 0
    with pytest.raises(consul_lock.ClosedError):
        one.hold(key)


def test_an_object_for_each_lock_keeps_the_session(key: str) -> None:
    sessions = set()
    for _ in range(5):
        with EphemeralLock(key, consul_client=here(token="a-token-of-its-own")) as lock:
            sessions.add(lock.session_id)
    assert len(sessions) < 5


def test_more_settings_than_are_kept(key: str) -> None:
    first = here(token="number-0")
    with EphemeralLock(key, consul_client=first) as lock:
        for number in range(1, 40):
            Client.of(here(token=f"number-{number}"))
        assert lock.lock.held
        lock.lock.check()
        assert Client.of(first).stats()["held"] == 0


def test_a_client_of_this_package_stays_itself() -> None:
    client = Client(f"{HOST}:{PORT}", ssl=False)
    assert Client.of(client) is client


def test_a_lock_wants_the_object_taken_over(key: str) -> None:
    with pytest.raises(TypeError, match=r"Client\.of takes over a Consul"):
        consul_lock.Lock(key, client=here())


# ---- What is taken over


def test_the_token(key: str, environment: pytest.MonkeyPatch) -> None:
    client = consul.Consul(host=ACL_HOST, port=int(ACL_PORT), token="root")
    with EphemeralLock(key, consul_client=client):
        pass
    client.token = None
    environment.setenv("CONSUL_HTTP_TOKEN", "root")
    with pytest.raises(consul_lock.DeniedError):
        EphemeralLock(key, consul_client=client).acquire()
    # Both packages read this variable when the object is made.
    with EphemeralLock(key, consul_client=consul.Consul(host=ACL_HOST, port=int(ACL_PORT))):
        pass


def test_the_environment_adds_nothing(key: str, environment: pytest.MonkeyPatch) -> None:
    client = here()
    for name in ("CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY", "HTTP_TOKEN_FILE"):
        environment.setenv(f"CONSUL_{name}", "/nowhere/file")
    for name in ("NAMESPACE", "PARTITION", "TLS_SERVER_NAME", "HTTP_AUTH"):
        environment.setenv(f"CONSUL_{name}", "other")
    environment.setenv("CONSUL_HTTP_ADDR", os.environ["TEST_CONSUL_DEAD_ADDR"])
    environment.setenv("CONSUL_HTTP_SSL", "true")
    environment.setenv("CONSUL_HTTP_TOKEN", "other")
    with EphemeralLock(key, consul_client=client) as lock:
        assert lock.session_id is not None


class Recorder(http.server.BaseHTTPRequestHandler):
    """Refuses all requests, and keeps what they say."""

    server: Recording

    def do_PUT(self) -> None:
        """Refuses."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path + body.decode(), self.headers))
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


class Recording(http.server.ThreadingHTTPServer):
    """A server that refuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Recorder)
        self.seen: list[tuple[str, Message]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def request(self, client: consul.Consul) -> tuple[str, Message]:
        """The path with the body, and the headers, of the request that a lock sends."""
        self.seen.clear()
        with pytest.raises(consul.ConsulException):
            EphemeralLock("key", consul_client=client).acquire()
        return self.seen[0]


@pytest.fixture
def recording() -> Iterator[Recording]:
    server = Recording()
    yield server
    server.shutdown()
    server.server_close()


def test_what_a_request_says(recording: Recording) -> None:
    client = consul.Consul(port=recording.server_port, token="its-token", dc="north")
    said, headers = recording.request(client)
    assert said.startswith("/v1/")
    assert "dc=north" in said
    assert headers["X-Consul-Token"] == "its-token"
    assert "Authorization" not in headers
    client.dc = client.token = None
    client.http.session.headers["X-Consul-Token"] = "of-the-session"
    client.http.session.headers["X-Consul-Namespace"] = "a-team"
    client.http.session.auth = ("user", "pass:word")
    said, headers = recording.request(client)
    assert "dc=" not in said
    assert '"Namespace":"a-team"' in said
    assert headers["X-Consul-Token"] == "of-the-session"
    assert headers["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="


def test_a_path_and_a_user_in_the_address(recording: Recording) -> None:
    client = consul.Consul(host="user:p%40ss@127.0.0.1", port=recording.server_port)
    client.http.base_uri += "/behind/a/proxy"
    said, headers = recording.request(client)
    assert said.startswith("/behind/a/proxy/v1/")
    assert headers["Authorization"] == "Basic dXNlcjpwQHNz"


def test_the_timeout_of_its_connections(key: str, gate: support.Gate) -> None:
    host, port = gate.address.split(":")
    client = consul.Consul(host=host, port=int(port))
    # An option of py-consul, whose default is not taken over.
    client.http.connections_timeout = 0.3
    gate.shut = True
    with support.within(support.AT_ONCE), pytest.raises(consul_lock.UnavailableError):
        EphemeralLock(key, consul_client=client).acquire()


# ---- TLS


class Certificates:
    """A CA, a server's certificate for 127.0.0.1, and a client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._openssl("req", "-x509", *self._new("ca"), "-addext", "keyUsage=keyCertSign", "-out", "ca.pem")
        for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
            (folder / "extensions").write_text(f"basicConstraints=CA:FALSE\n{extension}\n")
            self._openssl("req", *self._new(name), "-out", f"{name}.csr")
            signs = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions", "-days", "2")
            self._openssl("x509", "-req", "-in", f"{name}.csr", *signs, "-out", f"{name}.pem")
        (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def _new(self, name: str) -> tuple[str, ...]:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
        return (*key, "-subj", f"/CN={name}")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


class Terminator(support.Gate):
    """Speaks TLS in front of Consul."""

    def __init__(self, certificates: Certificates, wants_client: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates["server.pem"], certificates["server.key"])
        if wants_client:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(certificates["ca.pem"])
        super().__init__()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._server.accept()[0]
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # One thread carries both directions, as a TLS socket of Python is not for two.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            tls = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            consul = stack.enter_context(socket.create_connection((HOST, int(PORT))))
            tls.settimeout(0.01)
            consul.settimeout(0.01)
            while True:
                for source, target in ((tls, consul), (consul, tls)):
                    with contextlib.suppress(TimeoutError, socket.timeout):
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        target.sendall(data)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[False, True], ids=["anonymous", "client certificate"])
def terminator(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Terminator]:
    with Terminator(certificates, wants_client=request.param) as opened:
        opened.wants_client = request.param
        yield opened


def works(client: consul.Consul, key: str) -> bool:
    """Whether a lock works, which must be as the object itself works."""
    try:
        with warnings.catch_warnings():
            # urllib3 warns of a certificate that it does not verify.
            warnings.simplefilter("ignore")
            client.kv.get("nothing")
        does = True
    except OSError:
        does = False
    try:
        with EphemeralLock(key, consul_client=client):
            assert does, "the lock works, and the object does not"
        return True
    except consul_lock.UnavailableError:
        assert not does, "the object works, and the lock does not"
        return False


def test_tls(terminator: Terminator, certificates: Certificates, key: str, environment: pytest.MonkeyPatch) -> None:
    host, port = terminator.address.split(":")
    ca, pair = certificates["ca.pem"], (certificates["client.pem"], certificates["client.key"])

    def at(**options: Any) -> consul.Consul:
        return consul.Consul(host=host, port=int(port), scheme="https", **options)

    assert works(at(verify=ca, cert=pair), key)
    assert works(at(verify=ca, cert=certificates["both.pem"]), key)
    assert works(at(verify=False, cert=pair), key)
    assert works(at(verify=ca), key) is not terminator.wants_client
    # Python's own list of CAs does not have this one.
    assert not works(at(verify=True, cert=pair), key)
    environment.setenv("REQUESTS_CA_BUNDLE", ca)
    assert works(at(verify=True, cert=pair), key)


def test_a_folder_of_cas(certificates: Certificates, tmp_path: Path, key: str) -> None:
    ca = Path(certificates["ca.pem"])
    told = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", ca], check=True, capture_output=True, text=True)
    (tmp_path / f"{told.stdout.strip()}.0").write_text(ca.read_text())
    with Terminator(certificates, wants_client=False) as terminator:
        host, port = terminator.address.split(":")
        assert works(consul.Consul(host=host, port=int(port), scheme="https", verify=str(tmp_path)), key)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"verify": "/nowhere/ca.pem"}, "cannot be taken over: option ca_file: /nowhere/ca.pem: "),
        ({"cert": "/nowhere/cert.pem"}, "cannot be taken over: option client_cert: /nowhere/cert.pem: "),
        ({"cert": ("/nowhere/cert.pem", 5)}, "a cert that is neither a path nor a pair of paths"),
        ({"verify": 5}, "has int for verify"),
    ],
)
def test_a_wrong_file_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(consul_lock.InvalidOptionError) as refused:
        Client.of(here(scheme="https", **options))
    assert said in str(refused.value)


# ---- What cannot be taken over


def test_what_is_no_consul() -> None:
    for other in (object(), "127.0.0.1:8500", consul, consul.Consul, mock.MagicMock(), mock.MagicMock(spec=here())):
        with pytest.raises(TypeError, match="consul_client must be a Consul of python-consul or py-consul"):
            Client.of(other)


def test_a_proxy_object_is_what_it_stands_for(key: str) -> None:
    class Lazy:
        """An object such as Flask's proxies."""

        __class__ = property(lambda self: consul.Consul)  # type: ignore[assignment]

        def __getattr__(self, name: str) -> Any:
            return getattr(here(), name)

    with EphemeralLock(key, consul_client=Lazy()):
        pass


@pytest.mark.parametrize(("module", "loop"), [("aio", "asyncio"), ("tornado", "Tornado"), ("twisted", "Twisted")])
def test_an_object_of_an_event_loop_is_refused(module: str, loop: str) -> None:
    client = here()
    kind = type("HTTPClient", (consul.std.HTTPClient,), {"__module__": f"consul.{module}"})
    client.http.__class__ = kind
    with pytest.raises(consul_lock.InvalidOptionError) as refused:
        Client.of(client)
    assert f"one of {loop}" in str(refused.value)
    assert f"consul_lock.Client('http://{HOST}:{PORT}') and consul_lock.aio" in str(refused.value)


def test_another_way_of_requests_is_refused() -> None:
    class Elsewhere(consul.std.HTTPClient):
        def uri(self, *arguments: Any) -> str:
            return "http://elsewhere"

    moved, behind, odd, socket_file = here(), here(), here(), here()
    moved.http.__class__ = Elsewhere
    behind.http.session.proxies["http"] = "http://user:hidden@proxy:3128"
    odd.http.session.auth = object()
    socket_file.http.base_uri = "http+unix://%2Frun%2Fconsul.sock"
    for client, said in (
        (moved, "makes its URLs by Elsewhere.uri"),
        (behind, "a session with proxies"),
        (odd, "a session with object for its auth"),
        (socket_file, "the scheme 'http+unix'"),
    ):
        with pytest.raises(consul_lock.InvalidOptionError) as refused:
            Client.of(client)
        assert said in str(refused.value)
        assert "hidden" not in str(refused.value)


def test_an_http_client_of_the_programs_own_is_taken_over_and_the_log_says_so(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    plain = consul.std.HTTPClient
    names = ("get", "put", "post", "delete")
    own = type("Own", (consul.base.HTTPClient,), {"close": print, **{name: getattr(plain, name) for name in names}})
    client = here()
    client.http = own(HOST, int(PORT), "http")
    with caplog.at_level(logging.WARNING, "consul_lock"), EphemeralLock(key, consul_client=client):
        pass
    assert f"the requests of locks do not go through Own, but directly to http://{HOST}:{PORT}" in caplog.text


def test_a_copy_of_the_package_below_another_name(key: str, environment: pytest.MonkeyPatch) -> None:
    copies = {"vendor": types.ModuleType("vendor"), "vendor.consul": types.ModuleType("vendor.consul")}
    for name in [name for name in sys.modules if name.split(".")[0] == "consul"]:
        environment.delitem(sys.modules, name)
    import consul as again
    import consul.base as base

    for kind in (again.Consul, base.Consul, base.HTTPClient, type(again.Consul().http)):
        environment.setattr(kind, "__module__", f"vendor.{kind.__module__}")
    copies["vendor.consul"].__dict__.update(vars(again))
    for name, module in {**copies, "vendor.consul.base": base, "vendor.consul.std": again.std}.items():
        environment.setitem(sys.modules, name, module)
    client = again.Consul(host=HOST, port=int(PORT))
    with EphemeralLock(key, consul_client=client), pytest.raises(again.ConsulException):
        EphemeralLock(key, consul_client=client).acquire()
