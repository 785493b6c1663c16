"""What the servers show of the locks' rows, in time: one thread a server, which asks also a server that is cut off."""

import json
import threading

from agents import SERVERS
from journal import Journal
from network import ask

LOCKS = "locks/ephemeral/"


class Recorder:
    def __init__(self, folder):
        self.is_over = threading.Event()
        self.threads = [
            threading.Thread(target=self.record, args=(server, Journal(folder / f"seen-{server}")), daemon=True)
            for server in SERVERS
        ]
        for thread in self.threads:
            thread.start()

    def record(self, server, journal):
        index, known = 0, {}
        while not self.is_over.is_set():
            try:
                path = f"/v1/kv/{LOCKS}?recurse&stale&index={index}&wait=2s"
                status, new_index, said = ask(server, "GET", path, timeout=5)
                if status not in (200, 404):
                    raise OSError(f"{status}")
            except OSError:
                # What was known may have changed.
                if known is not None:
                    journal.note("blind")
                index, known = 0, None
                self.is_over.wait(0.5)
                continue
            rows = json.loads(said) if status == 200 else []
            new = {row["Key"]: row.get("Session", "") for row in rows if "/.fifo/" not in row["Key"]}
            if known is None:
                journal.note("sees")
                known = {}
            for key in known.keys() - new.keys():
                journal.note("free", key=key)
            for key, session in new.items():
                if known.get(key) != session:
                    journal.note("has" if session else "free", key=key, session=session)
            known = new
            # An index that goes backward begins anew, as after a restore.
            index = new_index if new_index >= index else 0
            self.is_over.wait(0.02)

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
