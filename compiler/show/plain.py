"""Definitions as one line of plain text each, for large programs too: `h[e, i] = tanh(v1[e, i])`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from sympile.compiler.graph.definition import EXAMPLE, EXAMPLES, Definition
from sympile.compiler.graph.node import Node, extent, index_name, number, postorder, target
from sympile.compiler.graph.table import TABLE
from sympile.compiler.records import dataclass

LONGEST = 400  # letters of one formula; the rest is cut off
LETTERS = "ijklmpqrsuvw"
COMPARED, ADDED, MULTIPLIED, RAISED, ATOM = range(5)  # how tightly a text holds together


@dataclass(frozen=True, slots=True)
class Written:
    """A part of a formula as text, and how tightly it holds together."""

    text: str
    tight: int = ATOM
    terms: tuple[str, ...] = ()  # of a sum

    def inside(self, tight: int) -> str:
        """In parentheses where it would come apart."""
        return self.text if self.tight >= tight else f"({self.text})"


@dataclass(frozen=True, slots=True)
class PlainText:
    """What values and indices are called."""

    names: Mapping[Definition, str]
    letters: Mapping[Node, str]

    def name(self, tensor: Definition) -> str:
        return self.names.get(tensor, tensor.name)

    def value(self, tensor: Definition) -> str:
        """`h[e, i]`"""
        return self.name(tensor) + _listed(self.letters.get(axis, index_name(axis)) for axis in tensor.axes)

    def formula(self, tensor: Definition) -> str:
        """`sum over j < 64 of W[i, j]*x[e, j]`"""
        if tensor.kind == "call":
            return f"{tensor.routine}({', '.join(self.name(o) for o in tensor.operands)})"
        if tensor.monoid is None:
            return self.node(tensor.formula).text
        inner = self.node(tensor.formula).inside(MULTIPLIED)
        return f"{_MONOIDS.get(tensor.monoid, tensor.monoid)} over {self.ranges(tensor.reduced)} of {inner}"

    def ranges(self, indices: Iterable[Node]) -> str:
        """`j < 64, k < n`"""
        return ", ".join(f"{self.letters.get(i, index_name(i))} < {size_text(extent(i))}" for i in indices)

    def node(self, root: Node) -> Written:
        """A scalar formula; iterative, and cut where it is too long."""
        known: dict[Node, Written] = {}
        for node in postorder([root]):
            made = self._one(node, [known[a] for a in node.args])
            known[node] = made if len(made.text) <= LONGEST else Written(f"{made.text[:LONGEST]}…", made.tight)
        return known[root]

    def _one(self, node: Node, parts: Sequence[Written]) -> Written:
        if node.op == "read":
            return Written(self.name(target(node)) + _listed(part.text for part in parts))
        if node.op == "index":
            return Written(self.letters.get(node, index_name(node)))
        if node is EXAMPLES:
            return Written("examples")
        if node.op == TABLE:
            return Written("numbers" + _listed(part.text for part in parts))
        build = _FORMS.get(node.op)
        return Written(f"{node.op}({', '.join(p.text for p in parts)})") if build is None else build(node, parts)


def letters_for(indices: Iterable[Node], taken: Iterable[str]) -> dict[Node, str]:
    """e for the examples, i, j, … for the others, but for letters that stand for something else."""
    used = set(taken)
    words = (word for turn in range(10**6) for c in LETTERS if (word := f"{c}{turn or ''}") not in used)
    own = {i: None for i in indices if i is not EXAMPLE}
    return {EXAMPLE: "e" if "e" not in used else "example", **{i: word for i, word in zip(own, words, strict=False)}}


def shape_text(tensor: Definition) -> str:
    """`examples×32`; of a number, 1."""
    return "×".join(size_text(n) for n in tensor.shape) or "1"


def size_text(length: Node) -> str:
    """A size, or an expression of sizes."""
    return PlainText({}, {}).node(length).text


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other; empty ones are left out."""
    kept = [k for k in range(len(rows[0])) if any(row[k] for row in rows[1:])]
    widths = {k: max(len(row[k]) for row in rows) for k in kept}
    return "\n".join("  ".join(f"{row[k]:<{widths[k]}}" for k in kept).rstrip() for row in rows)


# ------------------------------------------------------------------------------------------------ operations


def _listed(texts: Iterable[str]) -> str:
    joined = ", ".join(texts)
    return f"[{joined}]" if joined else ""


def _sum(node: Node, parts: Sequence[Written]) -> Written:
    """Terms with a plus first."""
    return _added([part.inside(ADDED) for part in parts])


