"""The functions of the C interface: `c.acquire_start` is consul_lock_acquire_start() of include/consul_lock_async.h.

No function here calls back into Python, because a thread of the library that entered Python while the interpreter ends
would crash it. Outcomes and notices come through the queues of `_events.py`.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable
from typing import Any

from ._abi import FUNCTIONS, LOST_REASONS
from ._library import load
from .errors import BY_CODE, Error, InvalidArgumentError, LibraryError, LostError

#: The functions that may wait: for files, for another thread. They let other Python threads run meanwhile. All others
#: return at once, and keep the GIL, which costs less than to give it up and take it again.
_MAY_WAIT = {
    "client_free",
    "client_new",
    "client_stats",
    "defaults_set",
    "holder_start",
    "holders_start",
    "new",
    "new_all",
    "observe",
    "observer_free",
    "set_default_client",
}
#: The functions that the library calls itself: the package passes their addresses.
_CALLBACKS = (
    "queue_done",
    "queue_holder_done",
    "queue_holders_done",
    "queue_log",
    "queue_lost",
    "queue_observed",
    "sender_free",
)
_NUMBERS: dict[str, Any] = {
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "size_t": ctypes.c_size_t,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "void": None,
    "const char *": ctypes.c_char_p,
    "consul_lock_event_kind_t": ctypes.c_int,
    "consul_lock_log_level": ctypes.c_int,
    "consul_lock_lost_reason": ctypes.c_int,
    "consul_lock_role": ctypes.c_int,
    "consul_lock_status": ctypes.c_int,
}


def _bind(library: ctypes.CDLL) -> Any:
    # PyPy has no GIL to keep in this way.
    keeps = ctypes.PyDLL(library._name, handle=library._handle) if sys.implementation.name == "cpython" else library
    functions = types.SimpleNamespace()
    for name, (returns, *parameters) in FUNCTIONS.items():
        try:
            function = getattr(library if name in _MAY_WAIT else keeps, f"consul_lock_{name}")
        except AttributeError as problem:
            raise LibraryError(f"{library._name} is older than this package: {problem}") from None
        # What is no number and no text is a pointer.
        function.restype = _NUMBERS.get(returns, ctypes.c_void_p)
        function.argtypes = [_NUMBERS.get(parameter, ctypes.c_void_p) for parameter in parameters]
        setattr(functions, name, function)
    return functions


def _addresses(library: ctypes.CDLL) -> Any:
    return types.SimpleNamespace(
        **{
            name: ctypes.cast(getattr(library, f"consul_lock_{name}"), ctypes.c_void_p).value or 0
            for name in _CALLBACKS
        }
    )


_library = load()
#: The functions, by their names without the prefix `consul_lock_`.
c: Any = _bind(_library)
#: The addresses of the functions that the library calls.
address: Any = _addresses(_library)


def owned(function: Any, kind: type[ctypes.c_void_p]) -> Any:
    """The same function with another type of result, which is made inside of the call.

    So the handler of a signal, which may run as soon as the call returns, cannot make the program lose the result.
    """
    same = _library[function.__name__]
    same.restype, same.argtypes = kind, function.argtypes
    return same


#: Whether the interpreter ends: then the globals of a module may be gone, and the end of the process frees all. A
#: function that still runs then has this one as a default argument.
is_ending: Callable[[], bool] = getattr(sys, "is_finalizing", lambda: False)
Slot = ctypes.c_void_p
byref = ctypes.byref


def take_error(pointer: int | None) -> Error:
    """Makes an exception of an error of the library, and frees that error."""
    try:
        code = c.error_code(pointer)
        message = c.error_message(pointer).decode()
        details = {
            "code": code,
            "http_status": c.error_http_status(pointer) or None,
            "retryable": c.error_is_retryable(pointer),
        }
        kind = BY_CODE.get(code, Error)
        if kind is LostError:
            return LostError(message, reason=LOST_REASONS.get(c.error_why_lost(pointer)), **details)
        return kind(message, **details)
    finally:
        c.error_free(pointer)


def text(function: Any, *arguments: object) -> str:
    """Copies a text out of the library."""
    return copy(function, *arguments).decode()


def copy(function: Any, *arguments: object) -> bytes:
    """Copies a text or bytes out of the library, by a function that takes a buffer and returns the whole length."""
    room = 256
    while True:
        # One byte more, as a NUL follows a text.
        buffer = ctypes.create_string_buffer(room + 1)
        length: int = function(*arguments, buffer, room + 1)
        if length <= room:
            return buffer.raw[:length]
        room = length


def utf8(name: str, given: object) -> bytes:
    """A text for the library.

    Raises:
        TypeError: It is no str.
        InvalidArgumentError: It has a NUL, or cannot be written in UTF-8.
    """
    if not isinstance(given, str):
        raise TypeError(f"{name} must be a str, not {type(given).__name__}")
    if "\0" in given:
        raise InvalidArgumentError(f"{name}: contains a NUL")
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name}: cannot be written in UTF-8") from None


def some_bytes(name: str, given: object) -> bytes:
    """Bytes for the library, of bytes or of a text.

    Raises:
        TypeError: It is neither.
        InvalidArgumentError: The text cannot be written in UTF-8.
    """
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if not isinstance(given, str):
        raise TypeError(f"{name} must be str or bytes, not {type(given).__name__}")
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name}: cannot be written in UTF-8") from None
