# A program of the older library consul-lock, as it was.
import consul

import consul_lock
from consul_lock import EphemeralLock, LockAcquisitionException

consul_lock.defaults.consul_client = consul.Consul()
consul_lock.defaults.lock_timeout_seconds = 60

lock = EphemeralLock("my/special/key", acquire_timeout_ms=500)
try:
    with lock.hold():
        print("here be dragons")
except LockAcquisitionException as error:  # also a consul.ConsulException
    print(error)

# What is new: the lock behind it.
lock = EphemeralLock("my/special/key", acquire_timeout_ms=500)
if lock.acquire(fail_hard=False):
    print(f"token {lock.lock.fencing_token}, {lock.lock.remaining:.0f} s left")
    print("released:", lock.release())
