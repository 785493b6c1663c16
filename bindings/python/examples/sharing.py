# At most three at once, readers beside each other, and two keys together.
import consul_lock

with consul_lock.hold("licence", limit=3, timeout=30) as licence:
    print(f"licence {licence.slot} of 0 to 2")

with consul_lock.hold("prices", timeout=30) as prices:
    print("writing the prices")
    prices.downgrade()  # from here on others may read the prices, but not write them
    print("reading the prices")
with consul_lock.hold("prices", share=True, timeout=30):
    print("reading the prices")

with consul_lock.hold(["account/7", "account/3"], timeout=30):
    print("moving the money")
