"""Sums of products in every lay of their operands: how each is made, at which sizes, by NumPy, and why it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from definition_world import World
from symmetric_sums import gram, gram_across, gram_by_numpy, outer_gram, ridge, ridge_by_numpy, tilted

from sympile.compiler.graph.arithmetic import add, mul, sub
from sympile.compiler.graph.brackets import at_least_zero
from sympile.compiler.graph.conditions import when
from sympile.compiler.graph.definition import Definition, define, elementwise, read
from sympile.compiler.graph.node import ONE, TWO, ZERO
from sympile.compiler.graph.rebuild import maximum
from sympile.compiler.passes.schedule import Loops
from sympile.compiler.passes.scheduling.tiles import length_of

Values = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """A formula, sizes for which it is checked, and the same in NumPy."""

    build: Callable[[World], Definition]
    lengths: Mapping[str, int]
    numpy: Callable[[Values], Any]
    shows: Callable[[Loops], bool] = field(default=lambda loops: True)  # why the row is here, on AVX-512


def product(ways: str) -> Callable[[World], Definition]:
    def build(w: World) -> Definition:
        i, j, k = w.indices("m n k")
        a = w.input("a", "m k") if ways[0] == "N" else w.input("a", "k m")
        b = w.input("b", "k n") if ways[1] == "N" else w.input("b", "n k")
        left = read(a, i, k) if ways[0] == "N" else read(a, k, i)
        right = read(b, k, j) if ways[1] == "N" else read(b, j, k)
        return define((i, j), (k,), "sum", mul(left, right))

    return build


def by_numpy(ways: str) -> Callable[[Values], Any]:
    return lambda v: (v["a"] if ways[0] == "N" else v["a"].T) @ (v["b"] if ways[1] == "N" else v["b"].T)


def finished(w: World) -> Definition:
    """A scaled product plus a bias, cut off at 0: finished when the last block of turns is there."""
    return finish(w, "NN")


def finished_turned(w: World) -> Definition:
    """The same of an operand that lies the other way."""
    return finish(w, "NT")


def finish(w: World, ways: str) -> Definition:
    i, j = w.indices("m n")
    summed, bias = product(ways)(w), w.input("bias", "n")
    inside = add(mul(TWO, read(summed, i, j)), read(bias, j))
    return elementwise((i, j), maximum(inside, ZERO))


def guarded(w: World) -> Definition:
    """T[e, a, c] = sum over p, f of g[e, a - p, f] k[p, c, f] where that lies inside; the guards bound the loop over p."""
    e, a, c, p, f = w.indices("m n 8 3 k")
    g, kernel = w.input("a", "m n k"), w.input("b", "3 8 k")
    at = sub(a, p)
    inside = (at_least_zero(at), at_least_zero(sub(sub(w.extent("n"), ONE), at)))
    return define((e, a, c), (p, f), "sum", when(mul(read(g, e, at, f), read(kernel, p, c, f)), *inside))


def guarded_by_numpy(v: Values) -> Any:
    g, kernel = v["a"], v["b"]
    result = np.zeros((g.shape[0], g.shape[1], kernel.shape[1]))
    for p in range(3):
        result[:, p:] += np.einsum("eaf,cf->eac", g[:, : g.shape[1] - p], kernel[p])
    return result


def triangular(w: World) -> Definition:
    """The guard differs within a tile or bounds the loop, whatever the tile is."""
    i, j, k = w.indices("m n k")
    body = mul(read(w.input("a", "m k"), i, k), read(w.input("b", "k n"), k, j))
    return define((i, j), (k,), "sum", when(body, at_least_zero(sub(i, k)), at_least_zero(sub(j, k))))


def triangular_by_numpy(v: Values) -> Any:
    a, b = v["a"], v["b"]
    terms = a[:, :, None] * b[None]
    i, k, j = np.ogrid[: a.shape[0], : a.shape[1], : b.shape[1]]
    return np.where((i >= k) & (j >= k), terms, 0.0).sum(1)


def windows(w: World) -> Definition:
    """The weights of a convolution: rows of a tile along two axes."""
    p, q, f, e, i, j = w.indices("3 3 9 m n k")
    x, g = w.input("x", "m n k"), w.input("g", "m n k 9")
    last = sub(sub(w.extent("n"), ONE), add(i, p)), sub(sub(w.extent("k"), ONE), add(j, q))
    body = mul(read(x, e, add(i, p), add(j, q)), read(g, e, i, j, f))
    return define((p, q, f), (e, i, j), "sum", when(body, *[at_least_zero(n) for n in last]))


def windows_by_numpy(v: Values) -> Any:
    x, g = v["x"], v["g"]
    n, k = x.shape[1:]
    return np.array(
        [[np.einsum("eij,eijf->f", x[:, p:, q:], g[:, : n - p, : k - q]) for q in range(3)] for p in range(3)]
    )


def batched(w: World) -> Definition:
    e, i, j, k = w.indices("4 m n k")
    return define(
        (e, i, j), (k,), "sum", mul(read(w.input("a", "4 m k"), e, i, k), read(w.input("b", "4 n k"), e, j, k))
    )


def heads(w: World) -> Definition:
    """Rows that all heads of an example share in no operand: tiles must not reach over heads, or nothing is packed."""
    b, h, i, j, k = w.indices("2 4 m n k")
    a, c = w.input("a", "2 m 4 k"), w.input("b", "2 n 4 k")
    return define((b, h, i, j), (k,), "sum", mul(read(a, b, i, h, k), read(c, b, j, h, k)))


def weighted(w: World) -> Definition:
    """A weight of each turn goes with the operand that a tile has fewest copies of."""
    i, j, k = w.indices("m n k")
    a, b, d = w.input("a", "m k"), w.input("b", "k n"), w.input("d", "k")
    return define((i, j), (k,), "sum", mul(read(a, i, k), read(d, k), read(b, k, j)))


def two_indices(w: World) -> Definition:
    """Reduced over two indices, in blocks of the outer one."""
    i, j, k, l = w.indices("m n k 3")
    return define(
        (i, j), (k, l), "sum", mul(read(w.input("a", "m k 3"), i, k, l), read(w.input("b", "k 3 n"), k, l, j))
    )


def two_sums(w: World) -> Definition:
    """Lanes along the inner one of two reduced indices, where lines of the other operand lie apart."""
    i, j, l, k = w.indices("m n 5 k")
    return define(
        (i, j), (l, k), "sum", mul(read(w.input("a", "m 5 k"), i, l, k), read(w.input("b", "5 k n"), l, k, j))
    )


def strided(w: World) -> Definition:
    """One column out of three: its numbers lie apart, and no axis of the result lies along them."""
    i, k = w.indices("m k")
    return define((i,), (k,), "sum", mul(read(w.input("a", "m k"), i, k), read(w.input("b", "k 3"), k, ZERO)))


def sizes(m: int, n: int, k: int) -> dict[str, int]:
    return {"m": m, "n": n, "k": k}


def packs(loops: Loops) -> bool:
    return bool(loops.packed)


def packs_lines(loops: Loops) -> bool:
    """Lanes along the sum, and an operand in which they lie apart."""
    return loops.vector_is_reduced and bool(loops.packed)


def along_the_sum(loops: Loops) -> bool:
    """Lanes along the sum, equal parts of a second axis in a tile."""
    return loops.vector_is_reduced and loops.seconds > 1 and not loops.packed


def as_it_lies(loops: Loops) -> bool:
    return not loops.packed


def rows_side_by_side(loops: Loops) -> bool:
    """Results lie side by side along the rows of a tile, not along its lanes."""
    assert loops.row is not None and loops.vector is not None
    return packs(loops) and length_of(loops.row) > length_of(loops.vector)


def halved(loops: Loops) -> bool:
    return loops.half


def whole(loops: Loops) -> bool:
    return not loops.half


LARGE = sizes(150, 203, 451)
CASES: dict[str, Case] = {
    **{f"{ways} small": Case(product(ways), sizes(13, 21, 17), by_numpy(ways)) for ways in ("NN", "TN", "NT", "TT")},
    **{f"{ways} large": Case(product(ways), LARGE, by_numpy(ways), packs) for ways in ("NN", "TN", "NT", "TT")},
    **{f"{ways} in blocks": Case(product(ways), sizes(130, 37, 2100), by_numpy(ways), packs) for ways in ("NN", "NT")},
    "a bias, in blocks": Case(
        finished, sizes(130, 37, 2100), lambda v: np.maximum(2 * (v["a"] @ v["b"]) + v["bias"], 0), packs
    ),
    "NT, turned before it is stored": Case(product("NT"), sizes(69, 131, 500), by_numpy("NT"), rows_side_by_side),
    "a bias, turned before it is stored": Case(
        finished_turned,
        sizes(64, 128, 784),
        lambda v: np.maximum(2 * (v["a"] @ v["b"].T) + v["bias"], 0),
        rows_side_by_side,
    ),
    "NN as it lies": Case(product("NN"), sizes(40, 24, 64), by_numpy("NN"), as_it_lies),
    "one row": Case(product("NT"), sizes(1, 37, 70), by_numpy("NT")),
    "one column": Case(product("NN"), sizes(70, 1, 37), by_numpy("NN")),
    "ten columns": Case(product("NT"), sizes(64, 10, 100), by_numpy("NT"), along_the_sum),
    "eighteen columns": Case(product("NT"), sizes(18, 64, 41), by_numpy("NT")),
    **{f"{n} columns, turned": Case(product("NN"), sizes(61, n, 3 * n + 11), by_numpy("NN")) for n in (2, 5, 6, 7, 9)},
    "three columns, turned": Case(product("NN"), sizes(64, 3, 37), by_numpy("NN"), packs_lines),
    "ten columns, turned": Case(product("NN"), sizes(64, 10, 64), by_numpy("NN"), packs_lines),
    "three columns, two sums": Case(
        two_sums, sizes(64, 3, 21), lambda v: np.einsum("mlk,lkn->mn", v["a"], v["b"]), packs_lines
    ),
    "one column of three": Case(strided, sizes(60, 1, 37), lambda v: v["a"] @ v["b"][:, 0]),
    "a bias, three columns": Case(
        finished, sizes(61, 3, 37), lambda v: np.maximum(2 * (v["a"] @ v["b"]) + v["bias"], 0)
    ),
    "guards bound a loop": Case(guarded, sizes(19, 7, 5), guarded_by_numpy),
    "guards within a tile": Case(triangular, sizes(23, 29, 31), triangular_by_numpy),
    "rows of two axes": Case(windows, sizes(5, 6, 7), windows_by_numpy),
    "batched": Case(batched, sizes(33, 35, 18), lambda v: v["a"] @ v["b"].swapaxes(1, 2)),
    "weighted": Case(weighted, LARGE, lambda v: (v["a"] * v["d"]) @ v["b"], lambda loops: loops.packed[0].op == "mul"),
    "heads": Case(heads, sizes(64, 64, 32), lambda v: np.einsum("bihk,bjhk->bhij", v["a"], v["b"]), packs),
    "two reduced indices": Case(
        two_indices, sizes(140, 40, 800), lambda v: np.tensordot(v["a"], v["b"], ((1, 2), (0, 1))), packs
    ),
    "a symmetric one": Case(gram, sizes(1, 101, 70), gram_by_numpy, halved),
    "a symmetric one, in blocks": Case(gram, sizes(1, 77, 2100), gram_by_numpy, halved),
    "a small symmetric one": Case(gram, sizes(1, 5, 70), gram_by_numpy, whole),
    "symmetric ones": Case(outer_gram, sizes(1, 66, 90), lambda v: v["a"] @ v["a"].swapaxes(1, 2), halved),
    "symmetric across an axis": Case(
        gram_across, sizes(1, 67, 80), lambda v: np.einsum("kei,kej->iej", v["a"], v["a"]), halved
    ),
    "a symmetric one, finished": Case(ridge, sizes(1, 101, 2100), ridge_by_numpy, halved),
    "a symmetric one, finished otherwise": Case(
        tilted, sizes(1, 101, 70), lambda v: 2 * gram_by_numpy(v) + v["bias"], whole
    ),
}


def assert_right(case: Case, w: World, found: Any, dtype: str, note: str = "") -> None:
    """As near as a sum of that many terms of this precision comes, in any order."""
    rounded = {name: np.asarray(value, dtype).astype(np.float64) for name, value in w.values.items()}
    want = case.numpy(rounded)
    np.testing.assert_allclose(found, want, rtol=0, atol=50 * np.finfo(dtype).eps * np.abs(want).max(), err_msg=note)
