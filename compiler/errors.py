"""Every error that sympile raises on purpose; the class says whose turn it is, the message what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module


class SympileError(Exception):
    """The root: `except sympile.SympileError` catches all of them."""


# ------------------------------------------------------------------------------------------- the caller's turn


class UsageError(SympileError):
    """The formula, the arrays or the arguments must change."""


class FormulaError(UsageError, ValueError):
    """The formula itself cannot be read."""


class UnknownFunction(FormulaError):
    """A function that has no row in compiler/rules/functions.py."""


class UnsupportedNode(FormulaError):
    """A SymPy object that has no meaning here."""


class ShapeError(FormulaError):
    """Two shapes that must agree do not; the message names both symbols and both shapes."""


class DuplicateName(FormulaError):
    """Two different symbols, or two intermediate values, share one name."""


class UnboundIndex(FormulaError):
    """An index that no Sum, binder or comprehension binds."""


class NonScalarLoss(FormulaError):
    """A loss must be one number per example."""


class UnusedParameter(FormulaError):
    """The loss does not depend on a parameter (list it in `allow_unused` if that is meant)."""


class NotDifferentiable(FormulaError):
    """An operation without a derivative row stands between the loss and a parameter."""


class ValuesError(UsageError, ValueError):
    """The arrays or numbers handed in do not fit the formula."""


class MissingValue(ValuesError):
    """A symbol of the formula has no value."""


class UnknownKey(ValuesError):
    """A value is given for something that the formula does not have."""


class UnknownName(UnknownKey, KeyError):
    """A result is asked for something that it does not hold; also a KeyError, so that `get` and `in` work."""

    __str__ = Exception.__str__    # KeyError would show the message in quotes, its line ends escaped


class ArrayShapeError(ShapeError, ValuesError):
    """An array's shape disagrees with its symbol's."""


class LengthMismatch(ValuesError):
    """Data arrays have different numbers of examples."""


class EmptyData(ValuesError):
    """There is no example at all."""


class DtypeError(ValuesError, TypeError):
    """Complex numbers, objects or strings where real numbers belong; fractions where integers belong."""


class IndexOutOfRange(ValuesError, IndexError):
    """A class number or a gather index lies outside its axis."""


class StationaryStart(UsageError, ValueError):
    """Every gradient is exactly 0 at the start, so no step would move: give `start=`."""


class FormulaTooLarge(UsageError, ValueError):
    """A formula has more operations than can be shown; it still compiles and runs."""


class ArgumentError(UsageError, ValueError):
    """An argument such as `epochs` or `rewrites` has a value that means nothing."""


# -------------------------------------------------------------------------------------- the environment's turn


class EnvironmentProblem(SympileError, RuntimeError):
    """Something outside the formula and the arrays is missing: a library, a processor feature, memory."""


# --------------------------------------------------------------------------------------------------- our turn


class InternalError(SympileError, RuntimeError):
    """A mistake of ours; please report it with the formula."""


# ---------------------------------------------------------------------------------------------- message helpers


def pointed(label: str, whole: str, part: str) -> str:
    """The line `label = whole` with a caret line under the first occurrence of `part`.

    Example:
        >>> print(pointed("loss", "w + f(x)", "f(x)"))
            loss = w + f(x)
                       ^^^^
    """
    at = _position(whole, part)
    if at < 0:
        return f"    {label} = {_shortened(whole, 0, 100)[0]}"
    text, start = _shortened(whole, at, 100)
    line = f"    {label} = "
    return f"{line}{text}\n{' ' * (len(line) + start)}{'^' * max(1, min(len(part), len(text) - start))}"


def _position(whole: str, part: str) -> int:
    """Where a part stands as a word of its own, so that i is not found in sin; where it begins at all otherwise."""
    word = re.search(rf"(?<!\w){re.escape(part)}(?!\w)", whole)
    return word.start() if word else whole.find(part)


def _shortened(whole: str, at: int, width: int) -> tuple[str, int]:
    """A window of the text around `at`, and where `at` stands in it."""
    if len(whole) <= width:
        return whole, at
    begin = max(0, min(at - width // 3, len(whole) - width))
    head, tail = "..." if begin else "", "..." if begin + width < len(whole) else ""
    return f"{head}{whole[begin : begin + width]}{tail}", at - begin + len(head)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is close."""
    difflib = import_module("difflib")  # optional: only mistakes need it
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def listed(words: Iterable[str]) -> str:
    """Names in the order given, comma-separated, in quotes."""
    return ", ".join(repr(word) for word in words)
