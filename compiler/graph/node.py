"""One scalar operation on other nodes: hash-consed, so that equal formulas are one object."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Iterator
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import ref

from sympile.compiler.digest import blake2b
from sympile.compiler.locks import process_lock
from sympile.compiler.records import dataclass

if TYPE_CHECKING:
    from sympile.compiler.graph.definition import Definition

Number: TypeAlias = int | Fraction  # exact: a float on entry is the fraction that it is

# What a body is made of. `data` is named where a node has any.
#   const     a number (int, or a Fraction that is no integer)      constant  pi, E, … by name; inf and nan too
#   index     (name, extent): runs from 0 to extent - 1             size      a symbolic size, by name
#   read      a Definition, at the index expressions `args`         hole      stands for an operand in a table's row
#   add, mul  sorted operands, a const first in mul, last in add    pow       args[0] to a constant power (a Number)
#   when      args[0] where the conditions args[1:] hold, else 0    eq, ge, divides  of indices: a == b, a >= 0, data|a
#   select    args[1] if args[0] else args[2]                       quotient  of an index expression: floor(a / data)
# Every other op is a row of rules/functions.py.


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Node:
    """One operation on other nodes."""

    op: str
    args: tuple[Node, ...]
    data: object
    free: frozenset[Node]  # the indices below this node
    key: int  # structural hash: the same in every process
    below: frozenset[Definition]  # the tensors read at or below this node, inputs aside
    ops: frozenset[str]  # the operations at or below this node; READ_AT for reads at indices
    bare: Node | None = None  # a product without its coefficient, since somebody has asked: many do, again and again

    def __repr__(self) -> str:
        return brief(self)


INTERNING = process_lock()  # two threads that make the same node must get the same object
_made: dict[object, ref[Node]] = {}  # a WeakValueDictionary takes twice as long to look up, and to fill
_EMPTY: frozenset[Node] = frozenset()
_NOTHING: frozenset[Definition] = frozenset()
_fresh = itertools.count()
_words: dict[str, int] = {}


def word_key(word: str) -> int:
    """A hash of a name that no PYTHONHASHSEED changes."""
    key = _words.get(word)
    if key is None:
        key = _words[word] = int.from_bytes(blake2b(word.encode(), digest_size=7).digest(), "little")
    return key


def make(op: str, *args: Node, data: object = None) -> Node:
    """The one node with this op, these operands and this data, as it stands: no rule is applied."""
    identity = (op, args, data)
    known = _made.get(identity)
    if known is not None:
        node = known()
        if node is not None:
            return node
    free, below, ops = _EMPTY, _NOTHING, _OWN.get(op) or _own(op)
    keys = [_words.get(op) or word_key(op), 0 if data is None else _data_key(data)]
    for arg in args:  # unions; an existing set is used again where one holds all
        keys.append(arg.key)
        if arg.free is not free and arg.free:
            free = _union(free, arg.free)
        if arg.below is not below and arg.below:
            below = _union(below, arg.below)
        if arg.ops is not ops:
            ops = _both_ops(ops, arg.ops)
    if op == "read":
        ops = _both_ops(ops, _AT) if args else ops
        below = below if data.kind == "input" else below | {data}  # type: ignore[attr-defined, arg-type]
    node = Node(op, args, data, free, hash(tuple(keys)), below, ops)
    if op == "index":
        object.__setattr__(node, "free", frozenset((node,)))
    return _interned(identity, node)


def _interned(identity: object, node: Node) -> Node:
    """The node, or the same one that another thread has made meanwhile."""
    own = ref(node, partial(_forget, identity))
    if _made.setdefault(identity, own) is own:  # one step, between whose parts no other thread comes
        return node
    with INTERNING:
        known = _made.get(identity)
        other = None if known is None else known()
        if other is not None:
            return other
        _made[identity] = own  # what stands there is gone
    return node


def _forget(identity: object, gone: ref[Node], made: dict[object, ref[Node]] = _made, lock: Any = INTERNING) -> None:
    """A node is gone; another one may have its place already. Defaults: at the end of the process globals are None."""
    with lock:
        if made.get(identity) is gone:
            del made[identity]


def _union(a: frozenset[Any], b: frozenset[Any]) -> frozenset[Any]:
    return a if b <= a else b if a <= b else a | b


READ_AT = "read at"  # among a node's operations: some read has indices


_AT = frozenset((READ_AT,))
_OWN: dict[str, frozenset[str]] = {}


def _own(op: str) -> frozenset[str]:
    return _OWN.setdefault(op, frozenset((op,)))


@cache
def _both_ops(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    """The one set that holds both: there are few, and many nodes share each."""
    return _union(a, b)


def _data_key(data: object) -> int:
    if data is None:
        return 0
    if isinstance(data, (int, Fraction)):
        return hash(data) if data != -2 else word_key("-2")  # Python's hash of -2 is that of -1
    if isinstance(data, str):
        return word_key(data)
    if isinstance(data, tuple):
        return hash(tuple(_data_key(part) for part in data))
    key: int = data.key  # type: ignore[attr-defined]   # a Node (an extent) or a Definition
    return key


# ------------------------------------------------------------------------------------------------ leaves


def const(value: Number) -> Node:
    """The node of an exact number."""
    if isinstance(value, Fraction) and value.denominator == 1:
        value = value.numerator
    return make("const", data=value)


ZERO, ONE, TWO, MINUS_ONE, HALF = const(0), const(1), const(2), const(-1), const(Fraction(1, 2))
INFINITY, NEGATIVE_INFINITY, NAN = (make("constant", data=name) for name in ("inf", "-inf", "nan"))


def size(name: str) -> Node:
    """A symbolic size: an integer of at least 1 that arrays tell at run time."""
    return make("size", data=name)


def index(extent: Node, name: str | None = None) -> Node:
    """An index that runs from 0 to extent - 1; without a name, one that nobody has used."""
    return make("index", data=(name or f"#{next(_fresh):09d}", extent))


def extent(node: Node) -> Node:
    """How far an index runs."""
    assert isinstance(node.data, tuple)
    found: Node = node.data[1]
    return found


def index_name(node: Node) -> str:
    assert isinstance(node.data, tuple)
    return str(node.data[0])


def hole(name: str) -> Node:
    """A placeholder for an operand, in the rows of tables."""
    return make("hole", data=name)


def number(node: Node) -> Number:
    """The value of a const."""
    assert isinstance(node.data, (int, Fraction)), node
    return node.data


def without_coefficient(product: Node) -> Node:
    """What stands behind the constant of a product."""
    bare = product.bare
    if bare is None:
        others = product.args[1:]
        bare = others[0] if len(others) == 1 else make("mul", *others)
        object.__setattr__(product, "bare", bare)
    return bare


def by_key(node: Node) -> int:
    """The order of operands that commute."""
    return node.key


def target(node: Node) -> Definition:
    """What a read reads."""
    found: Definition = node.data  # type: ignore[assignment]
    return found


# ------------------------------------------------------------------------------------------------ walks


def postorder(roots: Iterable[Node], known: Container[Node] = ()) -> list[Node]:
    """Every node below the roots once, operands before users; iterative. What is known already is not entered."""
    seen: set[Node] = set()
    found: list[Node] = []
    for root in roots:
        if root in seen or root in known:
            continue
        seen.add(root)
        node, operands = root, iter(root.args)  # the node being entered, and those of its operands still to be seen
        stack: list[tuple[Node, Iterator[Node]]] = []
        while True:
            for operand in operands:
                if operand not in seen and operand not in known:
                    seen.add(operand)
                    if operand.args:
                        stack.append((node, operands))
                        node, operands = operand, iter(operand.args)
                        break
                    found.append(operand)
            else:
                found.append(node)
                if not stack:
                    break
                node, operands = stack.pop()
    return found


def holding(roots: Iterable[Node], wanted: frozenset[str]) -> list[Node]:
    """As `postorder`, without parts in which none of these operations stands: costs nothing where there is none."""
    seen: set[Node] = set()
    found: list[Node] = []
    stack = [(root, False) for root in roots if not wanted.isdisjoint(root.ops)][::-1]
    while stack:
        node, done = stack.pop()
        if done:
            found.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(a, False) for a in reversed(node.args) if a not in seen and not wanted.isdisjoint(a.ops)]
    return found


def few(root: Node, most: int) -> list[Node] | None:
    """Every node below the root once, in any order; None if they are more, and then no more of them is walked."""
    found = {root: None}  # a dictionary for its order
    waiting = [root]
    while waiting:
        for operand in waiting.pop().args:
            if operand not in found:
                found[operand] = None
                waiting.append(operand)
        if len(found) > most:
            return None
    return list(found)


def reads(*roots: Node) -> list[Node]:
    """The read nodes below the roots, indices included, each once."""
    return [node for node in postorder(roots) if node.op == "read"]


def brief(node: Node, limit: int = 400, known: dict[Node, str] | None = None) -> str:
    """A one-line text for debugging and error messages; long ones are cut. `known` keeps the texts of parts."""
    if not node.args:
        return _brief_text(node, [])[:limit]
    text = {} if known is None else known
    for item in postorder([node], text):
        text[item] = _brief_text(item, [text[a] for a in item.args])[:limit]
    return text[node]


_INFIX = {"add": " + ", "mul": "*", "eq": " == "}


def _brief_text(node: Node, args: list[str]) -> str:
    if node.op in ("const", "constant", "size"):
        return str(node.data)
    if node.op == "hole":
        return f"?{node.data}"
    if node.op == "index":
        return index_name(node)
    if node.op in _INFIX:
        return f"({_INFIX[node.op].join(args)})"
    if node.op == "pow":
        return f"{args[0]}^{node.data}"
    if node.op == "read":
        return f"{target(node).name}[{', '.join(args)}]"
    return f"{node.op}({', '.join(args)})"