def _added(texts: Iterable[str]) -> Written:
    terms = sorted(texts, key=lambda term: term.startswith("-"))
    joined = terms[0] + "".join(f" - {t[1:]}" if t[:1] == "-" else f" + {t}" for t in terms[1:])
    return Written(joined, ADDED, tuple(terms))


def _sign_inside(value: Fraction, parts: list[Written]) -> tuple[Fraction, list[Written]]:
    """-(a - b) as b - a."""
    at = next((k for k, part in enumerate(parts) if any(t.startswith("-") for t in part.terms)), None)
    if at is None or value > 0:
        return value, parts
    flipped = _added(t[1:] if t.startswith("-") else f"-{t}" for t in parts[at].terms)
    return -value, [*parts[:at], flipped, *parts[at + 1 :]]


def _product(node: Node, parts: Sequence[Written]) -> Written:
    """Sign, factors, and below the line those to a negative power."""
    value = number(node.args[0]) if node.args[0].op == "const" else 1
    if not math.isfinite(value):
        return Written("*".join(part.inside(MULTIPLIED) for part in parts), MULTIPLIED)
    factors = [(a, p) for a, p in zip(node.args, parts, strict=True) if a.op != "const"]
    under = [p.text[2:] for a, p in factors if _is_reciprocal(a)]
    value, above = _sign_inside(Fraction(value), [p for a, p in factors if not _is_reciprocal(a)])
    if value == 1 and not under and len(above) == 1:
        return above[0]
    exact = value.denominator < LONGEST
    size = str(abs(value.numerator)) if exact else f"{float(abs(value))!r}"
    front = [size] if size != "1" or not above else []
    under += [str(value.denominator)] if exact and value.denominator > 1 else []
    over = f"/{under[0] if len(under) == 1 else '(' + '*'.join(under) + ')'}" if under else ""
    factors_text = "*".join([*front, *[p.inside(MULTIPLIED) for p in above]])
    return Written(f"{'-' if value < 0 else ''}{factors_text}{over}", MULTIPLIED)


def _is_reciprocal(node: Node) -> bool:
    return node.op == "pow" and node.data < 0  # type: ignore[operator]


def _power(node: Node, parts: Sequence[Written]) -> Written:
    base, exponent = parts[0], Fraction(node.data)  # type: ignore[call-overload]
    size = abs(exponent)
    raised = (
        base.inside(ATOM) if size == 1 else f"{base.inside(ATOM)}**{size if size.denominator == 1 else f'({size})'}"
    )
    if exponent < 0:
        return Written(f"1/{raised}", MULTIPLIED)
    return Written(raised, ATOM if size == 1 else RAISED)


def _constant(node: Node, parts: Sequence[Written]) -> Written:
    value = number(node)
    shown = str(value) if isinstance(value, int) else f"{float(value)!r}"
    return Written(shown, ATOM if value >= 0 else ADDED)


def _guard(node: Node, parts: Sequence[Written]) -> Written:
    value, *conditions = parts
    return Written(f"where({' and '.join(c.inside(COMPARED) for c in conditions)}, {value.text}, 0)")


def _compared(sign: str) -> Callable[[Node, Sequence[Written]], Written]:
    def form(node: Node, parts: Sequence[Written]) -> Written:
        left, right = (part.inside(ADDED) for part in parts)
        return Written(f"{left} {sign} {right}", COMPARED)

    return form


def _joined(word: str) -> Callable[[Node, Sequence[Written]], Written]:
    def form(node: Node, parts: Sequence[Written]) -> Written:
        return Written(f" {word} ".join(part.inside(ADDED) for part in parts), COMPARED)

    return form


_MONOIDS = {"lse": "logsumexp", "prod": "product"}
_FORMS: Mapping[str, Callable[[Node, Sequence[Written]], Written]] = {
    "const": _constant,
    "constant": lambda node, parts: Written(str(node.data)),
    "size": lambda node, parts: Written(str(node.data)),
    "add": _sum,
    "mul": _product,
    "pow": _power,
    "when": _guard,
    "select": lambda node, parts: Written(f"where({', '.join(p.text for p in parts)})"),
    "eq": _compared("=="),
    "less": _compared("<"),
    "less_equal": _compared("<="),
    "equals": _compared("=="),
    "differs": _compared("!="),
    "ge": lambda node, parts: Written(f"{parts[0].inside(ADDED)} >= 0", COMPARED),
    "divides": lambda node, parts: Written(f"{node.data} divides {parts[0].inside(ADDED)}", COMPARED),
    "not": lambda node, parts: Written(f"not {parts[0].inside(ADDED)}", COMPARED),
    "and": _joined("and"),
    "or": _joined("or"),
}
