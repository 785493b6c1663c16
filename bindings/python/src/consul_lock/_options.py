"""Translates Python's keywords into options of the library, which refuses what is wrong."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Union

from ._native import c, some_bytes
from .errors import InvalidArgumentError, InvalidOptionError, NoResourcesError

if TYPE_CHECKING:
    from ._client import NativeClient

#: A time in seconds.
Seconds = Union[float, timedelta]
#: What `options` takes by the library's own names.
Option = Union[str, bytes, int, bool]


class LockOptions(TypedDict, total=False):
    """The options of a lock. An option that is None, or not given, has its default (but for `timeout`)."""

    timeout: Seconds | None
    """How long an acquire waits for a lock that another session holds, in seconds (0 to 86,400). 0, the default:
    exactly one attempt. None: without an end."""
    lock_timeout: Seconds | None
    """The life of a lock that is never released, in whole seconds (10 to 86,400, by default 180)."""
    share: bool | None
    """Whether the lock shares its key with others that share it, but never with an exclusive one. A limit alone means
    a share."""
    limit: int | None
    """How many may share the key at once (1 to 1,024). All locks that share a key need the same limit."""
    value: str | bytes | None
    """What Consul stores under the key while the lock is held. Other programs can read it: it is no place for a
    secret."""
    auto_renew: bool | None
    """Whether the library renews the lock until it is released or lost, for work of unknown length."""
    max_lifetime: Seconds | None
    """With auto_renew: how long the library renews, in whole seconds. 0, the default: no limit."""
    monitor: bool | None
    """Whether the library watches the key of a lock that is held for longer than a second. True is the default."""
    fair: bool | None
    """Whether a waiting acquire stands in line, first come, first served. True is the default."""
    queue_grace: Seconds | None
    """How long the first waiter in line may leave a free lock, in seconds (0.01 to 60, by default 0.3)."""
    options: Mapping[str, Option] | None
    """Any option by the library's own name and in its own unit, such as {"acquire_timeout_ms": 500}
    (docs/OPTIONS.md)."""


class ClientOptions(TypedDict, total=False):
    """The options of a client. The environment fills in those that are None or not given."""

    token: str | None
    """The ACL token."""
    token_file: str | os.PathLike[str] | None
    """A file with the ACL token."""
    ssl: bool | None
    """Whether the library speaks TLS also to an address without https://."""
    ssl_verify: bool | None
    """Whether Consul's certificate must be of a trusted CA, and for the name that the library connects to."""
    ca_file: str | os.PathLike[str] | None
    """A file with the CAs of Consul's certificate, in PEM."""
    ca_path: str | os.PathLike[str] | None
    """A folder with such files."""
    client_cert: str | os.PathLike[str] | None
    """A file with the client's certificate, in PEM. Needs client_key."""
    client_key: str | os.PathLike[str] | None
    """A file with the private key of client_cert, in PEM."""
    tls_server_name: str | None
    """The name that Consul's certificate must be for."""
    http_auth: str | None
    """User and password, as user:password, for a proxy in front of Consul."""
    proxy: str | None
    """An HTTP proxy, as http://host:port."""
    datacenter: str | None
    """The datacenter in which the locks live."""
    namespace: str | None
    """The namespace in which the locks live (Consul Enterprise)."""
    partition: str | None
    """The admin partition in which the locks live (Consul Enterprise)."""
    session_name: str | None
    """What the names of sessions begin with."""
    session_node: str | None
    """A node that no agent owns, to bind sessions to."""
    session_checks: str | Iterable[str] | None
    """Checks of the agent's node that end the session when they are critical."""
    lock_delay: Seconds | None
    """For how long no session can take a lock that was lost, in seconds (0 to 60, by default 0)."""
    flags: int | None
    """The flags of lock keys."""
    connect_timeout: Seconds | None
    """How long the library tries to connect to an address, in seconds (by default 2)."""
    request_timeout: Seconds | None
    """How long one request may take, in seconds (by default 10)."""
    release_timeout: Seconds | None
    """How long a release waits for Consul's confirmation, in seconds (by default 10)."""
    max_connections: int | None
    """How many connections to Consul the client opens at most (4 to 200, by default 32)."""
    options: Mapping[str, Option] | None
    """Any option by the library's own name and in its own unit, such as {"connect_timeout_ms": 500}
    (docs/OPTIONS.md)."""


