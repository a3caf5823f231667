"""What one goes on with after a derivative: a formula in arithmetic, in functions, and under SymPy's own methods."""

from __future__ import annotations

from typing import Any, NoReturn

import sympy as sp

from sympile.compiler.errors import FormulaError
from sympile.compiler.language.intake import refuse_array
from sympile.compiler.language.sizes import is_array, shown

# Methods of SymPy that sympile has a better word for.
INSTEAD = {
    "diff": "sympile.grad(formula, symbol): SymPy's diff is silent about what it does not know",
    "lambdify": "sympile.lambdify(symbols, formula)",
}


class Arithmetic:
    """Operators of a formula: of the SymPy expression that it is, written out.

    Handed on alone, a formula is its own program; in a larger expression it is what `expanded()` gives.
    """

    __slots__ = ()
    _op_priority = 13.0  # above everything else, so that `a*formula` asks us
    __array_ufunc__ = None  # so that `np.float64(2)*formula` asks us

    def expanded(self) -> Any:
        """The formula as one SymPy expression."""
        raise NotImplementedError

    def _sympy_(self) -> Any:
        return self.expanded()

    def _latex(self, printer: Any) -> str:
        return str(printer._print(self.expanded()))

    def __neg__(self) -> Any:
        return -self.expanded()

    def __pos__(self) -> Any:
        return self.expanded()

    def __abs__(self) -> Any:
        return abs(self.expanded())

    def __add__(self, other: Any) -> Any:
        return _sum(self.expanded(), _written(other))

    def __radd__(self, other: Any) -> Any:
        return _sum(_written(other), self.expanded())

    def __sub__(self, other: Any) -> Any:
        return _sum(self.expanded(), -_written(other))

    def __rsub__(self, other: Any) -> Any:
        return _sum(_written(other), -self.expanded())

    def __mul__(self, other: Any) -> Any:
        return self.expanded() * _written(other)

    def __rmul__(self, other: Any) -> Any:
        return _written(other) * self.expanded()

    def __matmul__(self, other: Any) -> Any:
        return self.expanded() @ _written(other)

    def __rmatmul__(self, other: Any) -> Any:
        return _written(other) @ self.expanded()

    def __truediv__(self, other: Any) -> Any:
        return self.expanded() / _written(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _written(other) / self.expanded()

    def __pow__(self, other: Any) -> Any:
        return self.expanded() ** _written(other)

    def __rpow__(self, other: Any) -> Any:
        return _written(other) ** self.expanded()

    def __gt__(self, other: Any) -> Any:
        return self.expanded() > _written(other)

    def __lt__(self, other: Any) -> Any:
        return self.expanded() < _written(other)

    def __ge__(self, other: Any) -> Any:
        return self.expanded() >= _written(other)

    def __le__(self, other: Any) -> Any:
        return self.expanded() <= _written(other)

    __iter__ = None  # to SymPy, too, it is one expression

    def __getitem__(self, key: Any) -> Any:
        return self.expanded()[key]

    @property
    def T(self) -> Any:
        """The transpose, a SymPy expression."""
        return self.expanded().T

    def subs(self, *replacements: Any) -> Any:
        """The SymPy expression with some parts replaced; arguments as of `sympy.Basic.subs`."""
        return self.expanded().subs(*replacements)

    def __call__(self, *values: Any, **named: Any) -> NoReturn:
        raise TypeError("a formula is no function; write sympile.lambdify(symbols, formula), which takes arrays")

    def __getattr__(self, name: str) -> NoReturn:
        own = INSTEAD.get(name)
        if own is not None:
            raise AttributeError(f"a formula has no {name!r}; write {own}", name=name)
        if not name.startswith("_") and hasattr(sp.Expr, name):
            raise AttributeError(f"a formula has no {name!r}; write formula.expanded().{name}, of SymPy", name=name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name)


def _written(other: Any) -> Any:
    """The other operand as SymPy has it: a formula as the expression that it is."""
    refuse_array(other, "a formula's arithmetic")
    return other.expanded() if isinstance(other, Arithmetic) else sp.sympify(other)


def _sum(left: Any, right: Any) -> Any:
    """left + right; SymPy's own words for a matrix beside a scalar name neither."""
    for whole, other in ((left, right), (right, left)):
        if getattr(whole, "is_Matrix", False) and not is_array(other) and other != 0:
            words = f"a formula of shape {shown(whole.shape)} and a scalar are added by sympile.add(formula, {other})"
            raise FormulaError(words)
    return left + right
