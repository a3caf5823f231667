"""How nodes of ours print, as text and as LaTeX: operation → form; without a row, as a function call.

Only `operation`, `operands`, `options` and `shape` of a node are read here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pretty.stringpict import prettyForm
from sympy.printing.str import StrPrinter

Form = Callable[[Any, Any], str]  # (node, printer) → text

ADD, MUL, POW, ATOM = (int(PRECEDENCE[kind]) for kind in ("Add", "Mul", "Pow", "Atom"))

# fmt: off
INFIX = {  # operation: (text, LaTeX, how tightly it binds)
    "add":    (" + ", " + ",        ADD),
    "sub":    (" - ", " - ",        ADD),
    "mul":    ("*",   r" \circ ",   MUL),
    "div":    ("/",   r" \oslash ", MUL),
    "matmul": (" @ ", " ",          MUL),
    "pow":    ("**",  r"^{\circ ",  POW),
}
NAMES_IN_LATEX = {  # the others are set as \operatorname{name}
    "exp": r"\exp", "log": r"\log", "sin": r"\sin", "cos": r"\cos", "tan": r"\tan", "asin": r"\arcsin",
    "acos": r"\arccos", "atan": r"\arctan", "sinh": r"\sinh", "cosh": r"\cosh", "tanh": r"\tanh",
    "max": r"\max", "min": r"\min",
}
# fmt: on


def short(expression: Any, width: int = 72) -> str:
    """An expression for a message: not deeper than eight levels, not longer than `width` letters."""
    whole = _Shallow().doprint(expression)
    return whole if len(whole) <= width else f"{whole[: width - 3]}..."


class _Shallow(StrPrinter):  # type: ignore[misc]
    """SymPy's printer that stops eight levels down: a deep formula with shared parts prints without end."""

    def _print(self, expr: Any, **kwargs: Any) -> str:
        return "..." if self._print_level > 8 else str(super()._print(expr, **kwargs))


def precedence_of(node: Any) -> int:
    """How tightly the printed form of a node binds."""
    if node.operation in INFIX:
        return INFIX[node.operation][2]
    return MUL if node.operation == "neg" else ATOM


def text(node: Any, printer: Any) -> str:
    """The plain form."""
    if node.operation in INFIX:
        return _infix(node, printer, INFIX[node.operation][0])
    return TEXT.get(node.operation, _call)(node, printer)


def latex(node: Any, printer: Any, exponent: str | None) -> str:
    """The LaTeX form; with an exponent, raised to it."""
    form = _latex_infix if node.operation in INFIX else LATEX.get(node.operation, _latex_call)
    plain = form(node, printer)
    return plain if exponent is None else rf"\left({plain}\right)^{{{exponent}}}"


def pretty(node: Any) -> Any:
    """The plain form on one line, for `sympy.pprint`."""
    form = prettyForm(sp.sstr(node))
    form.binding = prettyForm.ATOM if precedence_of(node) == ATOM else prettyForm.ADD
    return form


# ----------------------------------------------------------------------------------------------------- plain


def _infix(node: Any, printer: Any, sign: str) -> str:
    left, right = node.operands
    tight = precedence_of(node)
    start = printer.parenthesize(left, tight, strict=node.operation != "pow")
    if node.operation == "add" and right.is_Number and right.is_negative:
        return f"{start} - {printer._print(-right)}"
    if node.operation == "add" and _is_negated(right):
        return f"{start} - {printer.parenthesize(-right, tight, strict=False)}"
    return f"{start}{sign}{printer.parenthesize(right, tight)}"


def _is_negated(term: Any) -> bool:
    """Whether it is minus a single term, of any kind."""
    return (term.is_Mul or isinstance(term, sp.MatMul)) and bool(term.could_extract_minus_sign())


def _negative(node: Any, printer: Any) -> str:
    return f"-{printer.parenthesize(node.operands[0], MUL)}"


def _call(node: Any, printer: Any) -> str:
    return f"{node.operation}({', '.join(printer._print(operand) for operand in node.operands)})"


def _over_axes(node: Any, printer: Any) -> str:
    words = [printer._print(node.operands[0]), *_axis_words(node), *_order_words(node)]
    return f"{node.operation}({', '.join(words)})"


