"""Reads scenarios.txt, and refuses a malformed file: README.md describes the form."""

import hashlib
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
FILE = HERE / "scenarios.txt"
LANGUAGES = ("cpp", "go", "ruby", "node", "python", "python-asyncio")

WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
NAME = r"[a-z_][a-z0-9_]*"
GIVEN = {"key", "agent", "acl", "dead", "pid"}
# The least and the largest number of arguments of each verb.
MANY = 99
VERBS = {
    "client": (1, MANY), "lock": (2, MANY), "acquire": (1, 1), "try": (1, 1), "release": (1, 1), "cancel": (1, 1),
    "renew": (1, 1), "check": (1, 1), "put": (3, 3), "delete": (2, 2), "close": (1, 1), "abandon": (1, 1),
    "held": (1, 1), "remaining": (1, 1), "token": (1, 1), "session": (1, 1), "key": (1, 1), "watch": (1, 1),
    "lost": (1, 1), "hold": (2, MANY), "raise": (0, 0), "holder": (2, 3), "begin": (3, 4), "interrupt": (1, 1),
    "join": (1, 1), "child": (1, MANY), "fork": (1, 1), "operator": (1, MANY), "sleep": (1, 1), "expect": (3, 3),
    "default": (2, 2), "default-client": (1, 1), "generator": (1, 2), "log": (1, 1), "logged": (1, 1),
    "stats": (1, 2), "shutdown": (1, 1), "version": (0, 0), "end": (0, 0), "keys": (1, 1), "slot": (1, 1),
    "downgrade": (1, 1), "upgrade": (2, 2), "holders": (3, 4), "observe": (2, 3), "observed": (2, 2),
    "unobserve": (1, 1),
}  # fmt: skip
BLOCKS = {"hold", "child", "fork"}
OF_THE_PROCESS = {"default", "default-client", "generator", "log", "logged", "stats", "shutdown", "version"}
CLAUSES = {"says": 1, "hides": 1, "between": 2, "within": 2, "http": 1, "retryable": 0, "final": 0}


class Scenario:
    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.without = {}  # language: reason
        self.must_fail_at = None  # the number of a line
        self.steps = []  # (number of the line, words)


def words(line):
    return WORD.findall(line)


def read(path=FILE):
    """Gives the scenarios in order. Ends the program if the file is malformed."""
    scenarios, wrong, here, must_fail = [], [], False, False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        heading = re.fullmatch(r"scenario ([a-z0-9-]+): (\S.*)", line)
        without = re.fullmatch(r"without ([a-z -]+): (\S.*)", line)
        if heading:
            scenarios.append(Scenario(*heading.groups()))
            must_fail = here = False
        elif line.startswith("#"):
            here = here or line == "# here"
        elif line == "must-fail":
            must_fail = True
        elif without:
            scenarios[-1].without.update(dict.fromkeys(without.group(1).split(), without.group(2)))
        elif line:
            if here and must_fail and scenarios[-1].must_fail_at is None:
                scenarios[-1].must_fail_at = number
            scenarios[-1].steps.append((number, words(line)))
    names = [scenario.name for scenario in scenarios]
    wrong += [f"{name}: twice" for name in names if names.count(name) > 1]
    for scenario in scenarios:
        wrong += [f"{scenario.name}: {language}: no such language" for language in scenario.without.keys() - set(LANGUAGES)]
        wrong += [f"{scenario.name}: {what}" for what in faults(scenario)]
        if scenario.name.startswith("fails-") != (scenario.must_fail_at is not None):
            wrong.append(f"{scenario.name}: a name with fails-, must-fail and a line after # here belong together")
    if wrong:
        sys.exit("\n".join(wrong))
    return scenarios


def faults(scenario):
    """Gives the mistakes in the steps of one scenario."""
    blocks, tasks = [], {}
    known = {"fails-verb": {"juggle"}, "fails-clause": {"sings"}}.get(scenario.name, set())
    for number, step in scenario.steps:
        at = f"line {number}"
        arrow = step.index("->") if "->" in step else len(step)
        call, expectation = step[:arrow], step[arrow + 1 :]
        if len(call) > 2 and call[-2] == "as":
            call = call[:-2]
        verb, arguments = call[0], call[1:]
        if verb in known:
            continue
        if verb not in VERBS:
            yield f"{at}: unknown verb {verb}"
            continue
        least, most = VERBS[verb]
        if not least <= len(arguments) <= most:
            yield f"{at}: {verb} takes {least} to {most} words"
        if verb in OF_THE_PROCESS and "child" not in [block for block, _ in blocks]:
            yield f"{at}: {verb} changes or sees the whole process, and stands only in a child"
        if verb == "raise" and (not blocks or blocks[-1][0] != "hold"):
            yield f"{at}: raise stands only in a hold"
        if verb in ("hold", "child", "fork") and expectation:
            yield f"{at}: the expectation stands at the end of the block"
        if verb in ("child", "fork", "begin"):
            tasks[arguments[0]] = number
        elif verb == "join" and tasks.pop(arguments[0], None) is None:
            yield f"{at}: there is no {arguments[0]} to join"
        if verb in BLOCKS:
            blocks.append((verb, tasks))
            tasks = {} if verb != "hold" else tasks
        elif verb == "end":
            if not blocks:
                yield f"{at}: end of nothing"
                continue
            if blocks[-1][0] != "hold":
                yield from (f"line {begun}: {task} is never joined" for task, begun in tasks.items())
                if expectation:
                    yield f"{at}: the expectation of a child stands at its join"
            tasks = blocks.pop()[1]
        while expectation:
            word = expectation.pop(0)
            if word in CLAUSES:
                if len(expectation) < CLAUSES[word]:
                    yield f"{at}: {word} needs more words"
                del expectation[: CLAUSES[word]]
            elif arrow + 1 < len(step) and word is not step[arrow + 1] and word not in known:
                yield f"{at}: unknown clause {word}"
    if blocks:
        yield "a block without its end"
    yield from (f"line {begun}: {task} is never joined" for task, begun in tasks.items())


def kept():
    """Gives the folder for the results of full runs."""
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"), "conformance")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest():
    """Gives a digest of scenarios.txt, by which results of older scenarios are recognised."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()


def verdicts(output):
    """Gives a runner's verdict on each scenario: (word, the rest)."""
    said = {}
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("ok", "FAILED", "without"):
            name, _, why = rest.partition(" ")
            said[name] = (word, why)
    return said


def judge(scenario, language, verdict):
    """Gives None if the verdict is right, else the mistake."""
    if verdict is None:
        return "the runner says nothing of it"
    word, why = verdict
    if (word == "without") != (language in scenario.without):
        return f"the runner says {word}, and scenarios.txt otherwise"
    if scenario.must_fail_at and word == "ok":
        return "passed, and must not"
    if scenario.must_fail_at and word == "FAILED":
        at = f"line {scenario.must_fail_at}:"
        return None if why.startswith(at) else f"must fail at {at} and not: {why}"
    return why if word == "FAILED" else None
