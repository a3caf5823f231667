"""Tensors: arrays of any rank with NumPy's arithmetic, broadcasting and indexing, on nodes of their own.

SymPy's `Add` and `Mul` would treat a tensor as a number: `X - X` would be 0, without a shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from sympile.compiler.errors import ArgumentError, FormulaError, ShapeError
from sympile.compiler.language.indexing import entries_of, place
from sympile.compiler.language.intake import axes_of, integer, operand
from sympile.compiler.language.matrix import MatrixFunction
from sympile.compiler.language.nodes import Head, Interned
from sympile.compiler.language.scalar import ScalarFunction
from sympile.compiler.language.shapes import RULES, infer
from sympile.compiler.language.sizes import Shape, mismatch, product, shape_of, shown, size


class TensorExpr(Interned, sp.Expr):  # type: ignore[misc]
    """What tensors can do; a `Tensor`, a `TensorFunction`, or a comprehension."""

    is_commutative = True
    is_number = False
    _op_priority = 12.0  # above scalars and matrices, so that `s*X` and `W + X` ask us
    _iterable = False  # to SymPy, which would flatten it
    __array_ufunc__ = None  # so that NumPy's operators ask us, too

    def _stand_in(self, number: int) -> Any:
        return Tensor(f"_aside_{number}_{self._serial}", self.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    # ---------------------------------------------------------------------------------- arithmetic, elementwise

    def __add__(self, other: Any) -> Any:
        return self if _is_zero(other) else build("add", self, operand(other, "+"))

    def __radd__(self, other: Any) -> Any:
        return self if _is_zero(other) else build("add", operand(other, "+"), self)

    def __sub__(self, other: Any) -> Any:
        return build("sub", self, operand(other, "-"))

    def __rsub__(self, other: Any) -> Any:
        return build("sub", operand(other, "-"), self)

    def __mul__(self, other: Any) -> Any:
        return build("mul", self, operand(other, "*"))

    def __rmul__(self, other: Any) -> Any:
        left = operand(other, "*")
        if left.is_Matrix:  # SymPy calls this for W @ X, too, and does not say which it was
            raise FormulaError(f"{left}*{self}: write {self}*{left} for each entry, matmul({left}, {self}) for @")
        return build("mul", left, self)

    def __truediv__(self, other: Any) -> Any:
        return build("div", self, operand(other, "/"))

    def __rtruediv__(self, other: Any) -> Any:
        return build("div", operand(other, "/"), self)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        if modulo is not None:
            raise FormulaError("pow with a modulus has no meaning for tensors")
        return build("pow", self, operand(other, "**"))

    def __rpow__(self, other: Any) -> Any:
        return build("pow", operand(other, "**"), self)

    def __neg__(self) -> Any:
        return build("neg", self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return build("abs", self)

    def __gt__(self, other: Any) -> Any:
        return build("greater", self, operand(other, ">"))

    def __lt__(self, other: Any) -> Any:
        return build("less", self, operand(other, "<"))

    def __ge__(self, other: Any) -> Any:
        raise FormulaError(f"{self} >= {other}: write greater or less (they differ only at ties)")

    def __le__(self, other: Any) -> Any:
        raise FormulaError(f"{self} <= {other}: write greater or less (they differ only at ties)")

    def __matmul__(self, other: Any) -> Any:
        return build("matmul", self, operand(other, "@"))

    def __rmatmul__(self, other: Any) -> Any:
        return build("matmul", operand(other, "@"), self)

    # --------------------------------------------------------------------------------------- parts and views

    def __getitem__(self, key: Any) -> Any:
        entries, symbolic = entries_of(self, self.shape, key)
        if all(kind in ("index", "at") for kind, *_ in entries):
            indices = [
                symbolic[entry[1] - 1] if entry[0] == "at" else place(extent, entry[1])
                for entry, extent in zip(entries, self.shape, strict=True)
            ]
            return build("element", self, *indices)
        return build("item", self, *symbolic, options=entries)

    def __iter__(self) -> Iterator[Any]:
        if not self.shape[0].is_Integer:
            raise ShapeError(f"cannot go through {self}, {shown(self.shape)}: its first size is not a number")
        return (self[position] for position in range(int(self.shape[0])))

    @property
    def T(self) -> Any:
        """The tensor with its axes reversed."""
        return self.transpose()

    def transpose(self, *axes: Any) -> Any:
        """The tensor with its axes in another order; without an order, reversed.

        Args:
            axes: all axes, each once, as numbers or as one tuple.
        """
        given = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
        order = tuple(integer(axis, "transpose") % self.ndim for axis in given) or tuple(reversed(range(self.ndim)))
        if sorted(order) != list(range(self.ndim)):
            raise ShapeError(f"transpose{tuple(given)} of {self}, {shown(self.shape)}: name each axis once")
        return self if order == tuple(range(self.ndim)) else build("transpose", self, options=(order,))

    def reshape(self, *shape: Any) -> Any:
        """The same entries, in C order, in another shape; one size may be -1.

        Args:
            shape: the sizes, as numbers and Symbols or as one tuple.
        """
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list, sp.Tuple)) else shape
        return build("reshape", self, sp.Tuple(*_completed(self, tuple(given))))

    # ------------------------------------------------------------------------- reductions: all axes by default

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The sum over an axis or several; by default over all, as in NumPy."""
        return self._over("sum", axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The mean over an axis or several; by default over all."""
        return self._over("mean", axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The largest entry along an axis or several; by default of all."""
        return self._over("max", axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The smallest entry along an axis or several; by default of all."""
        return self._over("min", axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Any:
        """The product over an axis or several; by default over all."""
        return self._over("prod", axis, keepdims)

    def dot(self, other: Any) -> Any:
        """The dot product of two vectors; otherwise the matrix product, as `@`."""
        right = operand(other, "dot")
        vectors = self.ndim == 1 and sum(extent != 1 for extent in shape_of(right)) <= 1
        return build("dot" if vectors else "matmul", self, right)

    def _over(self, operation: str, axis: Any, keepdims: bool) -> Any:
        return build(operation, self, options=(axes_of(operation, self.shape, axis), bool(keepdims)))


class Tensor(TensorExpr):
    """A symbol for an array of any rank.

    Args:
        name: what formulas call it.
        shape: the sizes; each is a nonnegative integer, a Symbol, or an expression of Symbols.

    Raises:
        ArgumentError: a size is no size, or the name is empty.

    Example:
        >>> import sympile as sm
        >>> X, b = sm.Tensor("X", (28, 28)), sm.Tensor("b", (28,))
        >>> (sm.tanh(X)*2 + b).shape
        (28, 28)
    """

    is_symbol = True

    def __new__(cls, name: Any, *shape: Any) -> Any:
        """The tensor with this name and this shape; one without axes is a `sympy.Symbol`."""
        if isinstance(name, Head):  # SymPy rebuilds a node from its args
            return super().__new__(cls, name, *shape)
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"Tensor: a name is a string with letters, not {name!r}")
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list, sp.Tuple)) else shape
        sizes = tuple(size(extent, f"Tensor({name!r})") for extent in given)
        return super().__new__(cls, Head("tensor", (name,)), *sizes) if sizes else sp.Symbol(name)

    @property
    def name(self) -> str:
        """What formulas call it."""
        return str(self.options[0])

    @property
    def operands(self) -> tuple[Any, ...]:
        """A symbol has none; its sizes stand in `args`."""
        return ()

    def _infer_shape(self) -> Shape:
        return tuple(self.args[1:])

    def _find_free_symbols(self) -> frozenset[Any]:
        return frozenset()

    @property
    def free_symbols(self) -> set[Any]:
        """Itself; sizes are no variables, as for `sympy.MatrixSymbol`."""
        return {self}

    def _replaced(self, rule: Any) -> Any:
        sizes = tuple(extent._xreplace(rule)[0] for extent in self.shape)
        return self if sizes == self.shape else self._rebuilt(sizes)

    def _substituted(self, old: Any, new: Any, memo: Any, hints: Any) -> Any:
        sizes = tuple(extent._subs(old, new) for extent in self.shape)
        return self if sizes == self.shape else self._rebuilt(sizes)


class TensorFunction(TensorExpr):
    """A tensor made by one of our operations; made by operators, methods and functions, never directly."""

    def _infer_shape(self) -> Shape:
        shape = infer(self.operation, self.operands, self.options)
        if not shape:
            raise ShapeError(f"{self.operation}: the result is a scalar, not a tensor")
        if self.operation not in RULES:
            self._check_columns()
        return shape

    def _check_columns(self) -> None:
        """A column beside a vector of rank 1 would stretch to a square, which nobody means."""
        vector = any(isinstance(one, TensorExpr) and one.ndim == 1 for one in self.operands)
        column = any(one.is_Matrix and shape_of(one)[1] == 1 and shape_of(one) != (1, 1) for one in self.operands)
        if vector and column:
            raise mismatch(self.operation, self.operands, "a column and a vector of rank 1; write X.reshape(k, 1)")


def build(operation: str, *operands: Any, options: tuple[Any, ...] = ()) -> Any:
    """The node for an operation: a tensor if an operand is one, else a matrix, else (or without axes) a scalar.

    Raises:
        ShapeError: the operands do not fit each other.
    """
    if not infer(operation, operands, options):
        kind: type[Interned] = ScalarFunction
    elif any(isinstance(one, TensorExpr) for one in operands):
        kind = TensorFunction
    else:
        kind = MatrixFunction
    return kind(Head(operation, options), *operands)


def _completed(tensor: TensorExpr, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The sizes of a reshape with -1 worked out."""
    unknown = [position for position, extent in enumerate(sizes) if extent == -1]
    if not unknown:
        return tuple(size(extent, "reshape") for extent in sizes)
    known = tuple(size(extent, "reshape") for extent in sizes if extent != -1)
    rest = sp.cancel(product(tensor.shape) / product(known)) if product(known) != 0 else sp.nan
    if len(unknown) > 1 or not rest.is_polynomial() or (rest.is_number and not rest.is_Integer):
        raise ShapeError(f"reshape of {tensor}, {shown(tensor.shape)}, to {shown(sizes)}: what is -1?")
    return (*known[: unknown[0]], rest, *known[unknown[0] :])


def _is_zero(value: Any) -> bool:
    """Whether it is the plain 0 with which Python's `sum` starts."""
    return type(value) is int and value == 0
