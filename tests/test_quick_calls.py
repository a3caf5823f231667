"""Calls that repeat one that went well: the same bits and errors as the general way, whatever comes."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.errors import IndexOutOfRange
from sympile.compiler.program import OBJECT_LAYOUT
from sympile.runtime import objects, shortcut

Array = npt.NDArray[Any]
RNG = np.random.default_rng(21)
a, b, c = sp.symbols("a b c")
A3, v3 = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("v", 3, 1)
table, k = sp.IndexedBase("table", shape=(5,)), sp.Symbol("k", integer=True)
X, Y, Z = RNG.normal(size=(3, 40))
M = RNG.normal(size=(3, 3)) + 4 * np.eye(3)
V = RNG.normal(size=(3, 1))

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


def warm(f: Any, *values: Any) -> Any:
    """The function after two calls with these values: the third one need not come to Python."""
    f(*values), f(*values)
    assert f._shortcuts.ways
    return f


def same(given: Any, wanted: Any) -> None:
    """The same bits, shapes, dtypes and kinds of object."""
    assert type(given) is type(wanted)
    if isinstance(wanted, list):
        assert len(given) == len(wanted)
        for one, other in zip(given, wanted, strict=True):
            same(one, other)
        return
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    assert given.tobytes() == wanted.tobytes()


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


# ------------------------------------------------------------------------------------------------ unusual values

F_READ_ONLY = X.copy()
F_READ_ONLY.flags.writeable = False
MISALIGNED = np.zeros(8 * 40 + 1, np.uint8)[1:].view(np.float64)
MISALIGNED[:] = X


class Subclass(np.ndarray):
    """Might do anything."""


HOLED = np.ma.MaskedArray(X, mask=np.arange(40) == 3)

# fmt: off
UNUSUAL = [
    pytest.param((X.tolist(), Y),                    id="a list"),
    pytest.param((X[::-1], Y),                       id="backwards"),
    pytest.param((np.repeat(X, 2)[::2], Y),          id="every second number"),
    pytest.param((MISALIGNED, Y),                    id="misaligned"),
    pytest.param((F_READ_ONLY, Y),                   id="read-only"),
    pytest.param((X.astype(">f8"), Y),               id="the other byte order"),
    pytest.param((X.astype(np.float32), Y),          id="single precision"),
    pytest.param((X.astype(np.longdouble), Y),       id="long double"),
    pytest.param((np.arange(40), Y),                 id="integers"),
    pytest.param((X > 0, Y),                         id="truth values"),
    pytest.param((X.astype(complex), Y),             id="complex"),
    pytest.param((X.astype(object), Y),              id="objects"),
    pytest.param((X.astype(str), Y),                 id="strings"),
    pytest.param((HOLED, Y),                         id="masked"),
    pytest.param((np.ma.MaskedArray(X), Y),          id="masked, without a mask"),
    pytest.param((X.view(Subclass), Y),              id="a subclass"),
    pytest.param((X[:39].copy(), Y),                 id="one number less"),
    pytest.param((X[:1].copy(), Y),                  id="to be repeated"),
    pytest.param((X.reshape(40, 1), Y),              id="an outer combination"),
    pytest.param((X.reshape(1, 40), Y),              id="another axis"),
    pytest.param((X[:0].copy(), Y[:0].copy()),       id="no numbers"),
    pytest.param((X[:0].copy(), Y),                  id="no numbers, and some"),
    pytest.param((1.5, Y),                           id="a float for an array"),
    pytest.param((X, np.float32(1.5)),               id="a float32 for an array"),
    pytest.param((X, True),                          id="a truth value"),
    pytest.param((X, 2**63),                         id="an int beyond int64"),
    pytest.param((X, 2**70),                         id="an int beyond all dtypes"),
    pytest.param((X, 10**400),                       id="an int beyond all floats"),
    pytest.param((X, Fraction(1, 3)),                id="a fraction"),
    pytest.param((X, Decimal("0.5")),                id="a decimal"),
    pytest.param((X, 1j),                            id="a complex number"),
    pytest.param((X, None),                          id="None"),
    pytest.param((X, "1"),                           id="a string"),
    pytest.param((X, object()),                      id="an object"),
    pytest.param((X, float("nan")),                  id="nan"),
    pytest.param((X,),                               id="an argument less"),
    pytest.param((X, Y, Y),                          id="an argument more"),
    pytest.param((),                                 id="no argument"),
]
# fmt: on


def outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call returns or raises, to compare."""
    try:
        result = call()
    except Exception as error:
        return type(error), str(error)
    return result.dtype, result.shape, result.tobytes()


@pytest.mark.parametrize("second", [Y, 2.0], ids=["arrays", "array and number"])
@pytest.mark.parametrize("values", UNUSUAL)
def test_unusual_values(values: tuple[Any, ...], second: Any) -> None:
    f = warm(sm.lambdify([a, b], sp.sin(a) * b), X, second)
    wanted = outcome(lambda: sm.lambdify([a, b], sp.sin(a) * b)(*values))
    for _ in range(3):
        assert outcome(lambda: f(*values)) == wanted
    same(f(X, second), sm.lambdify([a, b], sp.sin(a) * b)(X, second))


LOCKED = np.zeros(40)
LOCKED.flags.writeable = False

