"""A lock as one writes it with python-consul, which has none: a session, a key, and a blocking query to wait, as Consul's
own guide says."""

from contract import obey


def client_of(consul, key):
    def acquire():
        session = consul.session.create(lock_delay=0, ttl=15, behavior="delete")
        while not consul.kv.put(key, "", acquire=session):
            # The first read does not wait: the lock may be free again by now.
            index, row = consul.kv.get(key)
            while row is not None and "Session" in row:
                index, row = consul.kv.get(key, index=index, wait="10s")
        return lambda: consul.session.destroy(session)

    return acquire


obey(client_of)
