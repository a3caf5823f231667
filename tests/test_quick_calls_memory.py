"""Quick calls leak nothing and disturb no other thread; other Pythons take the general way."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from at_once import at_once
from quick_calls import A3, RNG, Array, M, V, X, Y, a, b, layer, layer_values, same, v3, warm

import sympile as sm
from sympile.compiler.errors import ArgumentError
from sympile.compiler.program import OBJECT_LAYOUT
from sympile.runtime import objects, shortcut

# ------------------------------------------------------------------------------------------------ memory and threads


def test_nothing_leaks() -> None:
    f = warm(sm.lambdify([a, b], [a * b, a + b]), X, Y)
    g = warm(sm.lambdify([a, b], a * b), X, 2.0)
    model, values = layer(), layer_values(5, "float64")
    out = [np.zeros(40), np.zeros(40)]
    held = (X, Y, *out, np.ndarray, X.dtype, *values.values())

    def quick() -> None:
        f(X, Y)
        f(X, Y, out=out)
        g(X, 2.0)
        g(X, 2.0, out=out[0])
        model.value_and_grad(values)

    def refused() -> None:
        with pytest.raises(ArgumentError):
            f(X, Y, out=[out[0], out[0]])
        g(X[::-1], 2.0)

    def repeat(times: int) -> None:
        for _ in range(times):
            quick()
        for _ in range(times // 20):
            refused()
        gc.collect()

    repeat(40)
    tracemalloc.start()
    before, start = [sys.getrefcount(each) for each in held], tracemalloc.get_traced_memory()[0]
    repeat(2000)
    grown = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    after = [sys.getrefcount(each) for each in held]
    assert all(abs(p - q) < 20 for p, q in zip(before, after, strict=True))
    assert grown < 20_000


def test_functions_are_freed() -> None:
    """No circle and no table of all functions: what is dropped is gone, while its results live on."""

    def once() -> Array:
        f = warm(sm.lambdify([a, b], a - 2 * b), X, Y)
        held.append(f._shortcuts.ways[0].__self__[2])
        counts.append(sys.getrefcount(held[0]))
        return f(X, Y)  # type: ignore[no-any-return]

    held: list[Any] = []
    counts: list[int] = []
    result = once()
    left = sys.getrefcount(held[0])
    assert left == counts[0] - 1
    np.testing.assert_array_equal(result, X - 2 * Y)


@pytest.mark.parametrize("release", [False, True], ids=["with the lock", "without the lock"])
def test_one_function_in_many_threads(monkeypatch: pytest.MonkeyPatch, release: bool) -> None:
    """Buffers between belong to one call at a time; whoever comes meanwhile takes the general way."""
    monkeypatch.setattr(shortcut, "SHORT", -1.0 if release else 1e9)
    n = 4000
    f = sm.lambdify([A3, v3], A3 * v3 + A3 * (A3 * v3))
    inputs = [(RNG.normal(size=(n, 3, 3)), RNG.normal(size=(n, 3, 1))) for _ in range(6)]
    wanted = [sm.lambdify([A3, v3], A3 * v3 + A3 * (A3 * v3))(*values).tobytes() for values in inputs]
    warm(f, *inputs[0])
    wrong: list[object] = []

    def work(number: int) -> None:
        out = np.zeros((n, 3, 1))
        for turn in range(40):
            result = f(*inputs[number], out=out if turn % 2 else None)
            if result.tobytes() != wanted[number]:
                wrong.append(number)

    at_once(work, len(inputs))
    assert not wrong


def test_large_buffers_stay_on_the_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut, "MOST_BYTES", 100)
    f = sm.lambdify([A3, v3], A3 * v3 + A3 * (A3 * v3))
    stacked = np.stack([M] * 50), np.stack([V] * 50)
    results = [f(*stacked) for _ in range(4)]
    assert not f._shortcuts.ways
    same(results[3], results[0])


# ------------------------------------------------------------------------------------------------ other Pythons


@pytest.fixture
def asked_anew() -> Any:
    objects.as_expected.cache_clear()
    yield
    objects.as_expected.cache_clear()


# fmt: off
OTHERS = [
    pytest.param(sys.implementation, "name", "pypy",                          id="another Python"),
    pytest.param(sys, "version", f"{sys.version} free-threading build",      id="free threads"),
    pytest.param(objects.struct, "calcsize", lambda kind: 4,                 id="32 bits"),
]
# fmt: on


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(("owner", "name", "value"), OTHERS)
def test_other_pythons_take_the_general_way(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, value: Any) -> None:
    monkeypatch.setattr(owner, name, value)
    assert objects.quickest_address()(X) == X.ctypes.data
    f = sm.lambdify([a, b], a * b)
    results = [f(X, Y) for _ in range(4)]
    assert not f._shortcuts.ways
    same(results[3], results[0])


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("place", OBJECT_LAYOUT)
def test_other_structures_are_noticed(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    assert objects.as_expected()
    objects.as_expected.cache_clear()
    other = {name: at + 8 * (name == place) for name, at in OBJECT_LAYOUT.items()}
    if place == "flags":
        other["flags"] = OBJECT_LAYOUT["rank"]
    if place == "dimensions":
        other["dimensions"] = OBJECT_LAYOUT["dimensions"] + 8  # strides
    monkeypatch.setattr(objects, "OBJECT_LAYOUT", other)
    assert not objects.as_expected()
