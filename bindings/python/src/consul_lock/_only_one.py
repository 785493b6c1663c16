"""The decorator for work that one process at a time may do: cron jobs, task functions, coroutine functions."""

from __future__ import annotations

import contextlib
import functools
import inspect
import string
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union, overload

from ._client import Client, refuse_other_kinds
from ._dispatcher import logger
from ._lock import hold
from ._options import LockOptions, of_lock
from .errors import NotAcquiredError

if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    from typing_extensions import ParamSpec, Unpack

    P = ParamSpec("P")
    R = TypeVar("R")

    class Raising(Protocol):
        """Decorates a function, whose type stays."""

        def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    class Skipping(Protocol):
        """Decorates a function, which then may also return None."""

        @overload
        def __call__(
            self, function: Callable[P, Coroutine[Any, Any, R]], /
        ) -> Callable[P, Coroutine[Any, Any, R | None]]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> Callable[P, R | None]: ...


#: What a lock takes as its key, and a function that makes one of the arguments of a call.
Key = Union[str, Sequence[str], Callable[..., Union[str, Sequence[str]]]]


@overload
def only_one(
    key: Key, *, on_busy: Literal["raise"] = ..., client: Client | None = ..., **options: Unpack[LockOptions]
) -> Raising: ...
@overload
def only_one(
    key: Key, *, on_busy: Literal["skip"], client: Client | None = ..., **options: Unpack[LockOptions]
) -> Skipping: ...
def only_one(
    key: Key,
    *,
    on_busy: Literal["raise", "skip"] = "raise",
    client: Client | None = None,
    **options: Unpack[LockOptions],
) -> Any:
    """Makes a function run in one process at a time: each call acquires a lock, and releases it at the end.

        @consul_lock.only_one("nightly-report", on_busy="skip", lock_timeout=600)
        def make_the_report(): ...

        @consul_lock.only_one("order/{order.id}", timeout=30)
        async def bill(order): ...

    A coroutine function takes its lock by `consul_lock.aio`, and is cancelled when the lock is lost. Where the function
    is to be a task of Celery, this decorator may stand on either side of `@app.task`.

    Args:
        key: The key of the lock, or several. Braces stand for arguments of the call, as in `str.format`: "order/{id}".
            Or a function that gets the arguments of the call and returns a key or several.
        on_busy: What a call does when another session has the lock until the end of `timeout`. "raise": raises
            NotAcquiredError. "skip": returns None, and the log names the holder (INFO).
        client: See Lock.
        options: See LockOptions.

    Raises:
        TypeError: At the decoration: the function is a generator or a class, or has no argument of a name in the key.
            Or an option has a wrong type.
        ValueError: At the decoration: on_busy is neither "raise" nor "skip", or the braces in the key are wrong.
        InvalidOptionError: An option is wrong: at the decoration a time that is none, at a call what is out of range.
        NotAcquiredError: At a call, with on_busy="raise": another session had the lock. See Lock.acquire.
        LostError, UnconfirmedError: At the end of a call. See Lock.__exit__.
    """
    if on_busy not in ("raise", "skip"):
        raise ValueError(f'on_busy must be "raise" or "skip", not {on_busy!r}')
    # A wrong option shall fail the import and not the job of the night.
    of_lock(options)
    refuse_other_kinds(client)

    def decorate(*functions: Any, **keywords: Any) -> Any:
        """Decorates one function."""
        # A call of what was decorated by `@only_one` alone, which took the function for one that makes keys.
        is_a_call = len(functions) != 1 or keywords or not _can_be_decorated(functions[0])
        if callable(key) and is_a_call:
            raise TypeError(f'only_one needs a key: write @only_one("the-key") above {_name(key)}')
        return _decorate(key, on_busy == "skip", {**options, "client": client}, *functions, **keywords)

    return decorate


def _can_be_decorated(given: Any) -> bool:
    return callable(given) or isinstance(given, (staticmethod, classmethod))


