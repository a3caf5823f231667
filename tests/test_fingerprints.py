"""Fingerprints of formulas: different ones differ, and labels do not count."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sympile.compiler.errors import InternalError
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import Definition, define, elementwise, input_tensor, read
from sympile.compiler.graph.fingerprint import fingerprint
from sympile.compiler.graph.node import Node, const, index, make, size

i, j = index(const(3), "i"), index(const(3), "j")
A, B, C = input_tensor("A", [const(3)]), input_tensor("B", [const(3)]), input_tensor("C", [const(3), const(3)])


def single(body: Node) -> list[Definition]:
    return [elementwise((i,), body)]


# fmt: off
DIFFERENT: dict[str, list[Definition]] = {
    "A":                      [A],
    "B":                      [B],
    "A and B":                [A, B],
    "B and A":                [B, A],
    "a parameter":            [input_tensor("A", [const(3)], "parameter")],
    "of integers":            [input_tensor("A", [const(3)], "data", True)],
    "longer":                 [input_tensor("A", [const(4)])],
    "of any size":            [input_tensor("A", [size("3")])],
    "a name like a number":   [input_tensor("3", [const(3)])],
    "sum":                    single(add(read(A, i), read(B, i))),
    "product":                single(mul(read(A, i), read(B, i))),
    "with a half":            single(mul(const(Fraction(1, 2)), read(A, i))),
    "with two":               single(mul(const(2), read(A, i))),
    "square":                 single(power(read(A, i), 2)),
    "root":                   single(power(read(A, i), Fraction(1, 2))),
    "diagonal":               single(read(C, i, i)),
    "transposed":             [elementwise((i, j), read(C, j, i))],
    "sum over columns":       [define((i,), (j,), "sum", read(C, i, j))],
    "sum over rows":          [define((i,), (j,), "sum", read(C, j, i))],
    "largest of columns":     [define((i,), (j,), "max", read(C, i, j))],
    "pi":                     single(mul(make("constant", data="pi"), read(A, i))),
    "e":                      single(mul(make("constant", data="E"), read(A, i))),
}
# fmt: on


def test_different_formulas_have_different_fingerprints() -> None:
    texts = {name: fingerprint(tensors) for name, tensors in DIFFERENT.items()}
    assert len(set(texts.values())) == len(texts)


def test_labels_do_not_count() -> None:
    """What a process has made before numbers its definitions."""

    def formula() -> Definition:
        inner = define((i,), (j,), "sum", mul(read(C, i, j), read(B, j)))
        return elementwise((i,), power(read(inner, i), 5))

    first, label = fingerprint([formula()]), formula().name
    for k in range(5):
        elementwise((i,), add(read(A, i), const(k + 100)))
    assert formula().name != label
    assert fingerprint([formula()]) == first


def test_unknown_data_is_refused() -> None:
    with pytest.raises(InternalError, match="a node holds a _Strange"):
        fingerprint([], [make("const", data=_Strange())])


class _Strange(bytearray):
    __hash__ = object.__hash__  # type: ignore[assignment]
    key = 1
