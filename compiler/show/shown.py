"""A formula to read: what it holds. What it takes to write one down is loaded when somebody looks (show/formula.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from importlib import import_module
from typing import Any

import sympile.compiler.graph.packing  # noqa: F401   # so that definitions can be pickled
from sympile.compiler.errors import FormulaTooLarge
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.adopt import Derived
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.records import dataclass
from sympile.compiler.show.arithmetic import Arithmetic


@dataclass(frozen=True, slots=True)
class TooLarge:
    """What stands in the place of an expression that nobody could read."""

    label: str
    operations: int
    most: int  # that a formula may have

    def __str__(self) -> str:
        return (
            f"{self.label} has {self.operations:,} operations, more than can be read as a formula "
            f"({self.most:,}); it compiles and can be derived all the same. "
            'Names for intermediate values, h = sm.named("h", ...), make it shorter'
        )


@dataclass(frozen=True, slots=True, eq=False)
class Formula(Arithmetic):
    """A formula as SymPy expressions over names.

    `print(formula)` shows it with what its names stand for, `formula.expr` is the SymPy expression.

    Attributes:
        shown: the formula, over the symbols of the model and the names in `where`; `expr` asks for it.
        where: name → SymPy expression, in the order of dependence.
        shape: the shape as declared.
        label: what it is, such as "dloss/dW".
        note: shown behind the first line.
        definition: the tensor that it shows.
        scope: the symbols of the model.
    """

    shown: Any
    where: Mapping[str, Any]
    shape: tuple[Any, ...]
    label: str
    note: str
    definition: Definition
    scope: Scope
    kind: str
    _whole: Definition = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles: the program as rows, which become the same definitions again."""
        scope = replace(self.scope, names={}, shared=set(), kept=[])  # the rest served reading alone
        fields = (self.shown, dict(self.where), self.shape, self.label, self.note, self.definition)
        return Formula, (*fields, scope, self.kind, self._whole)

    @property
    def expr(self) -> Any:
        """The SymPy expression; one that nobody could read is not made, but compiles and can be derived."""
        if isinstance(self.shown, TooLarge):
            raise FormulaTooLarge(str(self.shown))
        return self.shown

    def expanded(self) -> Any:
        """The same formula as one SymPy expression, nothing named."""
        if isinstance(self.shown, TooLarge):
            raise FormulaTooLarge(str(self.shown))
        return _showing().written_out(self._whole, self.scope, self.kind, self.shape)

    @property
    def derived(self) -> Derived:
        """What is compiled and derived again: the definition itself."""
        return Derived(self.definition, self.scope, self.shape, self.shown)

    @property
    def free_symbols(self) -> set[Any]:
        """The symbols that it depends on."""
        return {symbol.given for _, symbol in self.derived.inputs()}

    def __str__(self) -> str:
        if isinstance(self.shown, TooLarge):
            return str(self.shown)
        return str(_showing().as_text(self.label, self.expr, self.where, self.note))

    __repr__ = __str__

    def _repr_latex_(self) -> str | None:
        if isinstance(self.shown, TooLarge):
            return None
        return str(_showing().as_latex(self.label, self.expr, self.where))


def _showing() -> Any:
    return import_module("sympile.compiler.show.formula")  # optional: most programs look at no formula
