"""Observers of the holder of a key."""

from __future__ import annotations

import copy
import gc
import pickle
import queue
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import support

from consul_lock import (
    Client,
    DeniedError,
    Error,
    Holder,
    InvalidArgumentError,
    Observer,
    UnavailableError,
    _dispatcher,
    hold,
    observe,
)


class Told:
    """What an observer tells."""

    def __init__(self) -> None:
        self.news: queue.Queue[Holder | Error | None] = queue.Queue()

    def __call__(self, news: Holder | Error | None) -> None:
        self.news.put(news)

    def next(self) -> Holder | Error | None:
        return self.news.get(timeout=support.PATIENCE)

    def wait_for(self, session: str | None) -> None:
        """Waits until the observer tells this session. It may skip states in between."""
        while True:
            news = self.next()
            if (news.session if isinstance(news, Holder) else news) == session:
                return

    def is_silent(self) -> bool:
        time.sleep(0.2)
        return self.news.empty()


@pytest.fixture
def told() -> Told:
    """What the observer tells."""
    return Told()


@pytest.fixture(autouse=True)
def no_observer_is_left() -> Iterator[None]:
    """The tests close their observers."""
    yield
    assert not _dispatcher.dispatcher()._listeners


def test_it_tells_each_change(key: str, told: Told) -> None:
    with observe(key, told) as observer:
        assert told.next() is None
        with hold(key, value="mine") as lock:
            news = told.next()
            assert isinstance(news, Holder)
            assert (news.session, news.value, news.fencing_token) == (lock.session_id, b"mine", lock.fencing_token)
            assert (news.name, news.node, news.ttl) == (None, None, None)
        assert told.next() is None
        assert not observer.closed
    assert observer.closed
    assert told.is_silent()


def test_it_tells_the_present_holder(key: str, told: Told) -> None:
    with hold(key) as lock, Client() as client, client.observe(key, told):
        told.wait_for(lock.session_id)


def test_it_is_the_thread_of_the_notices(key: str) -> None:
    threads: queue.Queue[threading.Thread] = queue.Queue()
    with observe(key, lambda holder: threads.put(threading.current_thread())):
        assert threads.get(timeout=support.PATIENCE).name == "consul_lock"


def test_a_closed_observer_tells_nothing(key: str, told: Told) -> None:
    observer = observe(key, told)
    assert told.next() is None
    observer.close()
    observer.close()
    other = Told()
    with observe(key, other), hold(key) as lock:
        other.wait_for(lock.session_id)
    assert told.is_silent()


def test_the_function_may_close_its_observer(key: str, told: Told) -> None:
    ready = threading.Event()

    def close(holder: Holder | None) -> None:
        ready.wait(support.PATIENCE)
        observer.close()
        told(holder)

    observer = observe(key, close)
    ready.set()
    assert told.next() is None
    with hold(key):
        assert told.is_silent()


def test_an_event_behind_the_close(key: str, told: Told) -> None:
    runs, gate = threading.Event(), threading.Event()

    def wait(holder: Holder | None) -> None:
        runs.set()
        gate.wait(support.PATIENCE)

    first, second = observe(key, wait), observe(key, told)
    assert runs.wait(support.PATIENCE)
    with hold(key):
        # Events of both are in the queue.
        time.sleep(0.3)
        second.close()
    first.close()
    gate.set()
    last = Told()
    with observe(f"{key}-last", last):
        assert last.next() is None
    # The first one ran before, or not at all.
    while not told.news.empty():
        assert told.news.get() is None


def test_the_program_need_not_keep_it(key: str, told: Told) -> None:
    observe(key, told)
    assert told.next() is None
    gc.collect()
    with hold(key) as lock:
        told.wait_for(lock.session_id)
    for listener in list(_dispatcher.dispatcher()._listeners.values()):
        assert isinstance(listener, Observer)
        listener.close()


def test_an_error_and_the_holder_again(key: str, told: Told, gate: support.Gate) -> None:
    client = Client(gate.address, request_timeout=0.5)
    gate.shut = True
    with observe(key, told, on_error=told, client=client):
        news = told.next()
        assert isinstance(news, UnavailableError)
        assert news.retryable
        gate.shut = False
        told.wait_for(None)
        with hold(key) as lock:
            told.wait_for(lock.session_id)


def test_without_on_error_the_function_hears_only_of_holders(key: str, told: Told) -> None:
    with observe(key, told, client=Client(support.DEAD_ADDRESS, request_timeout=0.1)):
        time.sleep(1)
        assert told.news.empty()


def test_a_token_without_rights(key: str, told: Told) -> None:
    with observe(key, told, on_error=told, client=Client(support.ACL_ADDRESS)):
        news = told.next()
        assert isinstance(news, DeniedError)
        assert isinstance(news, PermissionError)
        assert news.http_status == 403


def test_what_a_function_raises_goes_to_the_excepthook(key: str, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    problems: queue.Queue[BaseException] = queue.Queue()
    monkeypatch.setattr(sys, "excepthook", lambda kind, problem, traceback: problems.put(problem))

    def fail(holder: Holder | None) -> None:
        told(holder)
        raise NotImplementedError("own")

    with observe(key, fail):
        assert told.next() is None
        with hold(key) as lock:
            told.wait_for(lock.session_id)
            assert isinstance(problems.get(timeout=support.PATIENCE), NotImplementedError)
            assert isinstance(problems.get(timeout=support.PATIENCE), NotImplementedError)


def test_wrong_arguments(key: str, told: Told) -> None:
    with pytest.raises(InvalidArgumentError):
        observe("a//b", told)
    for wrong in (None, 7, [key]):
        with pytest.raises(TypeError):
            observe(wrong, told)  # type: ignore[arg-type]
    for wrong in (None, 7):
        with pytest.raises(TypeError):
            observe(key, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        observe(key, told, on_error=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        observe(key, told, client="x")  # type: ignore[arg-type]
    with observe(key, told) as observer:
        for way in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                way(observer)  # type: ignore[operator]
        assert repr(observer) == f"<consul_lock.Observer {key!r}>"
    assert repr(observer) == f"<consul_lock.Observer {key!r} closed>"


def test_it_keeps_its_client(key: str, told: Told) -> None:
    client = Client()
    with observe(key, told, client=client):
        assert told.next() is None
        client.close()
        del client
        gc.collect()
        with hold(key) as lock:
            told.wait_for(lock.session_id)


def test_a_program_with_an_observer_ends(key: str) -> None:
    assert support.run("consul_lock.observe(sys.argv[1], print)", key) in ("", "None\n")
