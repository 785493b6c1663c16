"""The log of the library goes to the logger "consul_lock" of the standard module."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator

import pytest
import support

from consul_lock import Lock, LostError, hold

LOGGER = logging.getLogger("consul_lock")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The logger is as it was before the test."""
    level, disabled, propagates, handlers = LOGGER.level, LOGGER.disabled, LOGGER.propagate, LOGGER.handlers[:]
    yield
    LOGGER.level, LOGGER.disabled, LOGGER.propagate = level, disabled, propagates
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(level)
    Lock("any").close()


class Kept(logging.Handler):
    """A handler that keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: queue.Queue[logging.LogRecord] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def wait_for(self, words: str, level: int) -> list[logging.LogRecord]:
        """Waits for a record, and gives all that came until then."""
        found: list[logging.LogRecord] = []
        while not found or not (words in found[-1].getMessage() and found[-1].levelno == level):
            found.append(self.records.get(timeout=support.PATIENCE))
        return found


@pytest.fixture
def kept() -> Kept:
    """A handler at the logger."""
    handler = Kept()
    LOGGER.addHandler(handler)
    return handler


def lose(key: str) -> None:
    lock = Lock(key, monitor=False, value="s3cret")
    lock.acquire()
    support.delete(lock.key)
    with pytest.raises(LostError):
        lock.check()
    lock.close()


def test_levels(key: str, kept: Kept) -> None:
    LOGGER.setLevel(logging.WARNING)
    lose(key)
    found = kept.wait_for(key, logging.ERROR)
    assert {record.levelno for record in found} <= {logging.WARNING, logging.ERROR}
    assert {record.name for record in found} == {"consul_lock"}

    LOGGER.setLevel(logging.DEBUG)
    lose(f"{key}-debug")
    found = kept.wait_for("flight recorder", logging.INFO)
    assert {logging.ERROR, logging.INFO} <= {record.levelno for record in found}
    assert not any("s3cret" in record.getMessage() for record in found)

    # From here on only what the next lock says can come.
    LOGGER.setLevel(logging.ERROR)
    lose(f"{key}-error")
    found = kept.wait_for(f"{key}-error", logging.ERROR)
    with hold(f"{key}-quiet"):
        pass
    lose(f"{key}-last")
    found = kept.wait_for(f"{key}-last", logging.ERROR)
    assert not any("quiet" in record.getMessage() for record in found)


def test_a_level_of_the_root(key: str, caplog: pytest.LogCaptureFixture) -> None:
    # `caplog` sets the level and puts its handler at the root.
    with caplog.at_level(logging.INFO):
        lose(key)
        support.wait_until("a line comes", lambda: [text for text in caplog.messages if key in text and "lost" in text])
    assert {record.name for record in caplog.records if key in record.getMessage()} == {"consul_lock"}
    assert logging.ERROR in {record.levelno for record in caplog.records}


def test_a_disabled_logger(key: str, kept: Kept) -> None:
    LOGGER.disabled = True
    lose(key)
    LOGGER.disabled = False
    lose(f"{key}-again")
    found = kept.wait_for(f"{key}-again", logging.ERROR)
    assert not any(f'{key}"' in record.getMessage() for record in found)


def test_messages_are_not_formats(kept: Kept, key: str) -> None:
    lose(f"{key}-100%s-%d")
    found = kept.wait_for("100%s-%d", logging.ERROR)
    assert found[-1].args


def test_a_handler_that_raises(key: str, kept: Kept) -> None:
    told = support.Program(
        """
        import logging, support
        class Failing(logging.Handler):
            def emit(self, record):
                raise KeyError("own")
        failing, told = Failing(), []
        class Kept(logging.Handler):
            def emit(self, record):
                told.append(record.getMessage())
        logger = logging.getLogger("consul_lock")
        logger.addHandler(failing)
        def lose(key):
            lock = consul_lock.Lock(key, monitor=False)
            lock.acquire()
            support.delete(lock.key)
            try:
                lock.check()
            except consul_lock.LostError:
                lock.close()
        lose(sys.argv[1])
        time.sleep(0.5)
        logger.removeHandler(failing)
        logger.addHandler(Kept())
        lose(sys.argv[1] + "-again")
        print(support.wait_until("a line", lambda: [line for line in told if "-again" in line]) != [])
        """,
        key,
    ).end()
    assert told[:2] == (0, "True\n"), told[2]
    assert "KeyError: 'own'" in told[2]


def test_a_handler_that_uses_locks_itself(key: str) -> None:
    seen: queue.Queue[bool] = queue.Queue()

    class Locking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Its own lines would make it log for ever.
            if key in record.getMessage() and "inner" not in record.getMessage():
                with hold(f"{key}-inner", timeout=5) as lock:
                    seen.put(lock.held)

    handler = Locking()
    LOGGER.addHandler(handler)
    try:
        lose(key)
        assert seen.get(timeout=support.PATIENCE)
    finally:
        LOGGER.removeHandler(handler)


def test_a_program_without_logging(key: str) -> None:
    # What `logging` does for each library: warnings and errors go to standard error.
    status, out, said = support.Program(
        """
        import support
        lock = consul_lock.Lock(sys.argv[1], monitor=False)
        lock.acquire()
        support.delete(lock.key)
        try:
            lock.check()
        except consul_lock.LostError:
            time.sleep(1)
        """,
        key,
    ).end()
    assert (status, out) == (0, "")
    assert len(said.splitlines()) == 1
    assert said.startswith("lost the lock")
    assert key in said
