"""Executes the scenarios of bindings/conformance through this binding, as README.md there demands of a runner.

    run.py [--aio] FILE [NAME...]
    run.py [--aio] FILE child LINE NAME=VALUE...

With --aio through consul_lock.aio, in one event loop, else through the interface that calls and waits. Runs the package
that is installed: PYTHONPATH=bindings/python/src runs the one of the source tree.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import traceback
from functools import partial
from pathlib import Path
from types import ModuleType

from expectation import Failed
from processes import tell
from scenario import Scenario, block_at, read
from verbs import Verbs

AT_ONCE = 8


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def execute(way: ModuleType, file: Path, scenario: Scenario) -> None:
    """Executes a scenario, and prints the verdict."""
    if way.NAME in scenario.without:
        say(f"without {scenario.name}")
        return
    steps = Verbs(way, file, {
        "key": f"conformance/{scenario.name}-{secrets.token_hex(4)}",
        "agent": os.environ["CONSUL_HTTP_ADDR"],
        "acl": os.environ["TEST_CONSUL_ACL_ADDR"],
        "dead": os.environ["TEST_CONSUL_DEAD_ADDR"],
    })  # fmt: skip
    try:
        await steps.run(scenario.steps)
        verdict = f"ok {scenario.name}"
    except Failed as failure:
        verdict = f"FAILED {scenario.name} {failure}"
    except BaseException:
        verdict = f"FAILED {scenario.name} {' '.join(traceback.format_exc().split())}"
    await steps.clear()
    say(verdict)


async def execute_block(way: ModuleType, file: Path, line: int, pairs: list[str]) -> None:
    """Executes a block for the parent process, and prints how it ended."""
    steps = Verbs(way, file, dict(pair.split("=", 1) for pair in pairs))
    failure: BaseException | None = None
    try:
        await steps.run(block_at(read(file), line))
    except BaseException as error:
        failure = error

    def outcome() -> dict[str, str]:
        if failure is not None:
            raise failure
        return steps.stored

    tell(sys.stdout.write, outcome)
    sys.stdout.flush()
    await steps.clear()


def main(words: list[str]) -> None:
    # Scenarios lose locks on purpose.
    logging.getLogger("consul_lock").addHandler(logging.NullHandler())
    if words[:1] == ["--aio"]:
        import looping as way

        del words[0]
    else:
        import blocking as way  # type: ignore[no-redef]
    if not words:
        sys.exit(__doc__)
    file, names = Path(words[0]), words[1:]
    if names[:1] == ["child"]:
        way.execute([partial(execute_block, way, file, int(names[1]), names[2:])], 1)
    else:
        chosen = [scenario for scenario in read(file) if not names or scenario.name in names]
        way.execute([partial(execute, way, file, scenario) for scenario in chosen], AT_ONCE)


main(sys.argv[1:])