def _axis_words(node: Any) -> list[str]:
    """`axis=…` unless it is the default, `keepdims=True` where a tensor keeps axes that it reduced."""
    axes = node.options[0]
    shape = node.operands[0].shape
    long = [axis for axis, size in enumerate(shape) if size != 1]
    everything = len(axes) == len(shape) and len(shape) > 1
    matrix = node.operands[0].is_Matrix
    default = {long[0]} if matrix and len(long) == 1 else {len(shape) - 1}
    if everything and matrix and len(long) < 2:
        words = []
    elif everything:
        words = ["axis=None"]
    else:
        words = [] if set(axes) == default else [f"axis={axes[0] if len(axes) == 1 else axes}"]
    kept = len(node.options) > 1 and node.options[1] and not matrix
    return [*words, "keepdims=True"] if kept else words


def _along_axis(node: Any, printer: Any) -> str:
    words = [printer._print(node.operands[0]), *[word for word in _axis_words(node) if word.startswith("axis=")]]
    return f"{node.operation}({', '.join([*words, *(['reverse=True'] if node.options[1] else [])])})"


def _order_words(node: Any) -> list[str]:
    return [f"p={node.options[2]}"] if node.operation == "norm" and node.options[2] != 2 else []


def _name(node: Any, printer: Any) -> str:
    return str(node.options[0])


def _element(node: Any, printer: Any) -> str:
    tensor, *indices = node.operands
    return f"{_tightly(tensor, printer)}[{', '.join(map(printer._print, indices))}]"


def _item(node: Any, printer: Any) -> str:
    return f"{_tightly(node.operands[0], printer)}[{', '.join(_entry(entry, node, printer) for entry in node.options)}]"


def _entry(entry: Any, node: Any, printer: Any) -> str:
    """One entry of an index in brackets, as it was written."""
    kind, *values = entry
    if kind == "slice":
        start, stop, step = ("" if value is None else str(value) for value in values)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if kind == "at":
        return str(printer._print(node.operands[values[0]]))
    return "None" if kind == "new" else str(values[0])


def _transpose(node: Any, printer: Any) -> str:
    axes = node.options[0]
    if axes == tuple(reversed(range(len(axes)))):
        return f"{_tightly(node.operands[0], printer)}.T"
    return f"{_tightly(node.operands[0], printer)}.transpose{axes}"


def _reshape(node: Any, printer: Any) -> str:
    sizes = ", ".join(map(printer._print, node.operands[1]))
    return f"{_tightly(node.operands[0], printer)}.reshape({sizes})"


def _comprehension(node: Any, printer: Any) -> str:
    body, *limits = node.operands
    ranges = ", ".join(f"{printer._print(index)} < {printer._print(extent)}" for index, extent in limits)
    return f"[{printer._print(body)} for {ranges}]"


def _branches(node: Any, printer: Any) -> list[tuple[str, str]]:
    """Each value of a Piecewise with its condition, printed."""
    printed = [printer._print(operand) for operand in node.operands]
    return list(zip(printed[::2], printed[1::2], strict=True))


def _piecewise(node: Any, printer: Any) -> str:
    return f"Piecewise({', '.join(f'({value}, {condition})' for value, condition in _branches(node, printer))})"


def _tightly(operand: Any, printer: Any) -> str:
    return str(printer.parenthesize(operand, ATOM, strict=True))


# ----------------------------------------------------------------------------------------------------- LaTeX


def _latex_infix(node: Any, printer: Any) -> str:
    left, right = node.operands
    tight = precedence_of(node)
    start = printer.parenthesize(left, tight, strict=node.operation != "pow")
    if node.operation == "pow":
        return f"{start}{INFIX['pow'][1]}{printer._print(right)}}}"
    if node.operation == "div":
        return rf"\frac{{{printer._print(left)}}}{{{printer._print(right)}}}"
    if node.operation == "add" and right.is_Number and right.is_negative:
        return f"{start} - {printer._print(-right)}"
    return f"{start}{INFIX[node.operation][1]}{printer.parenthesize(right, tight)}"


def _latex_call(node: Any, printer: Any) -> str:
    operands = ", ".join(printer._print(operand) for operand in node.operands)
    return rf"{_latex_name(node.operation)}\left({operands}\right)"


def _latex_name(operation: str) -> str:
    escaped = operation.replace("_", r"\_")
    return NAMES_IN_LATEX.get(operation, rf"\operatorname{{{escaped}}}")


def _latex_over_axes(node: Any, printer: Any) -> str:
    words = [word.removeprefix("axis=") for word in _axis_words(node) if word.startswith("axis=")]
    below = rf"_{{\mathrm{{axis}}\ {words[0]}}}" if words and words[0] != "None" else ""
    return rf"{_latex_name(node.operation)}{below}\left({printer._print(node.operands[0])}\right)"


def _latex_along_axis(node: Any, printer: Any) -> str:
    """An arrow says that it goes from the last entry to the first."""
    whole = _latex_over_axes(node, printer)
    name = _latex_name(node.operation)
    return rf"\overleftarrow{{{name}}}{whole.removeprefix(name)}" if node.options[1] else whole


