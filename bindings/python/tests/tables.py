"""Looks at the tables of a Markdown file.

    tables.py README.md

Fails unless each of them is a table in the page too, and prints the lines that are none.
"""

from __future__ import annotations

import pathlib
import re
import sys

from markdown_it import MarkdownIt


def main(path: str) -> int:
    """Compares the lines that separate a table's head with the tables that a renderer finds."""
    text = pathlib.Path(path).read_text()
    meant = {number for number, line in enumerate(text.splitlines()) if re.match(r"\|( *:?-+:? *\|)+$", line)}
    found = {
        token.map[0] + 1 for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text)
        if token.type == "table_open" and token.map
    }  # fmt: skip
    for number in sorted(meant ^ found):
        print(f"{path}:{number + 1}: this is no table in the page")
    return meant != found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