#: The names in Python that are times: the library's name, and how many of its unit a second has.
TIMES = {
    "timeout": ("acquire_timeout_ms", 1000),
    "lock_timeout": ("lock_timeout_seconds", 1),
    "max_lifetime": ("max_lifetime_seconds", 1),
    "queue_grace": ("queue_grace_ms", 1000),
    "lock_delay": ("lock_delay_ms", 1000),
    "connect_timeout": ("connect_timeout_ms", 1000),
    "request_timeout": ("request_timeout_ms", 1000),
    "release_timeout": ("release_timeout_ms", 1000),
}
_NO_END = "; None waits without an end"
_FILES = ("token_file", "ca_file", "ca_path", "client_cert", "client_key")
_SEVERAL = ("address", "session_checks")
#: What the options take that do not take each of str, int and bool.
_KINDS = {**dict.fromkeys(_FILES, "a path"), **dict.fromkeys(_SEVERAL, "a str or several")}
_LOCK = frozenset(LockOptions.__annotations__)
_CLIENT = frozenset(ClientOptions.__annotations__) | {"address"}


def of_lock(given: Mapping[str, Any]) -> dict[str, str | bytes]:
    """The options of a lock, by the library's names.

    Raises:
        TypeError: There is no such keyword, or the value of an option has a wrong type.
        InvalidOptionError: A value is wrong.
    """
    return _translate("a lock", given, _LOCK)


def of_client(given: Mapping[str, Any]) -> dict[str, str | bytes]:
    """The options of a client, by the library's names. Raises what `of_lock` raises."""
    return _translate("a client", given, _CLIENT)


def _translate(what: str, given: Mapping[str, Any], known: frozenset[str]) -> dict[str, str | bytes]:
    translated: dict[str, str | bytes] = {}
    for name, value in given.items():
        if name not in known:
            raise TypeError(
                f"{what} has no option {name!r}; there are {', '.join(sorted(known))}, and `options` takes the "
                "library's own names (docs/OPTIONS.md)"
            )
        if name == "options":
            translated.update((own, _word(own, option)) for own, option in _own_names(value))
        elif value is None and name == "timeout":
            translated["acquire_timeout_ms"] = "-1"
        elif value is None:
            continue
        elif name in TIMES:
            own, per_second = TIMES[name]
            translated[own] = str(count(name, value, per_second, _NO_END if name == "timeout" else ""))
        elif name == "share":
            translated["mode"] = _mode(value)
        else:
            translated[name] = _word(name, value)
    return translated


def _own_names(options: Any) -> Iterable[tuple[str, Any]]:
    if options is None:
        return ()
    if not isinstance(options, Mapping) or not all(isinstance(own, str) for own in options):
        raise TypeError('options must be a mapping with the library\'s names, such as {"acquire_timeout_ms": 500}')
    return options.items()


def count(name: str, time: Seconds, per_second: int, remedy: str = "") -> int:
    """A time in a unit of the library, rounded up, as 0 has another meaning.

    A time that the library counts in seconds must be whole, as rounding would change it too much.

    Args:
        name: The name that the caller knows.
        time: The time.
        per_second: How many units a second has.
        remedy: What the caller may write instead of a number that is not a time.

    Raises:
        TypeError: It is no time.
        InvalidOptionError: It is negative, not finite, or not whole.
    """
    if isinstance(time, timedelta):
        # Whole numbers, as a float would make 11 ms of 10.
        units = time // timedelta(microseconds=1) * per_second / 1_000_000
    elif isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {type(time).__name__}")
    elif isinstance(time, int):
        units = time * per_second
    else:
        # 0.57 * 1000 is 570.0000000000001.
        units = round(time * per_second, 6) if math.isfinite(time) else time
    if units < 0 or (isinstance(units, float) and not math.isfinite(units)):
        raise InvalidOptionError(f"{name}: {time} is not a time{remedy}")
    if per_second == 1 and units != math.floor(units):
        raise InvalidOptionError(f"{name}: {time} is not a whole number of seconds")
    # The library refuses what is too large.
    return min(math.ceil(units), 2**63 - 1)


