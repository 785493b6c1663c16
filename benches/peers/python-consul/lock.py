"""The algorithm of the Python library consul-lock, through python-consul. The contract is in
../README.md."""

import json
import sys
import time

import consul


def acquire(client, key):
    session = client.session.create(lock_delay=0, ttl=180, behavior="delete")
    attempt = 0
    while True:
        value = json.dumps({"locked_at": time.strftime("%Y-%m-%d %H:%M:%S")})
        if client.kv.put(key=key, value=value, acquire=session):
            return session
        attempt += 1
        time.sleep(0.050 * attempt**2)


def release(client, session):
    client.session.destroy(session)


def turn(client, key, name, hold):
    begun = time.monotonic_ns()
    session = acquire(client, key)
    print("acquired", name, begun, time.monotonic_ns(), flush=True)
    time.sleep(hold)
    begun = time.monotonic_ns()
    release(client, session)
    print("released", name, begun, time.monotonic_ns(), flush=True)


def cycle(client, key):
    begun = time.monotonic_ns()
    release(client, acquire(client, key))
    return time.monotonic_ns() - begun


def main():
    address, key = sys.argv[1:]
    host, port = address.split(":")
    client = consul.Consul(host=host, port=int(port))
    print("ready", flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "turns":
            name, hold_ms, count = map(int, numbers)
            for _ in range(count):
                turn(client, key, name, hold_ms / 1000)
        elif word == "cycles":
            times = [cycle(client, key) for _ in range(int(numbers[0]))]
            print("cycles", *times, flush=True)


main()
