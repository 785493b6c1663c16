"""The contract of ../README.md, for the clients in this folder. A client is a function that takes the lock and gives the
function that gives it back."""

import sys
import time

import consul


def turn(acquire, name, hold):
    begun = time.monotonic_ns()
    release = acquire()
    print("acquired", name, begun, time.monotonic_ns(), flush=True)
    time.sleep(hold)
    begun = time.monotonic_ns()
    release()
    print("released", name, begun, time.monotonic_ns(), flush=True)


def cycle(acquire):
    begun = time.monotonic_ns()
    acquire()()
    return time.monotonic_ns() - begun


def obey(client_of):
    """Does what the input says, with the client that `client_of(consul, key)` gives."""
    address, key = sys.argv[1:]
    host, port = address.split(":")
    acquire = client_of(consul.Consul(host=host, port=int(port)), key)
    print("ready", flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "turns":
            name, hold_ms, count = map(int, numbers)
            for _ in range(count):
                turn(acquire, name, hold_ms / 1000)
        elif word == "cycles":
            times = [cycle(acquire) for _ in range(int(numbers[0]))]
            print("cycles", *times, flush=True)
