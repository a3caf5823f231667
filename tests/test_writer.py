"""The text builder, memory through lanes and reductions: what is written runs and means what it says."""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from sympile.compiler.code.jit import compile_text
from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.target import host
from sympile.compiler.code.value import Integer, Value, i64
from sympile.compiler.code.writer import Function, Module
from sympile.compiler.errors import InternalError

HOST = host()
Body = Callable[[Function, Value], Integer]


def of_integer(body: Body) -> Callable[[int], int]:
    """Compiles i64 → i64."""
    f = Function(Module(HOST), "run", [("i64", "v1")], result="i64")       # a name that the writer uses itself
    f.ret(i64(body(f, f.arguments[0])))
    loaded = compile_text(f.module.text(), ["run"])
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("run"))

    def run(n: int) -> int:
        assert loaded.addresses
        return int(call(n))

    return run


def sum_below(f: Function, n: Value) -> Integer:
    """0 + 1 + ... + n-1."""
    with f.loop(0, n, carry=[i64(0)]) as loop:
        loop.next = [i64(f.add(loop.carried[0], loop.index))]
    return loop.results[0]


def nested(f: Function, n: Value) -> Integer:
    """The number of pairs j < i < n, in steps of 2 for i."""
    with f.loop(0, n, 2, carry=[i64(0)]) as outer:
        with f.loop(0, outer.index, carry=[outer.carried[0]]) as inner:
            inner.next = [i64(f.add(inner.carried[0], 1))]
        outer.next = inner.results
    return outer.results[0]


def known_turns(f: Function, n: Value) -> Integer:
    """n doubled ten times, in a loop whose bounds are known."""
    with f.loop(0, 10, carry=[n]) as loop:
        loop.next = [i64(f.mul(loop.carried[0], 2))]
    return loop.results[0]


def no_turns(f: Function, n: Value) -> Integer:
    """A loop that is known not to run."""
    with f.loop(5, 5, carry=[n]) as loop:
        loop.next = [i64(0)]
    return loop.results[0]


def absolute(f: Function, n: Value) -> Integer:
    """|n| by a branch."""
    with f.either(f.compare("slt", n, 0)) as choice:
        with choice.then():
            choice.give(i64(f.sub(0, n)))
        with choice.otherwise():
            choice.give(n)
    return choice.results[0]


def through_memory(f: Function, n: Value) -> Integer:
    """n stored, replaced by 7 where it is above 100, loaded."""
    room = f.alloca("i64")
    f.atomic_store(n, room)
    with f.when(f.compare("sgt", n, 100), unlikely=True):
        f.store(i64(7), room)
    return f.atomic_load("i64", room)


def same_in_other_blocks(f: Function, n: Value) -> Integer:
    """3 n where n > 5 (computed there too), else 3 n + 1."""
    room = f.alloca("i64")
    f.store(i64(1), room)
    with f.when(f.compare("sgt", n, 5)):
        f.store(i64(f.sub(f.mul(n, 3), f.mul(n, 3))), room)
    with f.loop(0, 2) as loop:
        f.store(i64(f.add(f.load("i64", room), f.mul(f.add(loop.index, 1), 0))), room)
    return f.add(f.mul(n, 3), f.load("i64", room))


def elements_apart(f: Function, n: Value) -> Integer:
    """The numbers 10, 11, 12, 13 stored one by one; the one at n - 2, by way of what lies outside."""
    room = f.alloca("i64", 4)
    for k in range(4):
        f.store(i64(10 + k), f.gep("i64", room, k))
    return f.load("i64", f.gep("i64", f.gep("i64", room, n, inside=False), -2, inside=False))


