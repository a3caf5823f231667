"""A value in LLVM IR: its text and its type."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """What an operand is written as ("%v7", "3", "splat (double 0x3FF0000000000000)") and its type ("<8 x double>")."""

    text: str
    type: str


Integer = Value | int   # a Python int stands for an i64 known while the code is written


def i64(integer: Integer) -> Value:
    """The integer as an operand."""
    return Value(str(integer), "i64") if isinstance(integer, int) else integer


def truth(known: bool) -> Value:
    """The constant truth (i1)."""
    return Value("true" if known else "false", "i1")


def typed(value: Value) -> str:
    """`double %v7`."""
    return f"{value[1]} {value[0]}"


def literal(number: int, kind: str = "i64") -> Value:
    """An integer literal of any integer type."""
    return Value(str(number), kind)
