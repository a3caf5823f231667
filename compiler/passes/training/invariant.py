"""What does not change while a model is trained leaves the training step: it is computed once per fit.

In: the outputs of a step. Out: the same outputs, which read new inputs "#0", "#1", …, and how those are computed from
data and constants. Always: the values do not depend on a parameter, and none can fail where the step would not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from sympile.compiler.graph.conditions import CONDITIONS
from sympile.compiler.graph.definition import (
    EXAMPLE,
    EXAMPLES,
    Definition,
    call,
    computed,
    define,
    define_free,
    definitions,
    input_tensor,
    is_whole,
    read,
)
from sympile.compiler.graph.inline import inlined
from sympile.compiler.graph.node import Node, extent, postorder, target
from sympile.compiler.graph.rebuild import rebuild
from sympile.compiler.graph.reduce import always_in_range
from sympile.compiler.passes.fusing.group import costly
from sympile.compiler.passes.fusing.keep import kept
from sympile.compiler.records import dataclass

PREFIX = "#"  # no symbol of a user begins with it


@dataclass(frozen=True, slots=True)
class Prepared:
    """The outputs of a step, and what its new inputs are."""

    outputs: dict[str, Definition]
    values: dict[Definition, Definition]  # new input → how it is computed


def prepare(outputs: Mapping[str, Definition], whole: bool) -> Prepared:
    """Takes what is costly and depends on no parameter out of a step.

    Args:
        outputs: the step's outputs by label.
        whole: every step sees all examples; else a batch, and only what belongs to one example stays the same.
    """
    flat = inlined(given := list(outputs.values()), kept(given).__contains__)  # as the step itself will be
    wanted = {label: flat[tensor] for label, tensor in outputs.items()}
    run = _Run(Fixed(whole))
    new = run.rewritten(wanted.values())
    after = {label: new.get(tensor, tensor) for label, tensor in wanted.items()}
    used = set(definitions(after.values()))
    return Prepared(after, {i: value for i, value in run.values.items() if i in used})


# ------------------------------------------------------------------------------------------------ what is fixed


@dataclass(slots=True)
class Fixed:
    """Knows which tensors and formulas are made of data and constants alone, the same in every step."""

    whole: bool
    nodes: dict[Node, bool] = field(default_factory=dict)
    tensors: dict[Definition, bool] = field(default_factory=dict)

    def learn(self, tensor: Definition) -> bool:
        """Whether a tensor is fixed; those below it have been asked for before."""
        if tensor.kind == "input":
            return tensor.routine != "parameter"
        if tensor not in self.tensors:
            if tensor.kind == "call":
                self.tensors[tensor] = all(self.learn(o) for o in tensor.operands)
            else:
                own = not self.of(tensor.formula)
                self.tensors[tensor] = not own and (self.whole or not self._mixes(tensor))
        return self.tensors[tensor]

    def of(self, root: Node) -> bool:
        """Whether a formula is fixed for each value of its indices."""
        for node in postorder([root], self.nodes):
            self.nodes[node] = all(self.nodes[a] for a in node.args) and self._alone(node)
        return self.nodes[root]

    def _alone(self, node: Node) -> bool:
        if node.op == "read":
            return self.learn(target(node)) and (self.whole or self._at_its_example(node))
        return self.whole or node is not EXAMPLES

    def _at_its_example(self, node: Node) -> bool:
        return not any(_of_examples(i) for at in node.args[1:] for i in at.free) and (
            not target(node).batched or node.args[0] is EXAMPLE
        )

    def _mixes(self, tensor: Definition) -> bool:
        """Whether a tensor brings several examples together."""
        return any(_of_examples(i) for i in (*tensor.axes[1:], *tensor.reduced))


def _of_examples(index: Node) -> bool:
    return extent(index) is EXAMPLES


# ------------------------------------------------------------------------------------------------ taking it out


@dataclass(slots=True)
class _Run:
    fixed: Fixed
    values: dict[Definition, Definition] = field(default_factory=dict)  # input → what it stands for
    inputs: dict[Definition, Definition] = field(default_factory=dict)  # and back
    done: dict[Node, Node] = field(default_factory=dict)

    def rewritten(self, outputs: Iterable[Definition]) -> dict[Definition, Definition]:
        """Old → new tensors; those that are fixed stay as they are, their readers read inputs."""
        wanted = list(outputs)
        new: dict[Definition, Definition] = {}
        for tensor in computed(wanted):
            if self.fixed.learn(tensor):
                new[tensor] = tensor
            elif tensor.kind == "call":
                operands = [self._input(o) if self._stands(o) else new.get(o, o) for o in tensor.operands]
                new[tensor] = call(tensor.routine, operands, tensor.shape)
            else:
                body = self._boundary(self._formula(tensor.formula, new), tensor.formula)
                new[tensor] = define(tensor.axes, tensor.reduced, tensor.monoid, body)
        return new

    def _stands(self, tensor: Definition) -> bool:
        return tensor.kind != "input" and self.fixed.learn(tensor)

    def _formula(self, root: Node, new: Mapping[Definition, Definition]) -> Node:
        """The formula with its fixed parts read from inputs, as large as they come."""
        for node in postorder([root], self.done):
            if self.fixed.of(node):
                self.done[node] = node
            elif node.op == "read":
                self.done[node] = read(new.get(target(node), target(node)), *[self.done[a] for a in node.args])
            else:
                self.done[node] = self._rebuilt(node)
        return self.done[root]

    def _rebuilt(self, node: Node) -> Node:
        args = [self._boundary(self.done[a], a) for a in node.args]
        if node.op in ("add", "mul"):
            args = self._together(node)
        return node if tuple(args) == node.args else rebuild(node, tuple(args))

    def _together(self, node: Node) -> list[Node]:
        """The fixed terms of a sum, or factors of a product, are one part."""
        fixed = [a for a in node.args if self.fixed.of(a)]
        moving = [self.done[a] for a in node.args if a not in fixed]
        varying = [a for a in fixed if a.op != "const"]
        if len(varying) < 2:
            return [*[self._boundary(a, a) for a in fixed], *moving]
        part = rebuild(node, tuple(varying))
        self.fixed.of(part)
        return [*[a for a in fixed if a.op == "const"], self._boundary(part, part), *moving]

    def _boundary(self, now: Node, old: Node) -> Node:
        """A fixed part below one that is not, read from an input where that is worth it."""
        if now is not old or not self.fixed.of(old) or not _worth(old):
            return now
        if old.op == "read" and is_whole(old):
            return read(self._input(target(old)), *old.args)
        tensor, at = define_free(old.free, (), None, old)
        return read(self._input(tensor), *at)

    def _input(self, tensor: Definition) -> Definition:
        if tensor not in self.inputs:
            made = input_tensor(f"{PREFIX}{len(self.inputs)}", tensor.shape, "data" if tensor.batched else "constant")
            self.inputs[tensor], self.values[made] = made, tensor
        return self.inputs[tensor]


def _worth(node: Node) -> bool:
    """Whether a part is dearer to compute than to read, and safe to compute everywhere."""
    if node.op in CONDITIONS or not always_in_range(node):
        return False
    below = postorder([node])
    if not any(n.op == "read" for n in below):
        return False  # numbers and sizes
    return any(costly(n) or (n.op == "read" and target(n).kind != "input") for n in below)
