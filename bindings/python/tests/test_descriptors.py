"""Descriptors: programs that the process starts get none, and those that the program closed are not used."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import support

from consul_lock import Client, Lock, _events, hold, holder, observe

#: A program that closes all descriptors after it has used the library. (A daemon does so in a child, where the library
#: forgets those of the parent.) A call that is under way may fail. No call hangs, and the library neither closes, reads
#: nor writes the files that have taken the numbers.
CLOSING = """
    import errno, logging, socket
    logging.getLogger("consul_lock").setLevel(logging.CRITICAL + 1)
    key = sys.argv[1]

    def use(suffix=""):
        with consul_lock.hold(f"{key}{suffix}", timeout=5) as lock:
            lock.renew()
            return lock.held and consul_lock.holder(f"{key}{suffix}") is not None

    def close_all():
        os.closerange(3, 256)
"""


def test_descriptors_are_closed_on_exec(key: str) -> None:
    client = Client()
    with client.hold(key), observe(key, lambda holder: None), hold(f"{key}-other"):
        for name in os.listdir("/proc/self/fd"):
            try:
                flags = fcntl.fcntl(int(name), fcntl.F_GETFD)
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue
            # 0, 1 and 2, and what pytest makes of them.
            if target.startswith("socket:"):
                assert flags & fcntl.FD_CLOEXEC, target
                assert not os.get_inheritable(int(name))
        told = subprocess.run(
            [sys.executable, "-c", "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3, 64)"
             " if os.path.exists(f'/proc/self/fd/{n}')])"],
            close_fds=False, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip
    assert "socket" not in told


def test_a_use_after_all_descriptors_were_closed(key: str) -> None:
    told = support.run(
        CLOSING
        + """
    assert use()
    close_all()
    print(use("-again"))
    """,
        key,
    )
    assert told == "True\n"


def test_a_socket_that_took_a_connections_number_is_left_alone(key: str) -> None:
    told = support.run(
        CLOSING
        + """
    import fcntl
    # These stay out of the way.
    ends = [fcntl.fcntl(end.detach(), fcntl.F_DUPFD, 300) for end in socket.socketpair()]
    os.set_blocking(ends[0], False)

    assert use()
    close_all()
    copies = [os.dup(ends[1]) for _ in range(100)]
    assert use("-again")
    for copy in copies:
        os.close(copy)
    try:
        print(os.read(ends[0], 1000))
    except BlockingIOError:
        print("quiet")
    print(os.write(ends[0], b"x"), os.read(ends[1], 1))
    """,
        key,
    )
    assert told == "quiet\n1 b'x'\n"


def test_a_file_that_took_a_descriptors_number_is_not_read(key: str) -> None:
    told = support.run(
        CLOSING
        + """
    import fcntl, tempfile
    # These stay out of the way. The copies below have the same place in the file, and the same bytes in the socket.
    with tempfile.TemporaryFile() as data:
        data.write(b"x" * 1000)
        kept = fcntl.fcntl(data.fileno(), fcntl.F_DUPFD, 300)
    os.lseek(kept, 0, os.SEEK_SET)
    ends = [fcntl.fcntl(end.detach(), fcntl.F_DUPFD, 300) for end in socket.socketpair()]
    os.write(ends[0], b"y" * 100)

    assert use()
    numbers = {mailbox.descriptor for mailbox in consul_lock._events._idle}
    assert numbers
    close_all()
    copies = {os.dup(kept if turn % 2 else ends[1]) for turn in range(100)}
    assert numbers <= copies
    print(use("-again"))
    print(os.lseek(kept, 0, os.SEEK_CUR))
    print(len(os.read(ends[1], 1000)))
    """,
        key,
    )
    assert told == "True\n0\n100\n"


def test_a_descriptor_that_is_closed_during_the_wait(key: str, holding: Lock) -> None:
    status, out, said = support.Program(
        CLOSING
        + """
    lock = consul_lock.Lock(key, timeout=None)
    def close():
        while not consul_lock.stats().get("waiting"):
            time.sleep(0.01)
        close_all()
    threading.Thread(target=close, daemon=True).start()
    try:
        lock.acquire()
    except OSError as problem:
        print(problem.errno == errno.EBADF, "closed" in str(problem), lock.held)
    """,
        key,
    ).end()
    assert (status, out) == (0, "True True False\n"), said


def test_descriptors_do_not_pile_up(key: str) -> None:
    def use() -> None:
        with hold(key) as lock:
            lock.on_lost(print)
            assert holder(key) is not None

    for _ in range(20):
        use()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        use()
    assert len(os.listdir("/proc/self/fd")) < before + 10
    assert len(_events._idle) <= _events._IDLE


def test_without_descriptors_a_call_fails_in_words(key: str) -> None:
    told = support.run(
        """
        import resource
        with consul_lock.hold(sys.argv[1]):
            pass
        kept = list(consul_lock._events._idle)
        consul_lock._events._idle.clear()
        lock = consul_lock.Lock(sys.argv[1])
        files = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                files.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            lock.acquire()
        except consul_lock.NoResourcesError as problem:
            print(isinstance(problem, OSError), "socket" in str(problem))
        for file in files:
            os.close(file)
        lock.acquire()
        print(lock.release())
        """,
        key,
    )
    assert told == "True True\nTrue\n"