def _decorate(key: Key, skips: bool, options: dict[str, Any], function: Any) -> Any:
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(_decorate(key, skips, options, function.__func__))
    _refuse(function)
    if callable(getattr(function, "run", None)) and hasattr(function, "apply_async"):
        # A task of Celery stays a task: its workers call `run`.
        function.run = _decorate(key, skips, options, function.run)
        return function
    make_key = _key_maker(key, function)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return _asynchronous(make_key, skips, options, function)

    @functools.wraps(function)
    def once(*arguments: Any, **keywords: Any) -> Any:
        lock = hold(make_key(*arguments, **keywords), **options)
        result = None
        # No return in this block: PyPy 3.11 (8.0.1) crashes when the exit of the block raises after such a return.
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except NotAcquiredError as busy:
                if not skips:
                    raise
                _skip(function, busy)
            else:
                result = _finished(function, function(*arguments, **keywords))
        return result

    return _with_signature(once, function)


def _finished(function: Any, result: Any) -> Any:
    """Refuses a result whose work has yet to be done, after the release: another decorator has hidden its kind."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(
            f"{_name(function)} returned a {type(result).__name__}, which would run without the lock. Put only_one "
            "next to the function, below other decorators"
        )
    return result


def _asynchronous(make_key: Callable[..., Any], skips: bool, options: dict[str, Any], function: Any) -> Any:
    @functools.wraps(function)
    async def once(*arguments: Any, **keywords: Any) -> Any:
        from . import aio

        lock = aio.hold(make_key(*arguments, **keywords), **options)
        result = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(lock)
            except NotAcquiredError as busy:
                if not skips:
                    raise
                _skip(function, busy)
            else:
                result = await function(*arguments, **keywords)
        return result

    return _with_signature(once, function)


def _skip(function: Any, busy: NotAcquiredError) -> None:
    logger.info("skipped %s: %s", _name(function), busy)


def _with_signature(once: Any, function: Any) -> Any:
    """Celery checks the arguments of a call by the signature, and does not look through a wrapper for it."""
    with contextlib.suppress(TypeError, ValueError):
        once.__signature__ = inspect.signature(function)
    return once


def _refuse(function: Any) -> None:
    said = f"only_one cannot decorate {_name(function)}"
    if inspect.isclass(function):
        raise TypeError(f"{said}: it is a class. Decorate its methods")
    if not callable(function):
        raise TypeError(f"{said}: it is no function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{said}: it is a generator, which runs between the steps of its caller. Let it `hold` a lock itself"
        )


def _key_maker(key: Any, function: Any) -> Callable[..., Any]:
    """A function that makes the key of the arguments of a call."""
    if callable(key):
        made: Callable[..., Any] = key
        return made
    if isinstance(key, str):
        fields = _fields(key)
    else:
        key = tuple(key) if isinstance(key, Sequence) and not isinstance(key, (bytes, bytearray)) else (key,)
        fields = {name for one in key for name in _fields(one)}
    if not fields:
        plain = key.format() if isinstance(key, str) else tuple(one.format() for one in key)
        return lambda *_, **__: plain
    signature = inspect.signature(function)
    unknown = fields - set(signature.parameters)
    if unknown:
        raise TypeError(f"the key {key!r} names {sorted(unknown)}, and {_name(function)} has no such argument")

    def make(*arguments: Any, **keywords: Any) -> Any:
        bound = signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        if isinstance(key, str):
            return key.format(**bound.arguments)
        return tuple(one.format(**bound.arguments) for one in key)

    return make


def _fields(key: Any) -> set[str]:
    """The names of the arguments in the braces of a key."""
    if not isinstance(key, str):
        raise TypeError(
            f"key must be a str, a sequence of them, or a function that makes one, not {type(key).__name__}"
        )
    fields = {name for _, name, _, _ in string.Formatter().parse(key) if name is not None}
    names = {name.partition(".")[0].partition("[")[0] for name in fields}
    if not all(name.isidentifier() for name in names):
        raise ValueError(f"the braces in the key {key!r} must name arguments; a brace itself is written twice")
    return names


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