@pytest.mark.parametrize(
    ("body", "given", "want"),
    [
        pytest.param(sum_below, 10, 45, id="loop"),
        pytest.param(sum_below, 0, 0, id="no turn"),
        pytest.param(sum_below, -3, 0, id="stop before start"),
        pytest.param(nested, 7, 12, id="nested loops, step 2"),
        pytest.param(known_turns, 3, 3072, id="known bounds"),
        pytest.param(no_turns, 9, 9, id="known to be empty"),
        pytest.param(absolute, -5, 5, id="then"),
        pytest.param(absolute, 5, 5, id="otherwise"),
        pytest.param(through_memory, 100, 100, id="not when"),
        pytest.param(through_memory, 101, 7, id="when"),
        pytest.param(same_in_other_blocks, 7, 21, id="the same product in a branch and behind it"),
        pytest.param(same_in_other_blocks, 2, 7, id="the same product behind a branch not taken"),
        pytest.param(elements_apart, 5, 13, id="an address by way of one outside"),
        pytest.param(lambda f, n: f.div(n, 4), -7, -1, id="division cuts towards zero"),
        pytest.param(lambda f, n: f.rem(n, 4), -7, -3, id="remainder has the sign of a"),
        pytest.param(lambda f, n: f.min(f.max(n, 3), 9), 1, 3, id="max"),
        pytest.param(lambda f, n: f.min(f.max(n, 3), 9), 11, 9, id="min"),
    ],
)
def test_integers_and_control(body: Body, given: int, want: int) -> None:
    assert of_integer(body)(given) == want


def test_a_block_computes_integers_and_addresses_once() -> None:
    module = Module(HOST)
    f = Function(module, "run", [("ptr", "x"), ("i64", "n")], result="i64")
    x, n = f.arguments
    first = f.gep("i64", x, f.mul(n, 3))
    assert f.gep("i64", x, f.mul(n, 3)) == first != f.gep("i64", x, f.mul(n, 5))
    assert Lanes(f, "double", 8, HOST).splat(n) == Lanes(f, "double", 8, HOST).splat(n)
    assert f.load("i64", first) != f.load("i64", first)  # between them something may be stored
    f.begin("next")
    assert f.mul(n, 3) != f.mul(n, 5) and f.text().count("mul nsw") == 4


def test_a_loop_is_seen_to_change_one_address_of_many() -> None:
    module = Module(HOST)
    f = Function(module, "run", [("ptr", "x"), ("i64", "n")], result="i64")
    x, n = f.arguments
    with f.loop(0, n, 4, carry=[i64(0)]) as turn:
        four = f.gep("i64", x, turn.index)
        assert f.beyond("i64", four, 0) is four
        values = [f.load("i64", f.beyond("i64", four, k)) for k in range(4)]
        turn.next = [i64(f.add(turn.carried[0], f.add(f.add(values[0], f.mul(values[1], 10)), f.mul(values[3], 100))))]
    f.ret(turn.results[0])
    assert f.text().count(f"{four.text}, i64") == 0  # what lies beyond is counted from where nobody sees the loop
    assert module.text().count("call ptr @llvm.launder") == 1
    given = np.arange(8)
    loaded = compile_text(module.text(), ["run"])
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(loaded.address("run"))
    assert run(given.ctypes.data, 8) == sum(given[k] + 10 * given[k + 1] + 100 * given[k + 3] for k in (0, 4))


def behind_whole_strides(f: Function, n: Value) -> Integer:
    """10 for each stride of 4 below n, and what is left of them."""
    whole = f.sub(n, f.rem(n, 4))
    with f.loop(0, whole, 4, carry=[i64(0)]) as loop:
        loop.next = [i64(f.add(loop.carried[0], 10))]
    with f.loop(whole, n, 4, carry=loop.results) as rest:
        rest.next = [i64(f.add(rest.carried[0], f.sub(n, rest.index)))]
    return rest.results[0]


def behind_longer_strides(f: Function, n: Value) -> Integer:
    """The same with the rest one by one: several turns."""
    whole = f.sub(n, f.rem(n, 4))
    with f.loop(whole, n, 1, carry=[i64(f.mul(f.div(n, 4), 10))]) as rest:
        rest.next = [i64(f.add(rest.carried[0], 1))]
    return rest.results[0]


