# Only one process in the whole datacenter makes the report at a time.
import sys

import consul_lock

try:
    with consul_lock.hold("nightly-report"):
        print("making the report")
except consul_lock.Error as error:
    sys.exit(f"no report: {error}")