def _latex_norm(node: Any, printer: Any) -> str:
    order = r"\infty" if node.options[2] == float("inf") else node.options[2]
    return rf"\left\| {printer._print(node.operands[0])} \right\|_{{{order}}}"


def _latex_symbol(node: Any, printer: Any) -> str:
    return str(printer._print(sp.Symbol(node.options[0])))


def _latex_element(node: Any, printer: Any) -> str:
    tensor, *indices = node.operands
    return f"{{{_tightly(tensor, printer)}}}_{{{', '.join(map(printer._print, indices))}}}"


def _latex_item(node: Any, printer: Any) -> str:
    entries = ", ".join(_entry(entry, node, printer) for entry in node.options)
    return rf"{_tightly(node.operands[0], printer)}\left[{entries}\right]"


def _latex_transpose(node: Any, printer: Any) -> str:
    axes = node.options[0]
    above = "T" if axes == tuple(reversed(range(len(axes)))) else f"T({', '.join(map(str, axes))})"
    return f"{_tightly(node.operands[0], printer)}^{{{above}}}"


def _latex_reshape(node: Any, printer: Any) -> str:
    sizes = r" \times ".join(map(printer._print, node.operands[1]))
    return rf"\operatorname{{reshape}}_{{{sizes}}}\left({printer._print(node.operands[0])}\right)"


def _latex_comprehension(node: Any, printer: Any) -> str:
    body, *limits = node.operands
    ranges = ", ".join(f"{printer._print(index)} < {printer._print(extent)}" for index, extent in limits)
    return rf"\left[{printer._print(body)}\right]_{{{ranges}}}"


BREAK = r" \\ "


def _latex_piecewise(node: Any, printer: Any) -> str:
    *branches, (value, condition) = _branches(node, printer)
    last = rf"{value} & \text{{otherwise}}" if node.operands[-1] is sp.true else rf"{value} & {condition}"
    lines = [*(rf"{value} & {condition}" for value, condition in branches), last]
    return rf"\begin{{cases}} {BREAK.join(lines)} \end{{cases}}"


def _latex_bound(node: Any, printer: Any) -> str:
    body, *limits = node.operands
    ranges = ", ".join(rf"{printer._print(low)} \leq {printer._print(i)} \leq {printer._print(high)}"
                       for i, low, high in limits)  # fmt: skip
    sign = {"Maximum": r"\max", "Minimum": r"\min"}.get(node.operation, r"\operatorname{logsumexp}")
    return rf"{sign}_{{{ranges}}} {printer.parenthesize(body, MUL)}"


def _latex_between(start: str, stop: str) -> Form:
    return lambda node, printer: f"{start}{printer._print(node.operands[0])}{stop}"


def _latex_dot(node: Any, printer: Any) -> str:
    left, right = (printer.parenthesize(operand, MUL) for operand in node.operands)
    return rf"{left} \cdot {right}"


CUMULATIVE = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")

# fmt: off
TEXT: dict[str, Form] = {
    "neg":           _negative,
    "named":         _name,
    "tensor":        _name,
    "element":       _element,
    "item":          _item,
    "transpose":     _transpose,
    "reshape":       _reshape,
    "comprehension": _comprehension,
    "piecewise":     _piecewise,
    **dict.fromkeys(("softmax", "log_softmax", "sum", "prod", "mean", "max", "min", "norm", "logsumexp"), _over_axes),
    **dict.fromkeys(CUMULATIVE, _along_axis),
}
LATEX: dict[str, Form] = {
    "neg":           lambda node, printer: f"- {printer.parenthesize(node.operands[0], MUL)}",
    "named":         _latex_symbol,
    "tensor":        _latex_symbol,
    "element":       _latex_element,
    "item":          _latex_item,
    "transpose":     _latex_transpose,
    "reshape":       _latex_reshape,
    "comprehension": _latex_comprehension,
    "piecewise":     _latex_piecewise,
    **dict.fromkeys(("softmax", "log_softmax", "sum", "prod", "mean", "max", "min", "logsumexp"), _latex_over_axes),
    **dict.fromkeys(CUMULATIVE, _latex_along_axis),
    "norm":          _latex_norm,
    "abs":           _latex_between(r"\left|", r"\right|"),
    "sqrt":          _latex_between(r"\sqrt{", "}"),
    "dot":           _latex_dot,
    **dict.fromkeys(("Maximum", "Minimum", "LogSumExp"), _latex_bound),
}
# fmt: on
