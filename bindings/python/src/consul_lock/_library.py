"""Finds libconsul_lock, and refuses a library with another binary interface."""

from __future__ import annotations

import ctypes
import os
import pathlib
import platform
import sys

from ._abi import ABI_VERSION
from .errors import LibraryError

_BUNDLED = pathlib.Path(__file__).parent / "_native" / "libconsul_lock.so"
_REMEDY = (
    "Install a wheel of libconsul-lock for this platform, or the library of the system (in its sources: make && "
    "sudo make install), or set CONSUL_LOCK_LIBRARY to the path of libconsul_lock.so"
)


def load() -> ctypes.CDLL:
    """Loads the library.

    If CONSUL_LOCK_LIBRARY is set, the package tries nothing else: a program that names a library must not run with
    another one. A wheel with a library is for that library alone, too: where it does not load, the system's library
    would hide that on some machines. Without a library in the wheel the package tries the system's library of this
    version, then the system's library of any version.

    Raises LibraryError, whose message lists each file that was tried, with its problem.
    """
    _refuse_subinterpreter()
    named = os.environ.get("CONSUL_LOCK_LIBRARY")
    tried = []
    for candidate in _candidates(named):
        try:
            return _open(candidate)
        except (OSError, LibraryError) as problem:
            tried.append(f"  {_reason(candidate, problem)}")
    by = " what CONSUL_LOCK_LIBRARY names" if named else ""
    raise LibraryError(f"cannot load libconsul_lock. {_strangeness()}{_REMEDY}. Tried{by}:\n" + "\n".join(tried))


def _candidates(named: str | None) -> list[str]:
    if named:
        return [named]
    if _BUNDLED.exists():
        return [str(_BUNDLED)]
    return [str(_BUNDLED), "libconsul_lock.so.0.1", "libconsul_lock.so"]


def _open(candidate: str) -> ctypes.CDLL:
    path = pathlib.Path(candidate)
    if path.is_absolute() and not path.exists():
        raise LibraryError("no such file")
    library = ctypes.CDLL(candidate)
    try:
        speak = library.consul_lock_abi_version
    except AttributeError:
        raise LibraryError("is not libconsul_lock: the file has no consul_lock_abi_version") from None
    speak.restype = ctypes.c_uint32
    if speak() != ABI_VERSION:
        raise LibraryError(f"has ABI version {speak()}, and this package needs {ABI_VERSION}")
    return library


def _reason(candidate: str, problem: Exception) -> str:
    # The system's linker begins its messages with the file.
    text = str(problem)
    return text if text.startswith(f"{candidate}:") else f"{candidate}: {text}"


def _strangeness() -> str:
    if sys.platform != "linux":
        return f"consul_lock runs on Linux only, and this is {sys.platform}. "
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        return f"consul_lock is tested on x86_64 and aarch64, and this is {machine}. "
    return ""


def _refuse_subinterpreter() -> None:
    """Raises LibraryError in a subinterpreter: signals, forks, the log and the defaults belong to the whole process."""
    if sys.implementation.name != "cpython":
        return
    api = ctypes.pythonapi
    api.PyInterpreterState_Get.restype = ctypes.c_void_p
    identify = api.PyInterpreterState_GetID
    identify.argtypes, identify.restype = [ctypes.c_void_p], ctypes.c_int64
    if identify(api.PyInterpreterState_Get()) != 0:
        raise LibraryError(
            "consul_lock does not run in a subinterpreter, because the log, the defaults and forks belong to the whole "
            "process. Import it in the main interpreter (in mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
        )
