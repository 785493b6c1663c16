"""Clients: the ways to reach Consul."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import defaults
from ._native import Slot, byref, c, is_ending, owned, take_error, text
from ._options import ClientOptions, LockOptions, as_written, lend, of_client
from .errors import ClosedError, InvalidOptionError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from ._holders import Holder, Holders
    from ._lock import Lock
    from ._observer import Observer
    from .errors import Error


class NativeClient(ctypes.c_void_p):
    """A native client, which is freed when the last reference to it goes: see `_handle.py`.

    A call of the library gets this object and no bare address. So `Client.close`, in another thread or in the handler
    of a signal, frees no client that a call is about to use.
    """

    def __del__(self, is_ending: Callable[[], bool] = is_ending) -> None:
        if not is_ending():
            pointer, self.value = self.value, None
            c.client_free(pointer)


_new_client = owned(c.client_new, NativeClient)


class Client:
    """The way to reach Consul, and what the client's locks share: connections, sessions, threads.

        consul = consul_lock.Client("10.0.0.7:8500", token_file="/run/secrets/consul")
        with consul.hold("nightly-report"):
            make_the_report()

    A simple program needs no client: its locks use the default client, which the library makes from the environment
    (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and the other variables of docs/OPTIONS.md). Any thread may use a client at any
    time, and so may a child after fork. A lock keeps its client alive.
    """

    _native: NativeClient | None = None

    def __init__(self, address: str | Iterable[str] | None = None, **options: Unpack[ClientOptions]) -> None:
        """Makes a client. Sends nothing: an unreachable Consul fails the first use, not this call.

        Args:
            address: "host:port", "http://host:port", "https://host:port" or "unix:///path". Of several the library
                tries the next one when one cannot serve. None: the environment's, else 127.0.0.1:8500.
            options: See ClientOptions: token, token_file, ssl, ssl_verify, ca_file, ca_path, client_cert, client_key,
                tls_server_name, http_auth, proxy, datacenter, namespace, partition, session_name, session_node,
                session_checks, lock_delay, flags, connect_timeout, request_timeout, release_timeout, max_connections,
                options. Times are in seconds, or a timedelta.

        Raises:
            InvalidOptionError: An option is wrong, or belongs to a lock, or a file that it names cannot be used.
            InvalidEnvironmentError: A variable is wrong.
            UnavailableError: The system's CAs were not read within 5 seconds.
            TypeError: There is no such option, or its value has a wrong type.
        """
        given: dict[str, Any] = {**options} if address is None else {"address": address, **options}
        slot = Slot()
        with lend(of_client(given)) as native:
            made: NativeClient = _new_client(native, byref(slot))
        if not made:
            error = take_error(slot.value)
            raise as_written(error, given) if isinstance(error, InvalidOptionError) else error
        self._native = made

    @classmethod
    def of(cls, consul: Any) -> Client:
        """Takes over the Consul object of a program that uses python-consul or py-consul.

            lock = consul_lock.Lock("nightly-report", client=consul_lock.Client.of(consul.Consul(host="10.0.0.7")))

        The client has the object's scheme, host, port, token, dc, verify, cert, a path and a user in the address, and
        of the object's requests session the headers X-Consul-Token, X-Consul-Namespace and X-Consul-Partition, auth and
        cert. The library trusts the CAs that requests trusts. The environment adds nothing to that. `consistency` has
        no effect: the library never reads stale data. Objects with the same settings share connections and sessions.

        Args:
            consul: A `consul.Consul`. A Client of this package is returned as it is.

        Raises:
            TypeError: The object is no Consul of these packages.
            InvalidOptionError: The object cannot be taken over: it belongs to asyncio, Tornado or Twisted, has another
                scheme than http and https, makes its URLs itself, or has proxies. Or a file that it names is wrong.
        """
        if isinstance(consul, Client):
            return consul
        from ._takeover import native_of

        client = cls.__new__(cls)
        client._native = native_of(consul)
        return client

    def lock(self, key: str | Sequence[str], **options: Unpack[LockOptions]) -> Lock:
        """Makes a lock that uses this client. See Lock."""
        from ._lock import Lock

        return Lock(key, client=self, **options)

    def hold(self, key: str | Sequence[str], **options: Unpack[LockOptions]) -> Lock:
        """Makes a lock that uses this client, for a `with`. See hold."""
        return self.lock(key, **options)

    def holder(self, key: str) -> Holder | None:
        """Asks Consul, with this client, which session holds a lock. See holder."""
        from ._holders import holder

        return holder(key, client=self)

    def holders(self, key: str) -> Holders:
        """Asks Consul, with this client, for all that hold a key or wait for it. See holders."""
        from ._holders import holders

        return holders(key, client=self)

    def observe(
        self,
        key: str,
        callback: Callable[[Holder | None], object],
        *,
        on_error: Callable[[Error], object] | None = None,
    ) -> Observer:
        """Observes the holder of a key with this client. See observe."""
        from ._observer import observe

        return observe(key, callback, on_error=on_error, client=self)

    def stats(self) -> dict[str, Any]:
        """The statistics of this client in this process. See stats."""
        return stats(self)

    def close(self) -> None:
        """Gives up this reference to the client. The client ends with the last lock that uses it. Closes no lock."""
        self._native = None

    def __enter__(self) -> Self:
        """Gives the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes the client."""
        self.close()

    def __repr__(self) -> str:
        """Tells how many locks of the client are held, and nothing secret."""
        if self._native is None:
            return "<consul_lock.Client closed>"
        return f"<consul_lock.Client {stats(self).get('held', 0)} locks held>"

    def __copy__(self) -> NoReturn:
        """Refuses a copy."""
        raise TypeError("a client cannot be copied. Share the object instead")

    def __deepcopy__(self, memo: object) -> NoReturn:
        """Refuses a copy."""
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        """Refuses a pickle, which would show the token."""
        raise TypeError("a client cannot be pickled. Let the other process make its own")


_default: Client | None = None


def pointer_of(client: Client | None) -> NativeClient | None:
    """The native client, or None for the default client.

    Raises:
        TypeError: It is no client.
        ClosedError: It was closed.
    """
    refuse_other_kinds(client)
    if client is None:
        return None
    native = client._native
    # The collector may have finalized the native client before an object that still uses the client: see Handle.
    if not native:
        raise ClosedError("the client is closed")
    return native


def refuse_other_kinds(client: object) -> None:
    """Raises TypeError if an object is neither a client nor None."""
    if client is not None and not isinstance(client, Client):
        raise TypeError(
            f"client must be a consul_lock.Client, not {type(client).__name__} (Client.of takes over a Consul of "
            "python-consul)"
        )


def set_default_client(client: Client | None) -> None:
    """Sets the client of later locks that are made without one. Locks that exist keep theirs.

    Args:
        client: None: back to the client that the library makes from the environment, once, on first use.
    """
    global _default
    c.set_default_client(pointer_of(client))
    _default = client
    defaults.follow(client)


def default_client() -> Client | None:
    """The client that `set_default_client` has set. None: the one from the environment."""
    return _default


def stats(client: Client | None = None) -> dict[str, Any]:
    """The statistics of a client in this process: requests by kind, Raft writes, waiting and held locks, connections.

    docs/guide.md describes the fields. Later versions of the library may add fields. Sends nothing.

    Args:
        client: None: the default client. If it cannot be made, the statistics are empty.
    """
    told = text(c.client_stats, pointer_of(client))
    found: dict[str, Any] = json.loads(told) if told else {}
    return found
