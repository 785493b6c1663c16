"""The algorithm of the Python library consul-lock, through python-consul."""

import json
import time

from contract import obey


def client_of(consul, key):
    def acquire():
        session = consul.session.create(lock_delay=0, ttl=180, behavior="delete")
        attempt = 0
        while True:
            value = json.dumps({"locked_at": time.strftime("%Y-%m-%d %H:%M:%S")})
            if consul.kv.put(key=key, value=value, acquire=session):
                return lambda: consul.session.destroy(session)
            attempt += 1
            time.sleep(0.050 * attempt**2)

    return acquire


obey(client_of)
