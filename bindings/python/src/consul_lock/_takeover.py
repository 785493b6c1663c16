"""Takes over the Consul object of python-consul or py-consul: its settings, and the base of its exceptions.

The package imports neither of the two, and knows an object of theirs by its classes.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

from ._client import Client, NativeClient
from ._dispatcher import logger
from .errors import DeniedError, Error, InvalidOptionError

#: How many clients are kept for the next object with the same settings: programs make an object for each lock.
_KEPT = 16
#: The modules of both packages whose requests need an event loop.
_LOOPS = {"aio": "asyncio", "tornado": "Tornado", "twisted": "Twisted"}
#: The headers of a requests session that are options of the library.
_HEADERS = {"X-Consul-Token": "token", "X-Consul-Namespace": "namespace", "X-Consul-Partition": "partition"}
#: What an object does not say is empty, so that the environment does not say it either.
_NOTHING = dict.fromkeys(
    (
        *("token", "http_auth", "namespace", "partition", "tls_server_name"),
        *("ca_file", "ca_path", "client_cert", "client_key"),
    ),
    "",
)

_clients: dict[tuple[tuple[str, str], ...], NativeClient] = {}
_made: dict[tuple[type[Error], type[Exception]], type[Error]] = {}


def base_of(given: Any) -> type | None:
    """The class `base.Consul` that an object is of. None: the object is no Consul of these packages."""
    # Not type(): a proxy object, such as Flask's, shows the class of what it stands for.
    for kind in getattr(given.__class__, "__mro__", ()):
        if kind.__name__ == "Consul" and _module(kind) == "base":
            found: type = kind
            return found
    return None


def native_of(consul: Any) -> NativeClient:
    """The client with the settings of a Consul object, the same one for the same settings.

    Raises what `Client.of` raises.
    """
    options = _settings(consul)
    settings = tuple(sorted(options.items()))
    native = _clients.get(settings)
    if native is None:
        made = _make(options)
        # Another thread may have been quicker.
        native = _clients.setdefault(settings, made)
        for oldest in list(_clients)[:-_KEPT]:
            _clients.pop(oldest, None)
    return native


def as_theirs(error: Error, base: type | None) -> Error:
    """Makes an error also one of the package whose class `base.Consul` is given: its ConsulException."""
    if base is None:
        return error
    package = sys.modules[base.__module__.rpartition(".")[0]]
    name = "ACLPermissionDenied" if isinstance(error, DeniedError) else "ConsulException"
    theirs: Any = error
    theirs.__class__ = _both(type(error), getattr(package, name))
    return error


def _make(options: dict[str, str]) -> NativeClient:
    try:
        client = Client(options=options)
    except InvalidOptionError as problem:
        raise InvalidOptionError(f"the Consul object cannot be taken over: {problem}") from None
    native = client._native
    assert native is not None
    return native


def _settings(consul: Any) -> dict[str, str]:
    http = _http_client(consul)
    url = urlsplit(http.base_uri)
    user, _, place = url.netloc.rpartition("@")
    session = getattr(http, "session", None)
    _refuse_other_ways(http, url.scheme, f"{url.scheme}://{place}", session)
    options = {
        **_NOTHING,
        **_of_headers(session),
        "address": f"{url.scheme}://{place}{url.path}",
        "ssl": "true" if url.scheme == "https" else "false",
        "http_auth": _basic(getattr(session, "auth", None)) or unquote(user),
    }
    if consul.token:
        options["token"] = str(consul.token)
    if consul.dc:
        options["datacenter"] = str(consul.dc)
    timeout = getattr(http, "connections_timeout", None)
    if timeout is not None and timeout != getattr(sys.modules[type(http).__module__], "DEFAULT_TIMEOUT", None):
        options["request_timeout_ms"] = str(max(round(timeout * 1000), 1))
    if url.scheme == "https":
        options.update(_trust(http.verify, session))
        options.update(_certificate(http.cert or getattr(session, "cert", None)))
    return options


def _http_client(consul: Any) -> Any:
    wanted = "consul_client must be a Consul of python-consul or py-consul, or a consul_lock.Client"
    if base_of(consul) is None:
        raise TypeError(f"{wanted}, not {type(consul).__name__}")
    http = getattr(consul, "http", None)
    if not isinstance(getattr(http, "base_uri", None), str):
        raise TypeError(f"{wanted}; this {type(consul).__name__} has no HTTP client with an address")
    return http


def _refuse_other_ways(http: Any, scheme: str, address: str, session: Any) -> None:
    """Refuses what would make the requests of the library go another way than those of the object."""
    kinds = type(http).__mro__
    loop = next((_LOOPS[_module(kind)] for kind in kinds if _module(kind) in _LOOPS), None)
    if loop:
        raise InvalidOptionError(
            f"the Consul object is one of {loop}, and cannot be taken over: use consul_lock.Client({address!r}) and "
            "consul_lock.aio"
        )
    if scheme not in ("http", "https"):
        raise InvalidOptionError(
            f"the Consul object has the scheme {scheme!r}, and only http and https can be taken over: use "
            'consul_lock.Client, whose address may be "unix:///path"'
        )
    named = type(http).__name__
    if _module(next(kind for kind in kinds if "uri" in vars(kind))) != "base":
        raise InvalidOptionError(
            f"the Consul object makes its URLs by {named}.uri, which cannot be taken over: use consul_lock.Client"
        )
    if getattr(session, "proxies", None):
        raise InvalidOptionError(
            "the Consul object has a session with proxies, which cannot be taken over: use consul_lock.Client(proxy=…)"
        )
    if not any(_module(kind) == "std" for kind in kinds):
        logger.warning("the requests of locks do not go through %s, but directly to %s", named, address)


def _of_headers(session: Any) -> dict[str, str]:
    headers = getattr(session, "headers", None) or {}
    return {name: str(headers[header]) for header, name in _HEADERS.items() if headers.get(header)}


def _basic(auth: Any) -> str:
    if auth is None:
        return ""
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        return f"{auth[0]}:{auth[1]}"
    raise InvalidOptionError(
        f"the Consul object has a session with {type(auth).__name__} for its auth, and only a pair of user and "
        "password can be taken over"
    )


def _trust(verify: Any, session: Any) -> dict[str, str]:
    """Trusts the CAs that requests trusts."""
    if verify is False:
        return {"ssl_verify": "false"}
    if verify is True or verify is None:
        environment = os.environ if getattr(session, "trust_env", True) else {}
        requests: Any = sys.modules.get("requests")
        verify = environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
        # Without requests the library trusts the system's CAs.
        verify = verify or (requests.certs.where() if requests else "")
    elif not isinstance(verify, (str, os.PathLike)):
        raise InvalidOptionError(f"the Consul object has {type(verify).__name__} for verify: it takes a bool or a path")
    path = os.fsdecode(verify)
    return {"ssl_verify": "true", "ca_path" if os.path.isdir(path) else "ca_file": path}


def _certificate(cert: Any) -> dict[str, str]:
    """A pair of certificate and key, or one file with both."""
    if not cert:
        return {}
    paths = cert if isinstance(cert, (tuple, list)) else (cert, cert)
    if len(paths) != 2 or not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise InvalidOptionError("the Consul object has a cert that is neither a path nor a pair of paths")
    return {"client_cert": os.fsdecode(paths[0]), "client_key": os.fsdecode(paths[1])}


def _module(kind: type) -> str:
    """The last part of the name of a class's module: a program may carry the package below another name."""
    return kind.__module__.rpartition(".")[2]


def _both(ours: type[Error], theirs: type[Exception]) -> type[Error]:
    """The class that is made of both, once."""
    if issubclass(ours, theirs):
        return ours
    made = _made.get((ours, theirs))
    if made is None:
        names = {"__module__": ours.__module__, "__qualname__": ours.__qualname__, "__doc__": ours.__doc__}
        made = type(ours.__name__, (ours, theirs), {**names, "__reduce__": _reduce, "_made_of": (ours, theirs)})
    return _made.setdefault((ours, theirs), made)


def _reduce(error: Any) -> tuple[object, ...]:
    """Pickles the error by its two classes: the class made of both has no name."""
    ours, theirs = error._made_of
    return _restore, (ours, theirs.__module__, theirs.__name__, error.args), dict(error.__dict__)


def _restore(ours: type[Error], module: str, name: str, arguments: tuple[Any, ...]) -> Error:
    try:
        return _both(ours, getattr(importlib.import_module(module), name))(*arguments)
    except (ImportError, AttributeError):
        # The other process has not installed the package.
        return ours(*arguments)
