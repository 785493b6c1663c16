"""Under gevent and eventlet a wait lets other greenlets run, whether they patch before the import or after it."""

from __future__ import annotations

import sys

import pytest
import support

PATCH = "import gevent.monkey; gevent.monkey.patch_all()\n"
WORK = """
    import gevent
    order = []
    key = sys.argv[1]

    def wait():
        with consul_lock.hold(key, timeout=60) as lock:
            order.append("held")
            assert lock.held

    def release():
        gevent.sleep(0.1)
        order.append("slept")
        first.release()

    first = consul_lock.Lock(key)
    lost = []
    first.on_lost(lost.append)
    first.acquire()
    greenlets = [gevent.spawn(wait) for _ in range(20)] + [gevent.spawn(release)]
    gevent.joinall(greenlets, timeout=60, raise_error=True)
    assert order == ["slept"] + ["held"] * 20, order

    # A timeout of gevent ends a wait as any other exception does.
    with consul_lock.hold(key) as held:
        waiting = consul_lock.Lock(key, timeout=None)
        try:
            with gevent.Timeout(0.2):
                waiting.acquire()
        except gevent.Timeout:
            order.append("timed out")
        killed = gevent.spawn(consul_lock.Lock(key, timeout=None).acquire)
        gevent.sleep(0.1)
        killed.kill()
        assert killed.dead
        deadline = time.monotonic() + 10
        while consul_lock.holders(key).line and time.monotonic() < deadline:
            gevent.sleep(0.01)
        assert not consul_lock.holders(key).line

        # Callbacks run, as greenlets or in a thread.
        seen = []
        with consul_lock.observe(key, seen.append):
            with gevent.Timeout(20):
                while not seen:
                    gevent.sleep(0.01)
        assert seen[0].session == held.session_id
    print(order[-1])
"""


@pytest.mark.parametrize("when", ["before", "after", "after a use"])
def test_greenlets(key: str, when: str) -> None:
    text = "\n".join(line[4:] for line in WORK.splitlines())
    use = "with consul_lock.hold(sys.argv[1]) as one:\n    one.on_lost(print)\n"
    if when == "before":
        program = f"for name in [name for name in sys.modules if 'consul_lock' in name]: del sys.modules[name]\n{PATCH}"
        program += f"import consul_lock\n{text}"
    else:
        program = (use if when == "after a use" else "") + PATCH + text
    status, out, said = support.Program(program, key).end()
    assert (status, out) == (0, "timed out\n"), f"{sys.version}: {said}"


def test_waits_by_select_where_eventlet_has_removed_poll(key: str) -> None:
    told = support.run(
        """
        import select

        def wait(*arguments):
            waits.append(arguments)
            return own(*arguments)

        waits, own, select.select = [], select.select, wait
        del select.poll, select.epoll
        with consul_lock.hold(sys.argv[1]) as lock:
            lock.on_lost(print)
            print(consul_lock.Lock(sys.argv[1], timeout=0.2).try_acquire(), lock.held, len(waits) > 1)
        """,
        key,
    )
    assert told == "False True True\n"
