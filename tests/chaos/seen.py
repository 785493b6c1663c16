"""What the servers have shown of the keys, from the journals of the recorder."""

import collections

from history import FOREVER, common, merge
from journal import read


class Seen:
    def __init__(self, folder):
        self.servers = [spans_of(path) for path in sorted(folder.glob("seen-*"))]

    def held(self, key):
        """When at least two servers showed a holder: one that is cut off shows what is long over."""
        spans = [server[f"locks/ephemeral/{key}"] for server in self.servers]
        both = []
        for n, first in enumerate(spans):
            for second in spans[:n]:
                both += common(first, second)
        return merge(both)


def spans_of(path):
    """The times in which one server showed a holder, by key."""
    spans, since = collections.defaultdict(list), {}
    for line in read(path):
        if line.event == "has":
            since.setdefault(line.key, line.at)
        elif line.event == "free" and line.key in since:
            spans[line.key].append([since.pop(line.key), line.at])
        elif line.event == "blind":
            for key, begin in since.items():
                spans[key].append([begin, line.at])
            since.clear()
    for key, begin in since.items():
        spans[key].append([begin, FOREVER])
    return spans
