"""Walks over expressions with nodes of ours: each part once, no recursion, so that depth and sharing cost nothing.

SymPy's own walks are recursive and unmemoised: exponential where parts are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sympile.compiler.language.protocol import Ours


class Memo(dict[Any, Any]):
    """What `subs` has found so far; hashable, since SymPy caches by its hints."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Replacement:
    """The rule of one `xreplace`, with the nodes of ours that it has been applied to."""

    __slots__ = ("done", "rule")

    def __init__(self, rule: Any) -> None:
        """Takes whatever `xreplace` accepts: it must know `in` and `[]`."""
        self.rule = rule
        self.done: dict[Any, Any] = {}

    @classmethod
    def of(cls, rule: Any) -> Replacement:
        """The rule itself if it is a replacement already: then a walk is under way."""
        return rule if isinstance(rule, cls) else cls(rule)

    def __contains__(self, part: object) -> bool:
        return part in self.rule

    def __getitem__(self, part: Any) -> Any:
        return self.rule[part]

    def __bool__(self) -> bool:
        return True

    def get(self, part: Any, default: Any = None) -> Any:
        """What becomes of a part."""
        return self[part] if part in self else default  # noqa: SIM401  (a rule need not be a dict)

    def result(self, root: Any) -> tuple[Any, bool]:
        """What becomes of a node, and whether it changed."""
        if root in self.rule:
            return self.rule[root], True
        for node in nested(root, lambda part: part in self.done or part in self.rule):
            self.done[node] = node._replaced(self)
        return self.done[root], self.done[root] is not root


def parts_of(root: Any) -> Iterator[Any]:
    """Every part of an expression once, the whole first."""
    seen, stack = {root}, [root]
    while stack:
        part = stack.pop()
        yield part
        new = [arg for arg in part.args if arg not in seen]
        seen.update(new)
        stack.extend(reversed(new))


def low_parts(root: Any) -> list[Any]:
    """Below a node of ours each largest part in which no node of ours stands inside another, once."""
    depth: dict[Any, int] = {}
    stack = [root]
    while stack:
        part = stack[-1]
        missing = [arg for arg in part.args if arg not in depth]
        if missing:
            stack.extend(missing)
        else:
            depth[stack.pop()] = max((depth[arg] for arg in part.args), default=0) + isinstance(part, Ours)
    high = [part for part, count in depth.items() if count > 1 or part is root]
    return list(dict.fromkeys(arg for part in high for arg in part.args if depth[arg] <= 1))


def nested(root: Any, settled: Callable[[Any], bool] = lambda part: False) -> Iterator[Any]:
    """The nodes of ours inside `root`, operands before users, the root last; settled parts are not walked into."""
    seen: set[Any] = set()
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        part, finished = stack.pop()
        if finished:
            yield part
        elif part not in seen and not settled(part):
            seen.add(part)
            if isinstance(part, Ours):
                stack.append((part, True))
            if not getattr(part, "_opaque", False):
                stack.extend((arg, False) for arg in reversed(part.args))


def outermost(expression: Any) -> list[Any]:
    """The nodes of ours that stand in an expression and in no other node of ours."""
    found: list[Any] = []
    seen: set[Any] = set()
    stack = [expression]
    while stack:
        part = stack.pop()
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, Ours):
            found.append(part)
        else:
            stack.extend(reversed(part.args))
    return found


def substitute_around(operand: Any, old: Any, new: Any, memo: dict[Any, Any]) -> Any:
    """SymPy's `subs` on the part of an operand that is not ours: our nodes stand aside as single symbols meanwhile.

    SymPy's `subs` compares whole trees before and after, which takes exponential time where nodes are shared.
    """
    if isinstance(operand, Ours):
        return memo[operand]
    aside = {node: node._stand_in(number) for number, node in enumerate(outermost(operand))}
    if not aside:
        return operand._subs(old, new)
    masked = operand.xreplace(aside)
    after = masked._subs(old.xreplace(aside), new)
    if after == masked and all(memo[node] is node for node in aside):
        return operand
    return after.xreplace({stand_in: memo[node] for node, stand_in in aside.items()})


# A node as a row for pickle: its class, its head, its operands with inner nodes replaced by symbols, and which symbol
# stands for which earlier row. So a network unrolled over thousands of steps pickles without recursion.
PickledRow = tuple[type, Any, tuple[Any, ...], tuple[tuple[Any, int], ...]]


def flattened(root: Any) -> tuple[PickledRow, ...]:
    """A node and all nodes inside it as rows, operands before users."""
    number: dict[Any, int] = {}
    rows = []
    for node in nested(root):
        head, *operands = node.args
        inner = [] if node._opaque else [child for operand in operands for child in outermost(operand)]
        aside = {child: child._stand_in(number[child]) for child in inner}
        masked = tuple(operand.xreplace(aside) if aside else operand for operand in operands)
        rows.append((type(node), head, masked, tuple((symbol, number[child]) for child, symbol in aside.items())))
        number[node] = len(number)
    return tuple(rows)


def restored(rows: tuple[PickledRow, ...]) -> Any:
    """The node that `flattened` took apart."""
    made: list[Any] = []
    for kind, head, operands, stand_ins in rows:
        back = {symbol: made[number] for symbol, number in stand_ins}
        made.append(kind(head, *(operand.xreplace(back) if back else operand for operand in operands)))
    return made[-1]
