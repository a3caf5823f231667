"""Calls that repeat one that went well: the same bits as the general way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from quick_calls import A3, RNG, M, V, W, X, Y, Z, a, b, c, k, layer, layer_values, outcome, same, table, v3, warm, x3

import sympile as sm
from sympile.runtime import shortcut

# fmt: off
FUNCTIONS = [
    #            arguments   expression                            values                              id
    pytest.param([a, b],     sp.sin(a) * b + a,                    (X, Y),                             id="elementwise"),
    pytest.param([a, b],     a * b,                                (X.reshape(5, 8), Y.reshape(5, 8)), id="two axes"),
    pytest.param([a, b],     sp.exp(a) - b,                        (X, 2.5),                           id="array and float"),
    pytest.param([a, b],     sp.exp(a) - b,                        (X, 7),                             id="array and int"),
    pytest.param([a, b],     sp.exp(a) - b,                        (0.25, np.float64(3.5)),            id="numbers alone"),
    pytest.param([a, b],     sp.exp(a) - b,                        (np.array(0.25), -(2**63)),         id="no axes, smallest int64"),
    pytest.param([a, b],     [a + b, a * b, a],                    (X, Y),                             id="a list"),
    pytest.param([a, b],     [a + b],                              (X, Y),                             id="a list of one"),
    pytest.param([a, b, c],  a * c,                                (X, Y, Z),                          id="an argument without effect"),
    pytest.param([A3, v3],   A3 * v3,                              (M, V),                             id="matrices"),
    pytest.param([A3, v3],   A3 * v3 + A3 * (A3 * v3),             (M, V),                             id="buffers between"),
    pytest.param([A3, v3],   A3 * v3,                              (np.stack([M, 2 * M]), np.stack([V, V])), id="matrices in a stack"),
    pytest.param([A3, v3],   A3.I * v3,                            (M, V),                             id="a solution"),
    pytest.param([A3],       sp.Trace(A3),                         (M,),                               id="a number of a matrix"),
    pytest.param([table, k], table[k],                             (X[:5].copy(), np.arange(5)[::-1].copy()), id="gathered"),
]
# fmt: on


def cast(value: Any, dtype: str) -> Any:
    return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the calls that take the general way."""
    calls: list[int] = []
    original = sm.runtime.model.functions.Function._general

    def spy(self: Any, values: Any, out: Any) -> Any:
        calls.append(1)
        return original(self, values, out)

    monkeypatch.setattr(sm.runtime.model.functions.Function, "_general", spy)
    return calls


# ------------------------------------------------------------------------------------------------ the same results


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("args", "expression", "values"), FUNCTIONS)
def test_the_same_bits(args: Any, expression: Any, values: tuple[Any, ...], dtype: str, general: list[int]) -> None:
    f = sm.lambdify(args, expression, dtype=dtype)
    given = [cast(value, dtype) for value in values]
    first = f(*given)
    f(*given)
    same(f(*given), first)
    assert len(general) == 2
    others = [np.asarray(v * v.dtype.type(1.5)) if getattr(v, "dtype", None) == dtype else v for v in given]
    same(f(*others), sm.lambdify(args, expression, dtype=dtype)(*others))
    assert len(general) == 3, "only the fresh function took the general way"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("args", "expression", "values"), FUNCTIONS)
def test_into_given_arrays(args: Any, expression: Any, values: tuple[Any, ...], dtype: str, general: list[int]) -> None:
    given = [cast(value, dtype) for value in values]
    f = sm.lambdify(args, expression, dtype=dtype)
    wanted = warm(f, *given)(*given)
    general.clear()
    several = isinstance(wanted, list)
    out = [np.full(np.shape(w), np.nan, dtype) for w in (wanted if several else [wanted])]
    result = f(*given, out=out if several else out[0])
    assert all(r is o for r, o in zip(result if several else [result], out, strict=True))
    assert not several or result is not out, "a list of its own, as in the general way"
    same(out if several else out[0][()], wanted)
    assert not general


def test_the_values_of_the_moment_count() -> None:
    f, x, y = sm.lambdify([a, b], a * b), X.copy(), Y.copy()
    warm(f, x, y)
    for _ in range(3):
        x += 1.0
        y *= 1.25
        np.testing.assert_array_equal(f(x, y), x * y)
    other = RNG.normal(size=40)
    np.testing.assert_array_equal(f(other, y), other * y)


def test_results_are_new_arrays() -> None:
    f = warm(sm.lambdify([a, b], [a * b, a - b]), X, Y)
    first, second = f(X, Y), f(X, Y)
    assert not any(np.shares_memory(p, q) for p in first for q in (*second, X, Y))
    assert all(p.flags.owndata and p.flags.writeable and p.flags.c_contiguous for p in first)


def test_many_shapes() -> None:
    """More than are kept; forgotten ones work too."""
    f = sm.lambdify([a, b], a - 2 * b)
    for _ in range(4):
        for n in range(1, 9):
            for _ in range(3):
                np.testing.assert_array_equal(f(X[:n].copy(), Y[:n].copy()), X[:n] - 2 * Y[:n])
    assert len(f._shortcuts.ways) == shortcut.MOST_WAYS


# ------------------------------------------------------------------------------------------------ models


CALLS = ("forward", "backward", "value_and_grad", "predict", "evaluate")


def flattened(result: Any) -> list[tuple[Any, ...]]:
    """All that one can see of a result."""
    if isinstance(result, tuple):
        return [part for one in result for part in flattened(one)]
    if hasattr(result, "items"):
        return [(str(key), *one) for key, value in result.items() for one in flattened(value)]
    array = np.asarray(result)
    return [(type(result), array.dtype, array.shape, array.tobytes())]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CALLS)
def test_models(name: str, dtype: str) -> None:
    model, fresh = layer(dtype), layer(dtype)
    call = getattr(model, name)
    for n in (5, 7):
        values = layer_values(n, dtype)
        first = call(values)
        call(values)
        assert flattened(call(values)) == flattened(first)
        others = layer_values(n, dtype, 1.5)
        assert flattened(call(others)) == flattened(getattr(fresh, name)(others))
    part = next(iter(model._parts.values()))
    assert len(part._shortcuts.ways) == 2


def test_models_find_mistakes_after_many_good_calls() -> None:
    model, values = layer(), layer_values(5, "float64")
    for _ in range(3):
        model.value_and_grad(values)
    bad = [
        {**values, "W": values[W]},
        {**values, "nobody": 1.0},
        {key: value for key, value in values.items() if key != "bias"},
        {**values, W: values[W].T},
        {**values, x3: values[x3][:4]},
        {**values, x3: values[x3] * 1j},
    ]
    for given in bad:
        message = outcome(lambda g=given: layer().forward(g))  # type: ignore[misc]
        assert issubclass(message[0], sm.SympileError)
        assert outcome(lambda g=given: model.value_and_grad(g)[0]) == message  # type: ignore[misc]
