"""Python blocks in Markdown pages, and what they must print.

A block's output stands in a ```text block right behind it, or in comment lines right behind the `print` that makes it.
An error that a block ends with is output, too: its class and its message.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sympile import SympileError

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One ```python block."""

    line: int                       # of its first statement, in the page
    code: str
    output: str | None              # the ```text block behind it


def blocks(page: str) -> list[Block]:
    """The Python blocks of a page, in order."""
    fences = list(FENCE.finditer(page))
    found = []
    for fence, after in zip_longest(fences, fences[1:]):
        if fence[1] == "python":
            adjacent = after is not None and after[1] == "text" and not page[fence.end() : after.start()].strip()
            line = page.count("\n", 0, fence.start(2)) + 1
            found.append(Block(line, fence[2], after[2] if adjacent and after else None))
    return found


def run(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Runs a block and compares what it prints."""
    printed = []
    for statement, wanted in statements(block.code):
        ast.increment_lineno(statement, block.line - 1)
        text = executed(statement, page, namespace, catch=block.output is not None)
        where = f"{page.name}, line {statement.body[0].lineno}"
        if wanted:
            compare(text, wanted, where)
        else:
            printed.append(text)
    if block.output is not None:
        compare("".join(printed), block.output, f"{page.name}, the block of line {block.line}")


def statements(code: str) -> Iterator[tuple[ast.Module, str]]:
    """Each statement, and the comment lines right behind it if it is a print."""
    lines = code.splitlines()
    for node in ast.parse(code).body:
        wanted = []
        if ast.unparse(node).startswith("print("):
            for line in lines[node.end_lineno :]:
                if not line.startswith("#"):
                    break
                wanted.append(line.removeprefix("#").removeprefix(" ") + "\n")
        yield ast.Module([node], []), "".join(wanted)


def executed(statement: ast.Module, page: Path, namespace: dict[str, Any], *, catch: bool) -> str:
    """What one statement prints."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(statement, str(page), "exec"), namespace)
    except SympileError as error:
        if not catch:
            raise
        print(f"{type(error).__name__}: {error}", file=printed)
    return printed.getvalue()


def compare(printed: str, wanted: str, where: str) -> None:
    """Space at the ends of lines aside, both are the same."""
    got, want = ([line.rstrip() for line in text.rstrip().splitlines()] for text in (printed, wanted))
    assert got == want, f"{where} prints\n\n{printed}\nwhere the page says\n\n{wanted}"
