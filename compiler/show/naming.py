"""Which intermediates a formula shows by name: given names first, the others v1, v2, ... and their adjoints dv1, ..."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from sympile.compiler.graph.arithmetic import split
from sympile.compiler.graph.definition import Definition, definitions, is_whole
from sympile.compiler.graph.inline import inlined
from sympile.compiler.graph.node import ONE, Node, postorder, target
from sympile.compiler.records import dataclass
from sympile.compiler.rules.functions import FUNCTIONS
from sympile.compiler.show.explicit import explicit_matrix
from sympile.compiler.show.folding import folded

Names = Mapping[Definition, str]
Adjoints = Mapping[Definition, Definition]  # an adjoint → the tensor whose adjoint it is


@dataclass(frozen=True, slots=True)
class Plan:
    """A formula's top definition and, in the order in which they are shown, the definitions that it needs."""

    top: Definition
    lines: dict[Definition, str] = field(default_factory=dict)
    adjoints: frozenset[str] = frozenset()  # the names among them that are adjoints'

    @property
    def needs_adjoints(self) -> bool:
        return any(name in self.adjoints for name in self.lines.values())


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may be shown by name, below one output; copies of a tensor are taken for the tensor."""

    output: Definition
    given: dict[Definition, str]
    forward: dict[Definition, str]
    adjoints: dict[Definition, str]
    fixed: bool = False  # whether v1, v2, ... were given, for several formulas together
    letter: str = "v"

    def plan(self, with_adjoints: bool) -> Plan:
        """The program with these names and nothing else; without adjoints of what has no given name."""
        forward, backward = dict(self.forward), self.adjoints if with_adjoints else {}
        adjoints = frozenset({f"d{name}" for name in [*forward.values(), *self.given.values()]})
        taken = [*self.given.values(), *input_names(self.output)]
        while True:
            plan = planned(self.output, {**forward, **backward, **self.given}, adjoints)
            shown = set(plan.lines.values())
            spare = used_once(plan, [w for w in forward.values() if w in shown and f"d{w}" not in shown])
            if not spare:
                return plan if self.fixed else renumbered(plan, self.forward.values(), taken, self.letter)
            forward = {t: word for t, word in forward.items() if word not in spare}

    def in_order(self, plan: Plan) -> Plan:
        """A plan that got further lines, numbered from v1 on again, unless several formulas share the numbers."""
        if self.fixed:
            return plan
        given = self.given.values()
        words = [name for name in plan.lines.values() if name not in given and name not in plan.adjoints]
        return renumbered(plan, words, [*given, *input_names(self.output)], self.letter)

    def written_out(self) -> Definition:
        """The output with nothing named."""
        return inlined([self.output], keep=lambda t: explicit_matrix(t) is not None)[self.output]


def candidates(
    output: Definition, given: Names, adjoint_of: Adjoints, automatic: Names | None = None, letter: str = "v"
) -> Candidates:
    """Everything below an output that may be shown by name."""
    plain, origin = without_copies(output, given, adjoint_of)
    adjoints = {origin.get(d, d): origin.get(t, t) for d, t in adjoint_of.items()}
    own = {
        origin.get(t, t): name
        for t, name in given.items()
        if not (_is_adjoint(t, name, given, adjoint_of) and is_scaled_copy(origin.get(t, t)))
    }
    forward = [t for t in arrays_of_functions(plain) if t not in own and t not in adjoints]
    words = (
        automatic_words(forward, [*own.values(), *input_names(plain)], letter)
        if automatic is None
        else {t: automatic[t] for t in forward if t in automatic}
    )
    known = {**words, **own}
    backward = {
        d: f"d{known[t]}" for d, t in adjoints.items() if t in known and d not in known and not is_scaled_copy(d)
    }
    return Candidates(plain, own, words, backward, automatic is not None, letter)


def input_names(output: Definition) -> list[str]:
    """The names that the user gave to what an output depends on."""
    return [t.name for t in definitions([output]) if t.kind == "input"]


def automatic_words(tensors: Iterable[Definition], taken: Iterable[str], letter: str = "v") -> dict[Definition, str]:
    """v1, v2, ... without those that are given already."""
    used = set(taken)
    words = (word for k in range(1, 10**9) if (word := f"{letter}{k}") not in used)
    return dict(zip(tensors, words, strict=False))


def without_copies(output: Definition, *more: Iterable[Definition]) -> tuple[Definition, dict[Definition, Definition]]:
    """The program with every T[i] = S[i] read as S, and what became of each definition."""
    below = {t: None for group in more for t in group}
    new = inlined([output, *below], keep=lambda t: copied(t) is None)
    origin = {t: _origin(now) for t, now in new.items()}
    return origin[output] if copied(output) else new[output], origin


def _origin(tensor: Definition) -> Definition:
    source = copied(tensor)
    while source is not None:
        tensor, source = source, copied(source)
    return tensor


def copied(tensor: Definition) -> Definition | None:
    """The tensor of which this one is only a copy."""
    body = tensor.body
    reads_one = body is not None and tensor.monoid is None and body.op == "read" and body.args == tensor.axes
    plain = reads_one and is_whole(tensor.formula)
    return target(body) if plain and body is not None else None


def _is_adjoint(tensor: Definition, name: str, given: Names, adjoint_of: Adjoints) -> bool:
    return name.startswith("d") and (tensor in adjoint_of or name[1:] in given.values())


def is_scaled_copy(tensor: Definition) -> bool:
    """Whether an adjoint is a number, maybe times another tensor, and so needs no line of its own."""
    if tensor.kind != "formula" or tensor.monoid is not None:
        return tensor.kind == "input"
    _, rest = split(tensor.formula)
    return rest is ONE or (rest.op == "read" and rest.args == tensor.axes and is_whole(rest))


# ------------------------------------------------------------------------------------------------ functions on arrays


def arrays_of_functions(output: Definition) -> list[Definition]:
    """Arguments and results of elementwise functions on arrays, and extremes, in the order of dependence."""
    order = definitions([output])
    arguments = {t for d in order if d.kind == "formula" for n in postorder([d.formula]) for t in _arguments(n)}
    return [t for t in order if t.kind == "formula" and inner_rank(t) > 0 and (t in arguments or _is_result(t))]


def inner_rank(tensor: Definition) -> int:
    return len(tensor.axes) - tensor.batched


def _arguments(node: Node) -> list[Definition]:
    if node.op not in FUNCTIONS:
        return []
    return [target(rest) for _, rest in map(split, node.args) if rest.op == "read"]


def _is_result(tensor: Definition) -> bool:
    if tensor.monoid is not None:
        return tensor.monoid in ("max", "min")
    return any(node.op in FUNCTIONS for node in postorder([tensor.formula]))


# ------------------------------------------------------------------------------------------------ the plan


def planned(output: Definition, names: Mapping[Definition, str], adjoints: frozenset[str]) -> Plan:
    """Everything without a name inlined; the lines in the order of dependence, forward ones first."""
    new = inlined([output, *names], keep=lambda t: t in names or explicit_matrix(t) is not None)
    top, named = folded(new[output], {new[t]: name for t, name in reversed(list(names.items()))})
    return in_lines(top, named, adjoints)


def in_lines(top: Definition, named: Mapping[Definition, str], adjoints: frozenset[str]) -> Plan:
    """The plan of these definitions: the lines that the top needs."""
    needed = [t for t in definitions([top]) if t in named]
    forward = [t for t in needed if named[t] not in adjoints]
    backward = [t for t in needed if named[t] in adjoints]
    return Plan(top, {t: named[t] for t in [*forward, *backward]}, adjoints)


def renumbered(plan: Plan, automatic: Iterable[str], taken: Iterable[str], letter: str) -> Plan:
    """v1, v2, ... without gaps, in the order of the lines; adjoints follow."""
    words = set(automatic)
    kept = [t for t, name in plan.lines.items() if name in words]
    new = {plan.lines[t]: word for t, word in automatic_words(kept, taken, letter).items()}
    both = {**new, **{f"d{old}": f"d{word}" for old, word in new.items()}}
    lines = {t: both.get(name, name) for t, name in plan.lines.items()}
    return Plan(plan.top, lines, frozenset(both.get(name, name) for name in plan.adjoints))


def used_once(plan: Plan, words: Iterable[str]) -> set[str]:
    """Of these names, those that stand in one place only, or at the top: they are better written out."""
    uses = dict.fromkeys(words, 0)
    for tensor in definitions([plan.top]):
        for name, count in _uses(tensor, plan):
            if name in uses:
                uses[name] += count
    return {name for name, count in uses.items() if count <= 1}


def _uses(tensor: Definition, plan: Plan) -> list[tuple[str, int]]:
    """How often a definition's formula shows each name; a square shows it twice."""
    found = [(plan.lines[o], 1) for o in tensor.operands if o in plan.lines]
    if tensor.kind != "formula":
        return found
    roots = [tensor.formula] if tensor.formula.op == "read" else []
    shown = [(a, 2 if n.op == "pow" else 1) for n in postorder([tensor.formula]) for a in n.args] + [
        (r, 1) for r in roots
    ]
    return found + [(plan.lines[target(a)], count) for a, count in shown if a.op == "read" and target(a) in plan.lines]
