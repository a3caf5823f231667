"""What SymPy distorts before we see it, and what to write instead: one row per kind of distortion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.matrices.expressions.adjoint import Adjoint

from sympile.compiler.language import printing
from sympile.compiler.language.protocol import Ours
from sympile.compiler.language.sizes import is_array
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Distortion:
    """A SymPy object that does not mean what its writer meant."""

    name: str
    found: Callable[[Any], bool]
    words: str  # {0} is the object as printed


def advice(part: Any) -> str | None:
    """What to write instead of this SymPy object, or None if nothing is wrong with it (its parts are not looked at)."""
    if isinstance(part, (Ours, sp.Number, sp.MatrixSymbol)):
        return None
    for row in DISTORTIONS:
        if row.found(part):
            return row.words.format(printing.short(part))
    return None


def _takes_array(part: Any) -> bool:
    """Whether a function of scalars has been given a matrix or a tensor."""
    return isinstance(part, (sp.Function, sp.Pow)) and not part.is_Matrix and any(map(is_array, part.args))


def _takes_adjoint(part: Any) -> bool:
    """Whether it is A.H, or (A*A.H)**(1/2), which SymPy makes of Abs(A)."""
    return isinstance(part, Adjoint) or (isinstance(part, sp.MatPow) and any(map(_is_adjoint, part.base.args)))


def _is_adjoint(part: Any) -> bool:
    return isinstance(part, Adjoint)


def _compares_array(part: Any) -> bool:
    return isinstance(part, Relational) and any(map(is_array, part.args))


def _chooses_array(part: Any) -> bool:
    return isinstance(part, sp.Piecewise) and any(is_array(value) for value, _ in part.args)


def _sums_array(part: Any) -> bool:
    return isinstance(part, (sp.Add, sp.Mul)) and not part.is_Matrix and any(map(is_array, part.args))


def _uses_whole_base(part: Any) -> bool:
    """Whether an IndexedBase stands where one of its elements should."""
    arithmetic = isinstance(part, (sp.Add, sp.Mul, sp.Pow, sp.Function, sp.IndexedBase))
    return arithmetic and any(isinstance(arg, sp.IndexedBase) for arg in (part, *part.args))


# fmt: off
DISTORTIONS = (
    Distortion("function of a matrix", _takes_array,
               "{0}: SymPy's functions take scalars; write sympile.exp, sympile.tanh, ... for each entry"),
    Distortion("abs of a matrix", _takes_adjoint,
               "{0} is what SymPy makes of Abs(A); write sympile.abs(A), and A.T for the transpose"),
    Distortion("whole base", _uses_whole_base,
               "{0}: an IndexedBase without indices has no shape here; write K[i, j], or a sympile.Tensor"),
    Distortion("relation of matrices", _compares_array,
               "{0}: SymPy compares scalars only; write sympile.greater(A, B) or sympile.less(A, B)"),
    Distortion("sum of tensors", _sums_array,
               "{0}: sympy.Add and sympy.Mul take tensors for scalars; write + and *"),
    Distortion("array symbol", lambda part: isinstance(part, sp.NDimArray) or type(part).__name__ == "ArraySymbol",
               "{0} is one of SymPy's arrays; write a sympile.Tensor"),
    Distortion("choice of matrices", _chooses_array,
               "{0}: SymPy's Piecewise takes scalars; write sympile.where(condition, A, B)"),
    Distortion("not commutative", lambda part: part.is_commutative is False and not part.is_Matrix,
               "{0} is not commutative, so it is no real number; write a Symbol or a MatrixSymbol"),
)
# fmt: on
