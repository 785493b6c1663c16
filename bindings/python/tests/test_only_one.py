"""The decorator `only_one`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import support

import consul_lock
from consul_lock import only_one


def is_held(key: str) -> bool:
    return consul_lock.holder(key) is not None


# ---- Functions


def test_a_function_runs_under_the_lock(key: str) -> None:
    @only_one(key, lock_timeout=60)
    def work(number: int, *, factor: int = 2) -> int:
        """Works."""
        assert is_held(key)
        return number * factor

    assert work(4) == 8
    assert work(4, factor=3) == 12
    assert not is_held(key)
    assert (work.__name__, work.__doc__) == ("work", "Works.")
    assert str(inspect.signature(work)) == "(number: 'int', *, factor: 'int' = 2) -> 'int'"
    assert inspect.getfullargspec(work).args == ["number"]


def test_the_lock_is_released_when_the_function_raises(key: str) -> None:
    @only_one(key)
    def work() -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            work()
        assert not is_held(key)


def test_a_busy_lock_raises(key: str, holding: consul_lock.Lock) -> None:
    @only_one(key)
    def work() -> None:
        pytest.fail("it ran")

    with pytest.raises(consul_lock.NotAcquiredError, match="this very process holds it"):
        work()


def test_a_busy_lock_skips_and_the_log_names_the_holder(
    key: str, holding: consul_lock.Lock, caplog: pytest.LogCaptureFixture
) -> None:
    @only_one(key, on_busy="skip")
    def work() -> int:
        return 1

    with caplog.at_level(logging.INFO, "consul_lock"):
        assert work() is None
    [line] = [record for record in caplog.records if "skipped" in record.message]
    assert line.levelno == logging.INFO
    assert f'work: could not acquire the lock "locks/ephemeral/{key}"' in line.message
    assert holding.session_id in line.message
    holding.release()
    assert work() == 1


def test_a_busy_lock_within_the_function_is_no_reason_to_skip(key: str) -> None:
    @only_one(key, on_busy="skip")
    def work() -> None:
        consul_lock.Lock(key).acquire()

    with pytest.raises(consul_lock.NotAcquiredError):
        work()


def test_a_call_waits_as_long_as_its_timeout(key: str, holding: consul_lock.Lock) -> None:
    @only_one(key, timeout=support.PATIENCE)
    def work() -> bool:
        return True

    caller = support.Caller(work)
    support.wait_until("it waits", lambda: support.waits(f"locks/ephemeral/{key}"))
    holding.release()
    assert caller.outcome() is True


def test_a_lost_lock_is_reported_and_the_result_is_not(key: str) -> None:
    @only_one(key)
    def work() -> int:
        support.end_session_of(f"locks/ephemeral/{key}")
        return 1

    with pytest.raises(consul_lock.LostError):
        work()


def test_calls_of_many_threads(key: str) -> None:
    inside: list[int] = []
    most = []

    @only_one(key, timeout=support.PATIENCE)
    def work() -> None:
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()

    callers = [support.Caller(work) for _ in range(8)]
    for caller in callers:
        caller.outcome()
    assert most == [1] * 8


# ---- Keys


def test_a_key_of_the_arguments(key: str) -> None:
    class Order:
        id = 7

    @only_one(key + "/{order.id}/{lines[0]}/{kind}")
    def bill(order: Order, lines: list[str], kind: str = "a") -> bool:
        return is_held(f"{key}/7/x/{kind}")

    assert bill(Order(), ["x"])
    assert bill(lines=["x"], order=Order(), kind="b")
    with pytest.raises(TypeError, match="missing a required argument: 'lines'"):
        bill(Order())  # type: ignore[call-arg]


def test_a_key_that_a_function_makes(key: str) -> None:
    @only_one(lambda first, second=2: f"{key}/{first + second}")
    def work(first: int, second: int = 2) -> bool:
        return is_held(f"{key}/{first + second}")

    assert work(1)
    assert work(1, second=5)


def test_several_keys(key: str) -> None:
    @only_one([key + "/from/{source}", key + "/to/{target}"])
    def move(source: int, target: int) -> bool:
        return is_held(f"{key}/from/{source}") and is_held(f"{key}/to/{target}")

    assert move(3, 7)


def test_a_brace_in_a_key_is_written_twice(key: str) -> None:
    @only_one(key + "/{{}}")
    def work() -> bool:
        return is_held(key + "/{}")

    assert work()


def test_methods(key: str) -> None:
    class Shop:
        name = "north"

        @only_one(key + "/{self.name}/{number}")
        def method(self, number: int) -> bool:
            return is_held(f"{key}/north/{number}")

        @only_one(key)
        @staticmethod
        def below(number: int) -> bool:
            return number == 1 and is_held(key)

        @staticmethod
        @only_one(key)
        def above(number: int) -> bool:
            return number == 1 and is_held(key)

        @only_one(key + "/{cls.name}")
        @classmethod
        def of_the_class(cls) -> bool:
            return is_held(f"{key}/north")

    shop = Shop()
    assert shop.method(1)
    assert shop.below(1)
    assert shop.above(1)
    assert Shop.of_the_class()


def test_a_client(key: str) -> None:
    with consul_lock.Client() as client:

        @only_one(key, client=client)
        def work() -> int:
            held: int = client.stats()["held"]
            return held

        assert work() == 1


# ---- Coroutine functions


def test_a_coroutine_function_runs_under_the_lock(key: str) -> None:
    @only_one(key + "/{number}")
    async def work(number: int) -> bool:
        await asyncio.sleep(0)
        return is_held(f"{key}/{number}")

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(work(3))
    assert not is_held(f"{key}/3")


def test_a_busy_lock_of_a_coroutine_function(key: str, holding: consul_lock.Lock) -> None:
    async def work() -> int:
        return 1

    assert asyncio.run(only_one(key, on_busy="skip")(work)()) is None
    with pytest.raises(consul_lock.NotAcquiredError):
        asyncio.run(only_one(key)(work)())
    holding.release()
    assert asyncio.run(only_one(key, on_busy="skip")(work)()) == 1


def test_a_lost_lock_cancels_a_coroutine_function(key: str) -> None:
    @only_one(key)
    async def work() -> None:
        await asyncio.to_thread(support.end_session_of, f"locks/ephemeral/{key}")
        await asyncio.sleep(10 * support.PATIENCE)

    with pytest.raises(consul_lock.LostError), support.within(support.PATIENCE):
        asyncio.run(work())


def test_an_object_whose_call_is_a_coroutine_function(key: str) -> None:
    class Work:
        async def __call__(self) -> bool:
            return is_held(key)

    assert asyncio.run(only_one(key)(Work())())


# ---- What is refused


def generator() -> Iterator[int]:
    yield 1


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


class Something:
    """A class."""


@pytest.mark.parametrize(
    ("key", "function", "error", "said"),
    [
        ("key", generator, TypeError, "cannot decorate generator: it is a generator"),
        ("key", asynchronous_generator, TypeError, "cannot decorate asynchronous_generator: it is a generator"),
        ("key", Something, TypeError, "cannot decorate Something: it is a class"),
        ("key", "text", TypeError, "cannot decorate 'text': it is no function"),
        ("{other}", is_held, TypeError, r"names \['other'\], and is_held has no such argument"),
        ("{}", is_held, ValueError, "must name arguments"),
        ("{0}", is_held, ValueError, "must name arguments"),
        ("{key", is_held, ValueError, "expected '}'"),
        (5, is_held, TypeError, "key must be a str, a sequence of them, or a function that makes one, not int"),
        (b"key", is_held, TypeError, "or a function that makes one, not bytes"),
        (["a", b"b"], is_held, TypeError, "or a function that makes one, not bytes"),
    ],
)
def test_a_wrong_decoration_is_refused(key: Any, function: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        only_one(key)(function)


@pytest.mark.parametrize(("arguments", "keywords"), [((), {}), ((5,), {}), ((1, 2), {}), ((), {"number": 1})])
def test_a_call_says_that_the_decorator_has_no_key(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    # Without its braces the decorator takes the function for one that makes keys.
    decorated: Any = only_one(is_held)
    with pytest.raises(TypeError) as refused:
        decorated(*arguments, **keywords)
    assert str(refused.value) == 'only_one needs a key: write @only_one("the-key") above is_held'


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"on_busy": "wait"}, ValueError, 'on_busy must be "raise" or "skip", not \'wait\''),
        ({"timeuot": 5}, TypeError, "a lock has no option 'timeuot'"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds or a timedelta"),
        ({"client": "127.0.0.1:8500"}, TypeError, "client must be a consul_lock.Client, not str"),
        ({"timeout": -5}, consul_lock.InvalidOptionError, "timeout: -5 is not a time"),
    ],
)
def test_a_wrong_option_is_refused_before_a_call(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as refused:
        only_one("key", **options)
    assert said in str(refused.value)


def test_work_that_is_yet_to_be_done_is_refused(key: str) -> None:
    def hides(function: Any) -> Any:
        @functools.wraps(function)
        def hidden() -> Any:
            return function()

        return hidden

    async def coroutine() -> None:
        pytest.fail("it ran")

    for function, kind in ((coroutine, "coroutine"), (generator, "generator"), (asynchronous_generator, "async_gen")):
        with pytest.raises(TypeError, match=f"returned a {kind}.*, which would run without the lock"):
            only_one(key)(hides(function))()
    assert not is_held(key)


# ---- Celery


def test_tasks_of_celery(key: str) -> None:
    import celery

    app = celery.Celery("tests", broker="memory://")
    app.conf.update(task_always_eager=True, task_eager_propagates=True)

    @app.task
    @only_one(key + "/{number}", on_busy="skip")
    def below(number: int, factor: int = 1) -> Any:
        return is_held(f"{key}/{number}")

    @only_one(key + "/{number}", on_busy="skip")
    @app.task
    def above(number: int, factor: int = 1) -> Any:
        return is_held(f"{key}/{number}")

    @app.task(bind=True)
    @only_one(key + "/{number}", on_busy="skip")
    def bound(self: Any, number: int, factor: int = 1) -> Any:
        return self.request.id is not None and is_held(f"{key}/{number}")

    for task in (below, above, bound):
        assert task.name.startswith("test_only_one.")
        assert task.delay(1).get() is True
        assert task.apply_async((1,), {"factor": 2}).get() is True
        # Celery refuses wrong arguments when the task is sent.
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            task.delay()
        with consul_lock.hold(f"{key}/1"):
            assert task.delay(1).get() is None