def only_turn(f: Function, n: Value) -> Integer:
    """n + 3 by a loop that is known to turn once."""
    with f.loop(3, 5, 2, carry=[n]) as loop:
        loop.next = [i64(f.add(loop.carried[0], loop.index))]
    return loop.results[0]


@pytest.mark.parametrize(
    ("body", "loops", "results"),
    [
        pytest.param(behind_whole_strides, 1, {0: 0, 3: 3, 4: 10, 9: 21, -2: 0}, id="a rest of one turn"),
        pytest.param(behind_longer_strides, 1, {0: 0, 3: 3, 4: 10, 9: 21}, id="a rest of several turns"),
        pytest.param(only_turn, 0, {5: 8}, id="one turn"),
        pytest.param(nested, 2, {7: 12, 0: 0}, id="a loop in a loop"),
    ],
)
def test_what_turns_once_is_no_loop(body: Body, loops: int, results: Mapping[int, int]) -> None:
    f = Function(Module(HOST), "run", [("i64", "n")], result="i64")
    f.ret(i64(body(f, f.arguments[0])))
    assert {given: of_integer(body)(given) for given in results} == results
    assert len(headers(f.text())) == loops


def headers(text: str) -> set[str]:
    """Blocks to which a branch goes back."""
    found, seen = set[str](), set[str]()
    for line in text.splitlines():
        if line.endswith(":"):
            seen.add(line[:-1])
        if line.startswith("  br "):
            found |= {label for label in re.findall(r"label %(\w+)", line) if label in seen}
    return found


def test_only_the_innermost_loop_is_followed() -> None:
    """Loop strength reduction takes as long over outer ones, where addresses cost nothing."""
    f = Function(Module(HOST), "run", [("i64", "n")], result="i64")
    f.ret(i64(nested(f, f.arguments[0])))
    assert f.text().count("llvm.expect") == 1


def test_known_integers_write_nothing() -> None:
    f = Function(Module(HOST), "run")
    before = f.text()
    assert [f.add(2, 3), f.sub(2, 3), f.mul(2, 3), f.div(-7, 2), f.rem(-7, 2), f.min(2, 3), f.max(2, 3)] == [
        5, -1, 6, -3, -1, 2, 3,
    ]  # fmt: skip
    n = Value("%n", "i64")
    assert [f.add(n, 0), f.sub(n, 0), f.mul(n, 1), f.mul(0, n), f.div(n, 1), f.rem(n, 1)] == [n, n, n, 0, n, 0]
    assert f.compare("slt", 2, 3).text == "true"
    assert f.text() == before


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        pytest.param(lambda module: Function(module, "run"), "two functions", id="name"),
        pytest.param(lambda module: module.declare("i32", "@puts", ["i64"]), "declared twice", id="declaration"),
    ],
)
def test_mistakes_are_named(mistake: Callable[[Module], object], message: str) -> None:
    module = Module(HOST)
    Function(module, "run")
    module.declare("i32", "@puts", ["ptr"])
    with pytest.raises(InternalError, match=message):
        mistake(module)


def test_a_loop_must_carry_on() -> None:
    f = Function(Module(HOST), "run")
    with pytest.raises(InternalError, match="carries 1 values, and next has 0"), f.loop(0, 3, carry=[i64(0)]):
        pass


def test_ten_thousand_instructions_are_quick() -> None:
    def write() -> float:
        f = Function(Module(HOST), "run", [("double", "x")], result="double")
        k, value = Lanes(f, "double", 1, HOST), f.arguments[0]
        start = time.perf_counter()
        for _ in range(10_000):
            value = k.add(value, value)
        f.module.text()
        return time.perf_counter() - start

    assert min(write() for _ in range(5)) < 0.5  # 0.03 s on a quiet machine


def test_imported_symbols_are_called_wherever_they_are() -> None:
    f = Function(Module(HOST), "run", [("double", "x")], result="double")
    f.ret(f.call("double", "@somewhere", f.arguments[0]))
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    ours = kind(lambda x: 3 * x)
    address = ctypes.cast(ours, ctypes.c_void_p).value
    assert address is not None
    loaded = compile_text(f.module.text(), ["run"], imports={"somewhere": address})
    assert kind(loaded.address("run"))(14.0) == 42.0


