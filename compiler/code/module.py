"""A module of LLVM IR as text: functions, declarations, constant tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Protocol

from sympile.compiler.code.target import Target
from sympile.compiler.code.value import Value
from sympile.compiler.errors import InternalError
from sympile.compiler.records import dataclass

PLAIN = re.compile(r"[A-Za-z$._][A-Za-z0-9$._]*\Z")


def symbol(name: str) -> str:
    """`@name`, quoted where LLVM asks for it."""
    return f"@{name}" if PLAIN.match(name) else f'@"{name}"'


class Written(Protocol):
    """A function, of which a module needs the text only."""

    def text(self) -> str:
        """The function as LLVM IR."""


@dataclass(slots=True, eq=False)
class Module:
    """Functions, declarations and constant tables that compile together.

    Args:
        target: the machine; its attributes go to every function.
    """

    target: Target
    functions: dict[str, Written] = field(default_factory=dict)
    declarations: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, int] = field(default_factory=dict)

    def declare(self, result: str, name: str, parameters: Iterable[str]) -> None:
        """Makes `name` (with its @) callable; the same declaration again is nothing new, another one is our mistake."""
        line = f"declare {result} {name}({', '.join(parameters)})"
        if self.declarations.setdefault(name, line) != line:
            raise InternalError(f"{name} is declared twice: {self.declarations[name]} and {line}")

    def table(self, name: str, element: str, items: Sequence[str], align: int = 64) -> Value:
        """A pointer to constant numbers, given as literals of type `element`."""
        listed, kind = ", ".join(f"{element} {item}" for item in items), f"[{len(items)} x {element}]"
        text = f"{symbol(name)} = private unnamed_addr constant {kind} [{listed}], align {align}"
        if self.tables.setdefault(symbol(name), text) != text:
            raise InternalError(f"two tables are called {name}")
        return Value(symbol(name), "ptr")

    def variable(self, name: str, kind: str, initial: str = "zeroinitializer", align: int = 64) -> Value:
        """A pointer to a private global that may change."""
        self.tables[symbol(name)] = f"{symbol(name)} = private global {kind} {initial}, align {align}"
        return Value(symbol(name), "ptr")

    def external(self, name: str, kind: str) -> Value:
        """A pointer to a global that lies outside, found by its name when the code is linked."""
        self.tables[symbol(name)] = f"{symbol(name)} = external global {kind}"
        return Value(symbol(name), "ptr")

    def tag(self, content: str) -> str:
        """The `!7` of a metadata node."""
        return f"!{self.metadata.setdefault(content, len(self.metadata))}"

    def text(self) -> str:
        """The whole module as LLVM IR."""
        ours = {symbol(name) for name in self.functions}
        parts = [f'target triple = "{self.target.triple}"']
        parts += self.tables.values()
        parts += [line for name, line in self.declarations.items() if name not in ours]
        parts += [function.text() for function in self.functions.values()]
        parts += [f"!{number} = {content}" for content, number in self.metadata.items()]
        return "\n".join(parts) + "\n"
