"""The end of the interpreter: no crash, no hang, and the right status, while waits are pending."""

from __future__ import annotations

import sys

import pytest
import support

from consul_lock import Lock

#: Three threads that wait for the lock.
WAITING = """
    for _ in range(3):
        waiting = consul_lock.Lock(sys.argv[1], timeout=None, lock_timeout=10)
        threading.Thread(target=waiting.acquire, daemon=True).start()
    while consul_lock.stats().get("waiting", 0) < 3:
        time.sleep(0.01)
"""
PROGRAMS = {
    "sys.exit": (WAITING + "    sys.exit(3)", 3, ""),
    "os._exit": (WAITING + "    os._exit(3)", 3, ""),
    "an exception": (WAITING + "    raise KeyError('own')", 1, "KeyError: 'own'"),
    "the end of the text": (WAITING, 0, ""),
    "observers": (
        """
    kept = [consul_lock.observe(f"{sys.argv[1]}-{number}", lambda holder: time.sleep(0.001)) for number in range(3)]
    consul_lock.observe(sys.argv[1], lambda holder: consul_lock.holders(sys.argv[1]))
    sys.exit(3)
    """,
        3,
        "",
    ),
    "callbacks": (
        """
    lock = consul_lock.Lock(f"{sys.argv[1]}-{os.getpid()}", monitor=False)
    lock.on_lost(lambda reason: time.sleep(60))
    # Else `logging` may print the loss, before the callback or never.
    import logging
    logging.getLogger("consul_lock").disabled = True
    lock.acquire()
    import support
    support.delete(lock.key)
    try:
        lock.check()
    except consul_lock.LostError:
        sys.exit(3)
    """,
        3,
        "",
    ),
    "a held lock": (
        """
    lock = consul_lock.Lock(f"{sys.argv[1]}-{os.getpid()}", lock_timeout=10)
    lock.on_lost(print)
    lock.acquire()
    sys.exit(3)
    """,
        3,
        "",
    ),
    "a held lock in a cycle": (
        """
    class Cycle:
        pass
    cycle = Cycle()
    cycle.lock = consul_lock.Lock(f"{sys.argv[1]}-{os.getpid()}", lock_timeout=10)
    cycle.lock.on_lost(lambda reason: cycle)
    cycle.cycle = cycle
    cycle.lock.acquire()
    del cycle
    sys.exit(3)
    """,
        3,
        "",
    ),
    "a held lock in the module": (
        """
    lock = consul_lock.Lock(f"{sys.argv[1]}-{os.getpid()}", lock_timeout=10)
    lock.acquire()
    consul_lock.kept = lock
    sys.kept = lock
    import builtins
    builtins.kept = consul_lock.hold(sys.argv[1])
    sys.exit(3)
    """,
        3,
        "",
    ),
    "the log": (
        """
    import logging
    logging.basicConfig(level=logging.DEBUG, stream=open(os.devnull, "w"))
    threading.Thread(target=consul_lock.Lock(sys.argv[1], timeout=None).acquire, daemon=True).start()
    while consul_lock.stats().get("waiting", 0) < 1:
        time.sleep(0.01)
    sys.exit(3)
    """,
        3,
        "",
    ),
    "a lock in atexit": (
        """
    import atexit
    @atexit.register
    def last():
        with consul_lock.hold(f"{sys.argv[1]}-{os.getpid()}") as lock:
            os.write(1, b"held" if lock.held else b"not")
        consul_lock.shutdown(5)
    consul_lock.observe(sys.argv[1], print)
    sys.exit(3)
    """,
        3,
        "",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_end(key: str, full_key: str, name: str) -> None:
    text, status, words = PROGRAMS[name]
    pids = []
    for _ in range(support.RUNS // 2):
        # Each two get a new holder: Consul keeps the connection of a dead watcher until the key changes.
        holder = Lock(key, timeout=30)
        holder.acquire()
        programs = [support.Program(text, key) for _ in range(2)]
        for program in programs:
            ended, out, said = program.end()
            assert ended == status, f"{sys.version}: {out}\n{said}"
            assert (words in said) if words else (said == ""), said
            pids.append(program.pid)
            holds = f"{full_key}-{program.pid}"
            if support.session_on(holds):
                support.end_session_of(holds)
        holder.close()
    if name == "sys.exit":
        support.nothing_left(full_key, *pids)


def test_the_end_under_development_mode(key: str) -> None:
    # A held lock at the end is dropped without a release, and the development mode shows that.
    status, out, said = support.Program(
        "lock = consul_lock.Lock(sys.argv[1]); lock.acquire(); lock.on_lost(print); sys.exit(3)",
        key,
        options=("-X", "dev"),
    ).end()
    assert (status, out) == (3, "")
    assert "Traceback" not in said
    assert said == "" or "was dropped without a release" in said
    support.end_session_of(f"locks/ephemeral/{key}")


def test_a_thread_that_holds_at_the_end(key: str, full_key: str) -> None:
    # A thread that is no daemon goes on until its end, and its lock is released.
    told = support.run(
        """
        def work():
            with consul_lock.hold(sys.argv[1]) as lock:
                started.set()
                time.sleep(0.5)
                print(lock.held)
        started = threading.Event()
        threading.Thread(target=work).start()
        started.wait()
        """,
        key,
    )
    assert told == "True\n"
    assert support.session_on(full_key) is None


def test_a_thread_that_takes_the_first_lock_after_the_end_of_the_main_thread(key: str) -> None:
    # Python 3.12.0 and 3.12.1 start no thread then.
    told = support.run(
        """
        def work():
            threading.main_thread().join()
            with consul_lock.hold(sys.argv[1]) as lock:
                print(lock.held)

        threading.Thread(target=work).start()
        """,
        key,
    )
    assert told == "True\n"


def test_a_process_without_a_thread_for_callbacks(key: str) -> None:
    told = support.run(
        """
        def refuse(self):
            raise RuntimeError("can't start new thread")

        start, threading.Thread.start = threading.Thread.start, refuse
        lock = consul_lock.Lock(sys.argv[1])
        try:
            lock.on_lost(print)
        except consul_lock.NoResourcesError as problem:
            print(problem)
        with lock:
            print(lock.held)
        threading.Thread.start = start
        print(consul_lock._dispatcher._log is None)
        consul_lock.Lock(sys.argv[1]).on_lost(print)
        print(consul_lock._dispatcher._log is None)
        """,
        key,
    )
    assert told == "consul_lock could not start its thread: can't start new thread\nTrue\nTrue\nFalse\n"