def test_tables_and_variables() -> None:
    module = Module(HOST)
    f = Function(module, "run", [("i64", "n")], result="i64")
    table, counter = module.table("primes", "i64", ["2", "3", "5"]), module.variable("calls", "i64")
    calls = f.add(f.load("i64", counter), 1)
    f.store(i64(calls), counter)
    f.ret(i64(f.mul(f.load("i64", f.gep("i64", table, f.arguments[0])), calls)))
    loaded = compile_text(module.text(), ["run"])
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.address("run"))
    assert [run(0), run(1), run(2)] == [2, 6, 15]


# ----------------------------------------------------------------------------------------- lanes and memory


@pytest.mark.parametrize("lanes", [1, 4, 8])
@pytest.mark.parametrize("element", ["double", "float"])
def test_memory(element: str, lanes: int) -> None:
    """Masked, strided and gathered numbers come from, and go to, where they should, and nowhere else."""
    kind = np.float64 if element == "double" else np.float32
    f = Function(Module(HOST), "run", [("ptr", "x"), ("ptr", "y"), ("i64", "count"), ("i64", "stride")])
    x, y, count, stride = f.arguments
    k = Lanes(f, element, lanes, HOST)
    mask = k.first(count)
    k.store_masked(k.load_masked(x, mask, -1.0), y, mask)
    k.store_strided(k.load_strided(x, stride), f.gep(element, y, 100), stride)
    k.store(k.load_strided(x, 3), f.gep(element, y, 200))
    k.store(k.load_strided(x, 0), f.gep(element, y, 300))
    k.store(k.gather(x, k.counting(5, 2), mask, 9.0), f.gep(element, y, 400))
    f.ret()
    loaded = compile_text(f.module.text(), ["run"])
    source, result = np.arange(1, 101, dtype=kind), np.zeros(500, kind)
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, pointer, pointer, integer, integer)(loaded.address("run"))
    call(source.ctypes.data, result.ctypes.data, lanes - 1, 7)
    want = np.zeros(500, kind)
    want[: lanes - 1] = source[: lanes - 1]
    want[100 : 100 + 7 * lanes : 7] = source[: 7 * lanes : 7]
    want[200 : 200 + lanes] = source[: 3 * lanes : 3]
    want[300 : 300 + lanes] = source[0]
    want[400 : 400 + lanes] = [*source[5 : 5 + 2 * (lanes - 1) : 2], 9.0]
    np.testing.assert_array_equal(result, want)


def halving_tree(numbers: np.ndarray) -> np.floating:
    """The documented order: lane i with lane i + n/2, and so on."""
    while numbers.size > 1:
        half = numbers.size // 2
        numbers = numbers[:half] + numbers[half:]
    return numbers[0]


@pytest.mark.parametrize("lanes", [1, 2, 8, 16])
@pytest.mark.parametrize(("element", "kind"), [("double", np.float64), ("float", np.float32)])
def test_reductions(element: str, kind: type, lanes: int) -> None:
    f = Function(Module(HOST), "run", [("ptr", "x"), ("ptr", "y")])
    k = Lanes(f, element, lanes, HOST)
    value = k.load(f.arguments[0])
    for at, reduced in enumerate([k.reduce_add(value), k.reduce_max(value), k.reduce_min(value)]):
        f.store(reduced, f.gep(element, f.arguments[1], at))
    f.ret()
    loaded = compile_text(f.module.text(), ["run"])
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(loaded.address("run"))
    numbers, result = np.random.default_rng(lanes).normal(size=lanes).astype(kind), np.zeros(3, kind)
    call(numbers.ctypes.data, result.ctypes.data)
    np.testing.assert_array_equal(result, [halving_tree(numbers), numbers.max(), numbers.min()])
    numbers[lanes // 2] = np.nan
    call(numbers.ctypes.data, result.ctypes.data)
    assert np.isnan(result).all()
