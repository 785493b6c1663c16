import consul_lock

lock = consul_lock.Lock("nightly-report", timeout=2)
if lock.try_acquire():  # raises when Consul gave no usable answer, or refused
    print("making the report")
    lock.release()
else:
    print("another process makes it")
