"""Quick calls with unusual values and targets: the same results and errors as the general way."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from quick_calls import A3, RNG, Array, M, V, X, Y, a, b, k, outcome, same, table, v3, warm

import sympile as sm
from sympile.compiler.errors import IndexOutOfRange

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
