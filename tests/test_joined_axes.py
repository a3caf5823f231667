"""Axes that lie side by side in all that a sum of products reads and writes: they are one axis of its nest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from definition_world import World
from test_code_generation import DTYPES, compiled, run
from test_row_panels import everything_is_split, narrow  # noqa: F401 - a fixture

from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import ZERO
from sympile.compiler.graph.rebuild import maximum
from sympile.compiler.passes.emitting.joined_axes import joined
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.show.nests import nests_text
from sympile.runtime import pool
from sympile.runtime.native import NativeProgram

LENGTHS = dict(zip("abcdefijk", (3, 7, 5, 9, 11, 2, 6, 13, 4), strict=True))

# what is summed, and how many axes its nest has
CASES = {
    "abij,ijcd->abcd": 3,
    "abij,cdij->abcd": 4,  # of the second operand a copy is read in which d, which lies across the lanes, is the last axis
    "ijab,ijcd->abcd": 3,
    "ijka,ijkb->ab": 3,
    "abci,ide->abcde": 3,
    "ijab,ijab->ij": 4,  # so small that it is left alone
    "kiab,kicd->kabcd": 4,
    "abij,jicd->abcd": 4,
    "abij,ijcd->abdc": 4,
    "abij,ijcd->acbd": 5,
    "jab,jcd,j->abcd": 3,
}


def tensor_of(letters: str, w: World) -> Definition:
    inputs, result = letters.split("->")
    used = dict.fromkeys(letter for letter in letters if letter.isalpha())
    index = dict(zip(used, w.indices(" ".join(used)), strict=True))
    factors = [
        read(w.input(f"x{at}", " ".join(word)), *[index[letter] for letter in word])
        for at, word in enumerate(inputs.split(","))
    ]
    summed = [index[letter] for letter in used if letter not in result]
    return define([index[letter] for letter in result], summed, "sum", mul(*factors))


def axes_of(tensor: Definition) -> int:
    """Of the nest of a sum."""
    group = fuse([tensor]).groups[-1]
    one = joined(group)
    return len((one.group if one else group).domain)


def assert_right(found: Any, want: Any, dtype: str) -> None:
    np.testing.assert_allclose(found, want, rtol=0, atol=200 * np.finfo(dtype).eps * np.abs(want).max())


@pytest.mark.parametrize("letters", CASES)
def test_how_many_axes_are_left(letters: str) -> None:
    assert axes_of(tensor_of(letters, World(LENGTHS, symbolic=False))) == CASES[letters]


@pytest.mark.parametrize("row", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("letters", CASES)
def test_against_numpy(letters: str, dtype: str, row: str) -> None:
    w = World(LENGTHS, symbolic=False)
    tensor = tensor_of(letters, w)
    (found,) = run(compiled(w, [tensor], dtype, narrow(row)), w)
    assert_right(found, np.einsum(letters, *w.values.values()), dtype)


@pytest.mark.parametrize("letters", CASES)
def test_sizes_that_are_not_known_stay_apart(letters: str) -> None:
    w = World(LENGTHS, symbolic=True)
    tensor = tensor_of(letters, w)
    assert joined(fuse([tensor]).groups[-1]) is None
    (found,) = run(compiled(w, [tensor], "float64"), w)
    assert_right(found, np.einsum(letters, *w.values.values()), "float64")


def finished(w: World) -> Definition:
    """A bias along one of the axes that could be joined: only those of the columns are."""
    a, b, c, d = w.indices("a b c d")
    inside = add(read(tensor_of("abij,ijcd->abcd", w), a, b, c, d), read(w.input("bias", "b c d"), b, c, d))
    return elementwise((a, b, c, d), maximum(inside, ZERO))


def of_one(w: World) -> Definition:
    """An operand that is read twice, of which one half of the symmetric result is computed."""
    a, b, c, d, i, j = w.indices("i j i j e k")
    x = w.input("x", "e k i j")
    return define((a, b, c, d), (i, j), "sum", mul(read(x, i, j, a, b), read(x, i, j, c, d)))


def guarded(w: World) -> Definition:
    """An index that stands in a guard is none of a pair."""
    a, b, c, i, j = w.indices("a b c i j")
    body = mul(read(w.input("x", "a b i j"), a, b, i, j), read(w.input("y", "i j c"), i, j, c))
    return define((a, b, c), (i, j), "sum", when(body, at_least_zero(sub(i, a))))


def guarded_by_numpy(v: Any) -> Any:
    reached = np.arange(LENGTHS["i"]) >= np.arange(LENGTHS["a"])[:, None]
    return np.einsum("abij,ijc,ai->abc", v["x"], v["y"], reached)


OTHERS = {
    "a bias": (
        finished,
        lambda v: np.maximum(np.einsum("abij,ijcd->abcd", v["x0"], v["x1"]) + v["bias"], 0),
        4,
    ),
    "an operand with itself": (of_one, lambda v: np.einsum("ekab,ekcd->abcd", v["x"], v["x"]), 3),
    "a guard": (guarded, guarded_by_numpy, 5),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str, dtype: str) -> None:
    build, by_numpy, axes = OTHERS[name]
    w = World(LENGTHS, symbolic=False)
    tensor = build(w)
    assert axes_of(tensor) == axes
    (found,) = run(compiled(w, [tensor], dtype), w)
    assert_right(found, by_numpy(w.values), dtype)


def test_several_in_one_program() -> None:
    """Those that are alike share a function, and one reads what another has written."""
    w = World({**LENGTHS, "m": 6, "n": 5}, symbolic=False)
    a, b, c, d, i, j = w.indices("m n m n m n")
    x, y = w.input("x", "m n m n"), w.input("y", "m n m n")
    once = define((a, b, c, d), (i, j), "sum", mul(read(x, a, b, i, j), read(y, i, j, c, d)))
    twice = define((a, b, c, d), (i, j), "sum", mul(read(once, a, b, i, j), read(y, i, j, c, d)))
    found = run(compiled(w, [once, twice], "float64"), w)
    want = np.einsum("abij,ijcd->abcd", w.values["x"], w.values["y"])
    assert_right(found[0], want, "float64")
    assert_right(found[1], np.einsum("abij,ijcd->abcd", want, w.values["y"]), "float64")


@pytest.mark.parametrize("letters", ["abij,ijcd->abcd", "ijka,ijkb->ab"])
def test_same_bits_for_any_number_of_threads(everything_is_split: None, letters: str) -> None:  # noqa: F811
    w = World(LENGTHS, symbolic=False)
    native = NativeProgram(compiled(w, [tensor_of(letters, w)], "float64"))
    results = []
    for threads in (1, 3):
        pool.stop()
        pool.start(threads)
        results.append(run(native.program, w, native)[0].tobytes())
    assert results[0] == results[1]


def test_what_is_shown_is_what_is_written() -> None:
    """The nest has the axes that are one, and what it copies is called as it was."""
    w = World({"a": 20, "b": 30, "c": 12, "d": 13, "i": 40, "j": 50}, symbolic=False)
    fused = fuse([tensor_of("ijab,ijcd->abcd", w)])
    shown = nests_text(fused, schedule(fused, narrow("avx512").core("double")), {})
    nest = shown.splitlines()[-1]
    assert "< 600" in nest and "< 156" in nest and "< 2000" in nest and "x0[" in nest and "x1[" in nest
    assert "rows at a time" in nest