def whole(name: str, number: object) -> int:
    """A number in the library's own unit, rounded up. -1 for one without an end.

    Raises:
        TypeError: It is no number.
        InvalidOptionError: It is none that can be counted.
    """
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(number).__name__}")
    # A comparison, as no function of `math` takes an int that is larger than each float.
    if number != number or number == -math.inf:
        raise InvalidOptionError(f"{name}: {number} is not a time")
    return -1 if number == math.inf else math.ceil(number)


def milliseconds(name: str, time: Seconds | None) -> int:
    """A time that is an argument, in milliseconds; -1 for None, which is without an end.

    Raises:
        TypeError: It is no time.
        InvalidArgumentError: It is negative or not finite.
    """
    return -1 if time is None else finite_milliseconds(name, time, _NO_END)


def finite_milliseconds(name: str, time: Seconds, remedy: str = "") -> int:
    """A time that is an argument and has an end, in milliseconds. Raises what `milliseconds` raises."""
    try:
        return count(name, time, 1000, remedy)
    except InvalidOptionError as problem:
        raise InvalidArgumentError(str(problem)) from None


def _mode(share: object) -> str:
    if not isinstance(share, bool):
        raise TypeError(f"share must be True or False, not {type(share).__name__}")
    return "share" if share else "exclusive"


def _word(name: str, value: object) -> str | bytes:
    if name == "value":
        return some_bytes(name, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    # Not by str(), as a member of an enum that is also a str, or an int, has a name of its own.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if name in _FILES and isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if name in _SEVERAL and isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return ",".join(_one_of(name, one) for one in value)
    raise TypeError(f"{name} must be {_KINDS.get(name, 'str, int or bool')}, not {type(value).__name__}")


def _one_of(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {_KINDS[name]}, and one of them is {type(value).__name__}")
    return str.__str__(value)


@contextmanager
def lend(options: Mapping[str, str | bytes], client: NativeClient | None = None) -> Iterator[int | None]:
    """Lends a set of options for one call, or None where there is none. The call refuses a wrong option."""
    if not options and client is None:
        yield None
        return
    made = c.options_new()
    if made is None:
        raise NoResourcesError("no memory for options")
    try:
        if client is not None:
            c.options_set_client(made, client, None)
        for name, value in options.items():
            _set(made, name, value)
        yield made
    finally:
        c.options_free(made)


def _set(made: int, name: str, value: str | bytes) -> None:
    if isinstance(value, bytes):
        c.options_set_bytes(made, name.encode(), value, len(value), None)
        return
    try:
        told = value.encode()
    except UnicodeEncodeError:
        raise InvalidOptionError(f"{name}: cannot be written in UTF-8") from None
    if "\0" in value or "\0" in name:
        raise InvalidOptionError(f"{name}: contains a NUL")
    c.options_set(made, name.encode("utf-8", "replace"), told, None)


def as_written(refusal: InvalidOptionError, given: Iterable[str]) -> InvalidOptionError:
    """The refusal of an option with the name and the unit that the caller used.

    "option acquire_timeout_ms: must be -1 to 86400000, is 90000000" becomes
    "timeout: must be 0 to 86400, is 90000".
    """
    match = re.fullmatch(r"option (\w+): (must be (-?\d+) to (\d+), is (-?\d+))?(.*)", str(refusal), re.DOTALL)
    for name in given if match else ():
        own, per_second = ("mode", 1) if name in ("share", "limit") else TIMES.get(name, ("", 1))
        if match and match[1] == own:
            if match[2] is None:
                return InvalidOptionError(f"{name}: {match[6]}")
            least, most, is_now = (f"{max(int(match[n]), 0) / per_second:.15g}" for n in (3, 4, 5))
            return InvalidOptionError(f"{name}: must be {least} to {most}, is {is_now}{match[6]}")
    return refusal
