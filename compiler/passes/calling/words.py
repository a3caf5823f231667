"""The words of a plan in the text of code, and where Python's objects hold what."""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.program import ALIGNED, ARGUMENT, CALL, CONTIGUOUS, OBJECT_LAYOUT, RESULT, WRITEABLE

TYPE, DATA, RANK, DIMENSIONS, DESCRIPTOR, FLAGS = OBJECT_LAYOUT.values()
READABLE = CONTIGUOUS | ALIGNED
WRITABLE = READABLE | WRITEABLE

WORDS: Mapping[str, Mapping[str, int]] = {"call": CALL, "argument": ARGUMENT, "result": RESULT}


def written_out(text: str) -> str:
    """Code in which each line `%name = word type table.word of %record` has become the load of that word."""
    return "\n".join(_loaded(line) if " = word " in line else line for line in text.splitlines())


def _loaded(line: str) -> str:
    """`%a = word ptr call.table of %plan` loads the word "table"; of type "at" is the word's own address."""
    result, rest = line.strip().split(" = word ")
    kind, place, _, record = rest.split()
    table, name = place.split(".")
    address = f"getelementptr i64, ptr {record}, i64 {WORDS[table][name]}"
    if kind == "at":
        return f"  {result} = {address}"
    return f"  {result}.at = {address}\n  {result} = load {kind}, ptr {result}.at"
