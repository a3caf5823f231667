"""A function that all split groups of a program share: it does little work at once, and hands more out in chunks."""

from __future__ import annotations

from sympile.compiler.code.module import Module
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.code.writer import Function
from sympile.compiler.passes.scheduling.regions import CHUNK, WORTH, Split
from sympile.compiler.program import POOL, POOL_SYMBOL

NAME = "sympile.hand_out"
WORDS = [("ptr", "part"), ("ptr noalias", "table"), ("ptr", "partials")]
NUMBERS = ("length", "cost", "grain", "most")  # steps of the index, picoseconds of one; what a `Split` says


def handed_out(
    function: Function, split: Split, part: str, table: Value, partials: Value, length: Integer, cost: Integer
) -> Value:
    """Calls the function of a chunk for the whole of an index, or has the pool call it; returns how many chunks."""
    name = f"{NAME}.together" if split.together else NAME
    if name not in function.module.functions:
        _write(function.module, name, split.together)
    numbers = [i64(number) for number in (length, cost, split.grain, split.most)]
    return function.call("i64", f"@{name}", Value(f"@{part}", "ptr"), table, partials, *numbers)


def _write(module: Module, name: str, together: bool) -> None:
    words = [*WORDS, *(("i64", number) for number in NUMBERS)]
    function = Function(module, name, words, result="i64", linkage="internal", attributes="nounwind noinline")
    part, table, partials, length, cost, grain, most = function.arguments
    small = function.compare("slt", function.mul(length, cost), WORTH)
    with function.either(small) as choice:
        with choice.then():
            given = f"ptr {table.text}, ptr {partials.text}, i64 0, i64 {length.text}, i64 0"
            function.do(f"call void {part.text}({given})")
            choice.give(i64(1))
        with choice.otherwise():
            size = _size(function, length, cost, grain, most)
            pool = module.external(POOL_SYMBOL, "ptr")
            if together:
                workers = function.load("i64", function.gep("i8", pool, POOL["workers"]), 8)
                size = function.pick(function.compare("eq", workers, 0), length, size)
            region = function.load("ptr", pool, 8)
            given = ", ".join(f"{value.type} {value.text}" for value in (part, table, partials, length, size))
            function.do(f"call void {region.text}({given})")
            choice.give(i64(_over(function, length, size)))
    function.ret(choice.results[0])


def _size(function: Function, length: Value, cost: Value, grain: Value, most: Value) -> Value:
    """The steps of a chunk: chunks are of equal size, but for the last."""
    enough = function.add(function.div(CHUNK, cost), 1)
    size = function.max(enough, _over(function, length, most))
    return i64(function.mul(_over(function, size, grain), grain))


def _over(function: Function, a: Integer, b: Integer) -> Integer:
    """a / b, rounded up."""
    return function.div(function.sub(function.add(a, b), 1), b)
