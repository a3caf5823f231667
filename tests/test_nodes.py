"""The table of nodes: equal ones are one object as long as somebody holds it, and no longer; also between threads."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from fractions import Fraction
from itertools import chain, count, permutations

from sympile.compiler.graph import node as nodes
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import elementwise, input_tensor, read
from sympile.compiler.graph.node import READ_AT, Node, const, few, holding, index, make, postorder, size
from sympile.compiler.graph.rebuild import function

_numbers = count(10**6)


def fresh() -> Node:
    """A node that nobody has made before."""
    return make("add", size("n"), const(next(_numbers)))


def test_equal_nodes_are_one_object() -> None:
    number = next(_numbers)
    one = make("mul", const(number), size("n"))
    assert make("mul", const(number), size("n")) is one
    assert make("mul", size("n"), const(number)) is not one  # as it stands: no rule is applied
    assert make("pow", size("n"), data=2) is not make("pow", size("n"), data=3)
    assert index(size("n"), "k") is index(size("n"), "k") and index(size("n")) is not index(size("n"))


def test_what_nobody_holds_leaves_the_table() -> None:
    gc.collect()
    before = len(nodes._made)
    held = [fresh() for _ in range(100)]
    gone = [weakref.ref(node) for node in held]
    assert len(nodes._made) >= before + 190  # each with its number; a few old ones may go
    held.clear()
    assert all(node() is None for node in gone) and len(nodes._made) < before + 50


def test_a_node_can_be_made_again() -> None:
    number = next(_numbers)
    key = make("add", size("n"), const(number)).key
    again = make("add", size("n"), const(number))
    assert again.key == key and make("add", size("n"), const(number)) is again


def test_a_late_farewell_does_not_remove_the_next_one() -> None:
    one = fresh()
    identity = (one.op, one.args, one.data)
    nodes._forget(identity, weakref.ref(one))  # not the reference that stands in the table
    assert make(one.op, *one.args) is one


def test_who_comes_before_the_farewell_gets_a_new_one() -> None:
    one = fresh()
    identity = (one.op, one.args, one.data)
    lost = nodes._made[identity] = weakref.ref(fresh())  # of a node that is gone, and has not left yet
    assert lost() is None
    again = make(*identity[:1], *one.args)
    assert again is not one and make(one.op, *one.args) is again
    nodes._forget(identity, lost)
    assert make(one.op, *one.args) is again


def test_sums_of_plain_terms_are_those_that_are_collected() -> None:
    x, y = (read(input_tensor(name, ())) for name in "xy")
    terms = [x, y, mul(x, y), power(x, 2), function("sin", x), mul(x, y, function("cos", y))]
    for chosen in chain.from_iterable(permutations(terms, most) for most in (2, 3, 4)):
        collected = add(*[mul(const(2), term) for term in chosen])  # its terms have coefficients
        assert add(*chosen) is mul(const(Fraction(1, 2)), collected)
        assert add(*chosen, chosen[0]) is add(*chosen[1:], mul(const(2), chosen[0]))


def test_threads_get_the_same_objects() -> None:
    start, found = threading.Barrier(4), list[list[Node]]()
    numbers = [next(_numbers) for _ in range(2000)]

    def work() -> None:
        start.wait()
        found.append([make("add", size("n"), const(number)) for number in numbers])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(a is b for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_the_end_of_a_process_is_quiet() -> None:
    code = "from sympile.compiler.graph.node import *; kept = [make('add', size('n'), const(k)) for k in range(999)]"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == ""


def test_operands_come_before_users_once_each() -> None:
    n, two = size("n"), const(2)
    product = make("mul", two, n)
    top = make("add", product, make("pow", product, data=3), n)
    walked = postorder([top, product])
    assert walked[-1] is top and len(walked) == len(set(walked)) == 5
    assert all(walked.index(arg) < walked.index(node) for node in walked for arg in node.args)
    assert set(postorder([top], known={product})) == {n, make("pow", product, data=3), top}


def test_few_walks_no_further_than_it_says() -> None:
    shared = make("mul", size("n"), const(next(_numbers)))
    total = make("add", shared, make("pow", shared, data=2))
    assert set(few(total, 5) or ()) == set(postorder([total])) and few(total, 4) is None


def test_what_stands_below() -> None:
    """Operations, indices and tensors of a node are those of its operands and its own, however it came about."""
    i, n = index(const(4)), size("n")
    held = elementwise((i,), make("exp", read(input_tensor("v", (const(4),)), i)))
    scalar, entry = read(input_tensor("s", ())), read(held, held.axes[0])
    assert scalar.ops == {"read"} and entry.ops == {"read", READ_AT, "index"} and scalar.below == frozenset()
    top = make("add", make("mul", scalar, n), make("sin", entry), make("mul", entry, scalar))
    for node in postorder([top]):
        below = postorder([node])
        assert node.ops - {READ_AT} == {part.op for part in below}
        assert (READ_AT in node.ops) == any(part.op == "read" and part.args for part in below)
        assert node.free == {part for part in below if part.op == "index"}
        assert node.below == ({held} if entry in below else set())


def test_holding_finds_what_a_whole_walk_finds() -> None:
    n, s = size("n"), read(input_tensor("s", ()))
    sine = make("sin", make("mul", n, s))
    top = make("add", make("exp", sine), make("mul", make("sin", s), sine), make("cos", s))
    for wanted in ({"sin"}, {"size"}, {"cos", "exp"}, {"read"}, {"tanh"}):
        kind = frozenset(wanted)
        found = holding([sine, top, n], kind)
        assert [x for x in found if x.op in kind] == [x for x in postorder([sine, top, n]) if x.op in kind]
        assert all(not kind.isdisjoint(x.ops) for x in found)
