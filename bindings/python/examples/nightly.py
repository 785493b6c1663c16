# The job of each night, which cron starts on every server at the same time: 0 2 * * * python nightly.py
import logging

import consul_lock

logging.basicConfig(level=logging.INFO)


@consul_lock.only_one("nightly-report", on_busy="skip", lock_timeout=3600)
def make_the_report(day: str) -> str:
    return f"the report of {day}"


@consul_lock.only_one("invoice/{number}", timeout=10)
def bill(number: int) -> str:
    return f"invoice {number}"


print(make_the_report("Monday") or "another server makes it")
print(bill(7), "and", bill(number=8))
