"""Least squares that are linear in data columns keep their value when the columns are replaced by their R factor.

In: the outputs of a step that sees all examples. Out: the same outputs over the rows of R, or None. With C = [columns
of the data | 1] and C = QR, every sum over the examples of (C u)(C v) is the same sum over the few rows of R, since
QᵀQ = 1 (Golub and Van Loan, Matrix Computations, 5.3). No square is ever expanded: residuals stay residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from sympile.compiler.graph.arithmetic import add, mul, power, split
from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import (
    EXAMPLE,
    EXAMPLES,
    Definition,
    computed,
    define,
    define_free,
    elementwise,
    input_tensor,
    is_whole,
    read,
    used,
)
from sympile.compiler.graph.node import ONE, Node, const, extent, postorder, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.graph.reduce import always_in_range
from sympile.compiler.passes.fusing.keep import inlined_around_windows
from sympile.compiler.passes.training.invariant import PREFIX, Fixed, Prepared
from sympile.compiler.records import dataclass

COLUMN = f"{PREFIX}column "  # and a number: the names of the new inputs
COUNT = f"{PREFIX}count"  # the input that holds the number of examples, as a number of the formula's dtype
ONES = elementwise((EXAMPLE,), ONE)  # the column of ones


class _NoSquares(Exception):
    """A formula is no quadratic form in its columns."""


def least_squares(outputs: Mapping[str, Definition]) -> Prepared | None:
    """The outputs as formulas of columns that an orthogonal map of the examples leaves as they are, or None.

    The new inputs over the examples are the columns; others are numbers, `COUNT` among them.
    """
    flat = inlined_around_windows(list(outputs.values()), numbers=True)
    run = _Run()
    try:
        new = {label: run.output(flat[tensor]) for label, tensor in outputs.items()}
    except _NoSquares:
        return None
    read_there = used(new.values(), run.values)  # what was tried on the way has columns, too
    values = {made: value for made, value in run.values.items() if made in read_there}
    return Prepared(new, values) if any(column.batched for column in values) else None


def columns_of(found: Prepared) -> dict[str, str]:
    """The columns in the order of the triangle: name of the input → of the array that holds it.

    Those that stand alone in a sum come last: the last rows of the triangle then have no parameter in them.
    """
    sums = [node for node in postorder(t.formula for t in computed(found.outputs.values())) if node.op == "add"]
    alone = {target(rest) for node in sums for _, rest in map(split, node.args) if rest.op == "read"}
    columns = sorted((made for made in found.values if made.batched), key=lambda made: made in alone)
    return {i.name: (found.values[i].name if found.values[i].kind == "input" else i.name) for i in columns}


@dataclass(frozen=True, slots=True)
class _Part:
    """A formula in columns: its degree is 0 (no example in it), 1 (linear in columns), or 2."""

    node: Node
    degree: int


@dataclass(slots=True)
class _Run:
    fixed: Fixed = field(default_factory=lambda: Fixed(whole=True))
    values: dict[Definition, Definition] = field(default_factory=dict)  # input → what it stands for
    inputs: dict[Definition, Definition] = field(default_factory=dict)
    tensors: dict[Definition, _Tensor] = field(default_factory=dict)
    parts: dict[Node, _Part] = field(default_factory=dict)

    def output(self, tensor: Definition) -> Definition:
        for below in computed([tensor]):
            if below not in self.tensors and (below is tensor or not self.fixed.learn(below)):
                self.tensors[below] = self._tensor(below)
        return self.tensors[tensor].now

    def _tensor(self, tensor: Definition) -> _Tensor:
        if tensor.kind != "formula" or any(_other_example(i) for i in (*tensor.axes, *tensor.reduced)):
            raise _NoSquares
        part = self._part(tensor.formula)
        degree = 2 if EXAMPLE in tensor.reduced else max(part.degree, int(tensor.batched))
        if tensor.monoid not in (None, "sum") and degree:
            raise _NoSquares
        now = define(tensor.axes, tensor.reduced, tensor.monoid, self._raised(part, degree))
        return _Tensor(now, 0 if EXAMPLE in tensor.reduced else degree)

    def _raised(self, part: _Part, degree: int) -> Node:
        """The same value with columns of ones as further factors."""
        if part.degree > degree:
            raise _NoSquares
        if part.degree == degree:
            return part.node
        return mul(part.node, *[read(self._input(ONES), EXAMPLE)] * (degree - part.degree))

    # ------------------------------------------------------------------------------------------ formulas

    def _part(self, root: Node) -> _Part:
        """Operands first; columns are not entered."""
        stack = [root]
        while stack:
            node = stack[-1]
            if node in self.parts:
                stack.pop()
            elif self._is_column(node):
                self.parts[node] = self._column(node)
            elif missing := [a for a in self._operands(node) if a not in self.parts]:
                stack += missing
            else:
                self.parts[node] = self._made(node)
        return self.parts[root]

    def _operands(self, node: Node) -> list[Node]:
        """The operands; the factors of a product that are made of data alone are one column, and stand first."""
        if node.op != "mul":
            return list(node.args)
        columns = [a for a in node.args if self._is_column(a)]
        others = [a for a in node.args if a not in columns]
        return [mul(*columns), *others] if columns else others

    def _made(self, node: Node) -> _Part:
        if node is EXAMPLES:
            return _Part(read(input_tensor(COUNT, (), "constant")), 0)
        if node.op == "read":
            return self._read(node)
        if node.op == "mul":
            return self._product(self._operands(node))
        parts = [self.parts[a] for a in node.args]
        highest = max((p.degree for p in parts), default=0)
        if highest == 0:
            return self._unchanged(node, parts)
        if node.op == "add":
            return _Part(add(*[self._raised(p, highest) for p in parts]), highest)
        if node.op == "pow" and node.data == 2 and highest == 1:
            return _Part(power(parts[0].node, 2), 2)
        raise _NoSquares

    def _product(self, factors: list[Node]) -> _Part:
        parts = [self.parts[a] for a in factors]
        degree = sum(p.degree for p in parts)
        if degree == 3 and self._is_column(factors[0]):
            return self._weighted(factors[0], factors[1:])
        if degree > 2:  # at once: along a recurrence it doubles with every step
            raise _NoSquares
        return _Part(mul(*[p.node for p in parts]), degree)

    def _weighted(self, weight: Node, factors: list[Node]) -> _Part:
        """weight * u * v with u a sum: the weight goes into its terms."""
        for k, factor in enumerate(factors):
            inner = factor.args[0] if factor.op == "pow" and factor.data == 2 else factor
            if inner.op == "add" and self.parts[inner].degree == 1:
                rest = [*factors[:k], *([inner] if inner is not factor else []), *factors[k + 1 :]]
                own = self._part(add(*[mul(weight, term) for term in inner.args]))
                if own.degree != 1:  # a term is a sum over features, of degree 1 without the weight
                    continue
                return _Part(mul(own.node, *[self._part(f).node for f in rest]), 2)
        raise _NoSquares

    def _unchanged(self, node: Node, parts: list[_Part]) -> _Part:
        if EXAMPLE in node.free and node.op != "index":
            raise _NoSquares  # the number of an example, or data where no column may be read
        args = tuple(p.node for p in parts)
        return _Part(node if args == node.args else rebuild(node, args), 0)

    def _read(self, node: Node) -> _Part:
        tensor = target(node)
        if tensor.batched and node.args[0] is not EXAMPLE:
            raise _NoSquares
        if tensor.kind == "input":
            return _Part(node, 0)
        if tensor not in self.tensors:  # fixed, and the same for all examples
            return _Part(read(self._input(tensor), *node.args), 0)
        return _Part(read(self.tensors[tensor].now, *node.args), self.tensors[tensor].degree)

    def _is_column(self, node: Node) -> bool:
        """Data alone, at one example."""
        return (
            EXAMPLE in node.free
            and node.op not in CONDITIONS
            and node.op != "index"
            and self.fixed.of(node)
            and not any(_other_example(i) for i in node.free)
            and always_in_range(node)
        )

    def _column(self, node: Node) -> _Part:
        coefficient, rest = split(node)
        if rest.op == "read" and is_whole(rest):
            tensor, at = target(rest), rest.args
        else:
            tensor, at = define_free(rest.free, (), None, rest)
        return _Part(mul(const(coefficient), read(self._input(tensor), *at)), 1)

    def _input(self, tensor: Definition) -> Definition:
        if tensor not in self.inputs:
            role = "data" if tensor.batched else "constant"
            made = input_tensor(f"{COLUMN}{len(self.inputs)}", tensor.shape, role)
            self.inputs[tensor], self.values[made] = made, tensor
        return self.inputs[tensor]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What a tensor became, and its degree."""

    now: Definition
    degree: int


def _other_example(index: Node) -> bool:
    return extent(index) is EXAMPLES and index is not EXAMPLE
