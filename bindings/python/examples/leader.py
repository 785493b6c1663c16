# One process leads, and each process knows the leader. Run the program twice, and end the process that leads.
import os
import sys
import time
from typing import Optional

import consul_lock


def show(holder: Optional[consul_lock.Holder]) -> None:
    print(f"the leader is {holder.value.decode()}" if holder else "there is no leader", flush=True)


me = f"process {os.getpid()}"
observer = consul_lock.observe("leader", show, on_error=lambda error: print(error, file=sys.stderr))
try:
    with consul_lock.hold("leader", value=me, timeout=None, lock_timeout=15, auto_renew=True) as lock:
        while lock.held:
            time.sleep(0.5)
except consul_lock.LostError as error:
    print(error, file=sys.stderr)
except KeyboardInterrupt:
    print("resigned")
finally:
    observer.close()
