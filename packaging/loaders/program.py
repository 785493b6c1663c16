"""Loads the package and the extension in the order of the arguments, and takes locks by both.

program.py package EXTENSION
"""

import ctypes
import os
import sys

NOT_ACQUIRED = 20
KEY = f"loaders/python/{os.getpid()}"


def libraries():
    """Gives the files of the library that are in this process."""
    return sorted({line.split()[-1] for line in open("/proc/self/maps") if "libconsul_lock" in line})


package = extension = None
for word in sys.argv[1:]:
    if word == "package":
        import consul_lock as package
    else:
        extension = ctypes.CDLL(word)
if package and extension:
    with package.hold(KEY):
        assert extension.extension_take(KEY.encode()) == NOT_ACQUIRED
    assert extension.extension_take(KEY.encode()) == 0
    assert not package.Lock(KEY).try_acquire()
    assert extension.extension_give() == 0
    # What one gives back, the other does not lose.
    with package.hold(KEY) as lock:
        assert extension.extension_take(f"{KEY}/other".encode()) == 0
        assert extension.extension_give() == 0
        lock.check()
print("\n".join(libraries()))