# fmt: off
TARGETS = [
    pytest.param(lambda x: np.zeros(39),                        id="too short"),
    pytest.param(lambda x: np.zeros((40, 1)),                   id="another shape"),
    pytest.param(lambda x: np.zeros(40, np.float32),            id="another dtype"),
    pytest.param(lambda x: np.zeros(40, ">f8"),                 id="the other byte order"),
    pytest.param(lambda x: LOCKED,                              id="read-only"),
    pytest.param(lambda x: np.zeros(80)[::2],                   id="with gaps"),
    pytest.param(lambda x: np.zeros(321, np.uint8)[1:].view(np.float64), id="misaligned"),
    pytest.param(lambda x: np.zeros(40).tolist(),               id="a list of numbers"),
    pytest.param(lambda x: [np.zeros(40)],                      id="a list of an array"),
    pytest.param(lambda x: np.ma.zeros(40),                     id="a subclass"),
    pytest.param(lambda x: 1.0,                                 id="a number"),
    pytest.param(lambda x: False,                               id="False"),
    pytest.param(lambda x: x[:40],                              id="an argument itself"),
    pytest.param(lambda x: x[5:45],                             id="a part of an argument"),
    pytest.param(lambda x: x[60:100],                           id="memory behind an argument"),
]
# fmt: on


@pytest.mark.parametrize("target", TARGETS)
def test_unusual_targets(target: Callable[[Array], Any]) -> None:
    """A running difference would show at once if the code wrote where it still reads."""
    e = a - 2 * b
    f = warm(sm.lambdify([a, b], e), X, Y)
    outcomes = []
    for function in (f, f, sm.lambdify([a, b], e)):
        memory = np.concatenate([X, np.zeros(60)])
        out = target(memory)
        seen = outcome(lambda: function(memory[:40], Y, out=out))  # noqa: B023
        outcomes.append((seen, memory.tobytes()))
    assert outcomes[0] == outcomes[2] and outcomes[1] == outcomes[2]


# fmt: off
LISTS = [
    pytest.param(lambda p, q: [p],            id="one array too few"),
    pytest.param(lambda p, q: [p, q, q],      id="one array too many"),
    pytest.param(lambda p, q: (p, q),         id="a tuple"),
    pytest.param(lambda p, q: [p, None],      id="None among them"),
    pytest.param(lambda p, q: [p, q[:39]],    id="one is too short"),
    pytest.param(lambda p, q: p,              id="one array"),
    pytest.param(lambda p, q: 7,              id="a number"),
    pytest.param(lambda p, q: np.stack([p, q]), id="one array of both"),
]
# fmt: on


@pytest.mark.parametrize("target", LISTS)
def test_unusual_lists_of_targets(target: Callable[[Array, Array], Any]) -> None:
    def after(function: Any) -> tuple[Any, ...]:
        p, q = np.zeros(40), np.zeros(40)
        return outcome(lambda: np.stack(function(X, Y, out=target(p, q)))), p.tobytes(), q.tobytes()

    expressions = [a - b, a * b]
    assert after(warm(sm.lambdify([a, b], expressions), X, Y)) == after(sm.lambdify([a, b], expressions))


def test_float32_numbers_that_overflow() -> None:
    f = warm(sm.lambdify([a, b], a * b, dtype="float32"), X.astype("f4"), 2.0)
    for value in (1e39, -1e300, float("inf"), float("nan"), 2**62):
        fresh = sm.lambdify([a, b], a * b, dtype="float32")
        assert outcome(lambda v=value: f(X.astype("f4"), v)) == outcome(lambda v=value, g=fresh: g(X.astype("f4"), v))  # type: ignore[misc]


def test_indices_are_looked_at_each_time() -> None:
    values, places = RNG.normal(size=5), np.array([4, 0, 3])
    f = warm(sm.lambdify([table, k], table[k]), values, places)
    for bad in (5, -1, 2**62, -(2**63)):
        with pytest.raises(IndexOutOfRange):
            f(values, np.array([0, bad, 1]))
    np.testing.assert_array_equal(f(values, np.array([1, 1, 2])), values[[1, 1, 2]])


def test_a_singular_matrix_among_regular_ones() -> None:
    f = warm(sm.lambdify([A3, v3], A3.I * v3), M, V)
    wanted = f(M, V)
    for out in (None, np.zeros((3, 1))):
        with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
            f(np.zeros((3, 3)), V, out=out)
        same(f(M, V), wanted)


# ------------------------------------------------------------------------------------------------ models

W, bias = sp.MatrixSymbol("W", 2, 3), sp.MatrixSymbol("bias", 2, 1)
x3, t2 = sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("t", 2, 1)
unused = sp.Symbol("unused")


def layer(dtype: str = "float64") -> sm.Model:
    e = sm.tanh(W * x3 + bias) - t2
    return sm.compile(
        sm.scalar(e.T * e),
        [W, unused, bias],
        prediction={"fitted": e + t2, "error": e},
        dtype=dtype,
        allow_unused=[unused],
    )


def layer_values(n: int, dtype: str, scale: float = 1.0) -> dict[Any, Any]:
    arrays = {x3: X[: 3 * n].reshape(n, 3), "t": Y[: 2 * n].reshape(n, 2, 1), W: Z[:6].reshape(2, 3), "bias": Z[6:8]}
    return {key: (scale * array).astype(dtype) for key, array in arrays.items()} | {unused: 0.5}


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
        try:
            for turn in range(40):
                result = f(*inputs[number], out=out if turn % 2 else None)
                if result.tobytes() != wanted[number]:
                    wrong.append(number)
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(inputs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
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
    pytest.param(objects.sysconfig, "get_config_var", lambda name: 1,        id="free threads"),
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
