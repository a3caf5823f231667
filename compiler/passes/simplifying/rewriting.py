"""The record of a rewrite, and its text: the row's two sides with short operands in the holes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from sympile.compiler.graph.arithmetic import neg, power, split
from sympile.compiler.graph.definition import Definition
from sympile.compiler.graph.node import Node, index_name, make, number, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.passes.simplifying.filling import Bindings, Bound, holes
from sympile.compiler.records import dataclass
from sympile.compiler.rules.rewrites import Rewrite

SHORT = 8  # an operand with more operations is shown by its hole's letter
Names = Mapping[Definition, str]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A rewrite that was made.

    Attributes:
        name: the row of rules/rewrites.py, or of passes/simplifying/whole.py.
        before: what stood there, as text.
        after: what stands there now.
        why: the reason.

    Example:
        >>> print(Rewriting("softplus", "log(1 + exp(z))", "softplus(z)", "no overflow"))
        log(1 + exp(z)) → softplus(z): no overflow
    """

    name: str
    before: str
    after: str
    why: str

    def __str__(self) -> str:
        return f"{self.before} → {self.after}: {self.why}"


def recorded(row: Rewrite, bound: Bindings, names: Names) -> Rewriting:
    """The row as it was applied."""
    operands = {hole: shown for hole in holes(row.before) if (shown := _operand(bound[hole], names)) is not None}
    before, after = (written(_shown(side, operands), names) for side in (row.before, row.after))
    return Rewriting(row.name, before, after, row.note)


def _operand(value: Bound, names: Names) -> Node | None:
    """What stands for a hole in the text, where that is short."""
    if isinstance(value, Definition):
        name = names.get(value) or (value.name if value.kind == "input" else None)
        return None if name is None else make("hole", data=name)
    if isinstance(value, tuple) or not _is_short(value, names):
        return None
    return value


def _is_short(root: Node, names: Names) -> bool:
    """At most a few operations on named values."""
    count, stack = 0, [root]
    while stack:
        node = stack.pop()
        count += 1
        if count > SHORT or (node.op == "read" and _name(node, names) is None):
            return False
        if node.op != "read":
            stack.extend(node.args)
    return True


def _shown(side: Node, operands: Mapping[Node, Node]) -> Node:
    """A row's side with operands in its holes, in normal form where it is a formula."""
    if side.op == "hole":
        return operands.get(side, side)
    args = tuple([_shown(arg, operands) for arg in side.args])
    if side.op == "raised" and args[1].op == "const":
        return power(args[0], number(args[1]))
    if not args or side.op in ("each", "over", "call", "gram", "raised"):
        return make(side.op, *args, data=side.data)
    return rebuild(side, args)


# ------------------------------------------------------------------------------------------------ text

_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly a text binds

Text = tuple[str, int]


def written(node: Node, names: Names) -> str:
    """A small formula, or a row's side, in the usual notation; indices are left out."""
    return _text(node, names)[0]


def _text(node: Node, names: Names) -> Text:
    rule = _TEXTS.get(node.op)
    if rule is not None:
        return rule(node, names)
    if not node.args:
        return str(node.data), _ATOM
    return f"{node.op}({', '.join(_text(a, names)[0] for a in node.args)})", _ATOM


def _tight(node: Node, level: int, names: Names) -> str:
    text, own = _text(node, names)
    return text if own >= level else f"({text})"


def _add_text(node: Node, names: Names) -> Text:
    terms = sorted(node.args, key=lambda t: (split(t)[0] < 0, t.op != "const"))
    text = ""
    for term in terms:
        part = _tight(term, _PRODUCT, names)
        text += part if not text else f" - {part[1:]}" if part.startswith("-") else f" + {part}"
    return text, _SUM


def _mul_text(node: Node, names: Names) -> Text:
    coefficient, rest = split(node)
    if rest.op == "add" and coefficient == -1:
        return _add_text(make("add", *[neg(t) for t in rest.args]), names)
    over = [f for f in node.args if f.op == "pow" and f.data == -1]
    above = [f for f in node.args if f not in over]
    minus = "-" if coefficient == -1 else ""
    product = "*".join(_tight(f, _POWER, names) for f in above[bool(minus) :]) or "1"
    return "/".join([minus + product, *(_tight(f.args[0], _ATOM, names) for f in over)]), _PRODUCT


def _pow_text(node: Node, names: Names) -> Text:
    exponent = Fraction(number(node))
    base = node.args[0]
    if exponent == Fraction(1, 2):
        return f"sqrt({_text(base, names)[0]})", _ATOM
    if exponent == -1:
        return f"1/{_tight(base, _ATOM, names)}", _PRODUCT
    shown = str(exponent) if exponent.denominator == 1 and exponent > 0 else f"({exponent})"
    return f"{_tight(base, _ATOM, names)}^{shown}", _POWER


def _name(read: Node, names: Names) -> str | None:
    tensor = target(read)
    return names.get(tensor) or (tensor.name if tensor.kind == "input" else None)


def _raised_text(node: Node, names: Names) -> Text:
    return f"{_tight(node.args[0], _ATOM, names)}^{_tight(node.args[1], _ATOM, names)}", _POWER


def _prefixed(name: Callable[[Node], str]) -> Callable[[Node, Names], Text]:
    return lambda node, names: (f"{name(node)}({_text(node.args[0], names)[0]})", _ATOM)


_TEXTS: Mapping[str, Callable[[Node, Names], Text]] = {
    "add": _add_text,
    "mul": _mul_text,
    "pow": _pow_text,
    "raised": _raised_text,
    "read": lambda node, names: (_name(node, names) or "...", _ATOM),
    "index": lambda node, names: (index_name(node), _ATOM),
    "over": _prefixed(lambda node: str(node.data)),
    "each": _prefixed(lambda node: "sum" if node.data == "add" else str(node.data)),
    "call": _prefixed(lambda node: str(node.data)),
    "gram": lambda node, names: (f"{(text := _tight(node.args[0], _ATOM, names))}*{text}.T", _PRODUCT),
}
