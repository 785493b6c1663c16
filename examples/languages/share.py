import consul_lock

try:
    with consul_lock.hold("licence", limit=3) as lock:
        print(f"licence {lock.slot} of 0 to 2")
except consul_lock.NotAcquiredError:
    print("all licences are in use")

try:
    with consul_lock.hold(["account/7", "account/3"]):
        print("moving the money")
except consul_lock.NotAcquiredError:
    print("an account is in use")
