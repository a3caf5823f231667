"""Linear and quadratic forms: c.T x and x.T A x, found again in sums over the entries of a vector times numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction

from sympile.compiler.graph.arithmetic import add, factors_of, mul, split, terms_of
from sympile.compiler.graph.brackets import equal
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, elementwise, read
from sympile.compiler.graph.node import Node, Number, const, index, number, target
from sympile.compiler.graph.reduce import total

FEWEST_TERMS = 4  # a shorter sum is read at a glance
MOST_ENTRIES = 64

Places = tuple[int, ...]
Terms = dict[Places, Number]  # at which entries, in order -> times which number


def with_forms(node: Node) -> Node:
    """A sum in which numbers times entries of a vector, or times products of two of them, are matrix products.

    Only where every entry of the vector occurs: x[0] + 2 x[1] of a longer x is no form of x. Sums of entries, and of
    squares, that all stand with one number stay as they were written.
    """
    if node.op != "add":
        return node
    found: dict[tuple[Definition, int], dict[Places, Node]] = {}
    others = []
    for term in terms_of(node):
        entries = _entries(term)
        if entries is None:
            others.append(term)
        else:
            vector, places = entries
            found.setdefault((vector, len(places)), {})[places] = term
    forms = {key: {places: split(term)[0] for places, term in terms.items()} for key, terms in found.items()}
    whole = {key: form for key, form in forms.items() if _is_whole(key[0], form)}
    if not whole:
        return node
    single = [term for key, terms in found.items() if key not in whole for term in terms.values()]
    return add(*others, *single, *[_form(vector, form) for (vector, _), form in whole.items()])


def _entries(term: Node) -> tuple[Definition, Places] | None:
    """A number times x[j] as (x, (j,)), times x[j] x[k] or x[j]² as (x, (j, k)); None for any other term."""
    _, product = split(term)
    factors = [f for factor in factors_of(product) for f in _twice(factor)]
    if not 0 < len(factors) < 3 or not all(_is_entry(f) for f in factors):
        return None
    vectors = {target(f) for f in factors}
    return None if len(vectors) > 1 else (vectors.pop(), tuple(sorted(int(number(f.args[0])) for f in factors)))


def _twice(factor: Node) -> tuple[Node, ...]:
    return (factor.args[0],) * 2 if factor.op == "pow" and factor.data == 2 else (factor,)


def _is_entry(factor: Node) -> bool:
    if factor.op != "read" or len(factor.args) != 1:
        return False
    (length,) = target(factor).shape
    return factor.args[0].op == "const" and length.op == "const" and number(length) <= MOST_ENTRIES


def _is_whole(vector: Definition, form: Terms) -> bool:
    places = {k for at in form for k in at}
    tells_apart = len(set(form.values())) > 1 or any(len(set(at)) > 1 for at in form)
    return len(form) >= FEWEST_TERMS and len(places) == number(vector.shape[0]) and tells_apart


def _form(vector: Definition, form: Terms) -> Node:
    """sum of c[k] x[k], or of x[j] A[j, k] x[k] with a symmetric A."""
    axes = [index(vector.shape[0]) for _ in next(iter(form))]
    sign = leading_sign(form.values())
    matrix = matrix_of_numbers(axes, [(at, sign * value) for at, value in _symmetric(form).items()])
    return mul(const(sign), total(axes, mul(read(matrix, *axes), *[read(vector, axis) for axis in axes])))


def _symmetric(form: Terms) -> Terms:
    """Both halves of what belongs to a pair."""
    both: Terms = {}
    for places, value in form.items():
        swapped = places[::-1]
        both[places] = both[swapped] = value if swapped == places else Fraction(value) / 2
    return both


def leading_sign(numbers: Collection[Number]) -> int:
    """-1 where most are negative, so that a matrix of them shows few signs."""
    return -1 if 2 * sum(value < 0 for value in numbers) > len(numbers) else 1


def matrix_of_numbers(axes: Sequence[Node], entries: Iterable[tuple[Places, Number]]) -> Definition:
    """A definition that lists numbers, [i == 0] 2 + [i == 3] 5 and so on; those of one place are added up."""
    listed = [
        when(const(value), *[equal(axis, const(k)) for axis, k in zip(axes, places, strict=True)])
        for places, value in entries
    ]
    return elementwise(axes, add(*listed))
