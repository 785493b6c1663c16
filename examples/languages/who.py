import consul_lock

holder = consul_lock.holder("nightly-report")
print(f"{holder.name} on {holder.node}" if holder else "free")
