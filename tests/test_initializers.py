"""First values: where the numbers come from, and what `start` may say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

from sympile.compiler.errors import ArgumentError, ArrayShapeError, DtypeError, MissingValue, UnknownKey
from sympile.compiler.program import BATCH, Extent, Signature, Slot
from sympile.runtime.initializers import first_parameters, generator, glorot_uniform, start_binder

# fmt: off: the tables below are aligned by hand


def slot(name: str, *declared: Extent, role: str = "parameter") -> Slot:
    return Slot(name, role, declared, tuple(extent for extent in declared if extent != 1))


LAYER = Signature(
    (
        Slot("x", "data", (8, 1), (BATCH, 8), batched=True),
        slot("W", 32, 8),
        slot("b", 32, 1),
        slot("a"),
        slot("V", "n", 8),
    ),
    sizes=(BATCH, "n"),
)


def first(signature: Signature = LAYER, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    usual: dict[str, Any] = {"start": {}, "sizes": {BATCH: 5, "n": 3}, "seed": 0, "added": ("b",)}
    given = {**usual, **options}
    bound = start_binder(signature).bind(given.pop("start"), given["sizes"])
    return first_parameters(signature, bound, **given)


def test_shapes_order_and_memory() -> None:
    values = first()
    assert {name: array.shape for name, array in values.items()} == {"W": (32, 8), "b": (32,), "a": (), "V": (3, 8)}
    assert list(values) == ["W", "b", "a", "V"]
    assert all(array.flags.carray and array.dtype == np.float64 for array in values.values())
    assert not values["b"].any() and values["W"].all() and values["a"] != 0


@pytest.mark.parametrize(("shape", "limit"), [
    pytest.param((300, 200),     (6 / 500) ** 0.5,               id="matrix"),
    pytest.param((5000, 1),      (6 / 5001) ** 0.5,              id="column"),
    pytest.param((1, 5000),      (6 / 5001) ** 0.5,              id="row"),
    pytest.param((5000,),        (6 / 5001) ** 0.5,              id="vector"),
    pytest.param((40, 20, 3, 5), (6 / (60 * 15)) ** 0.5,         id="window, as PyTorch"),
])
def test_glorot_uniform(shape: tuple[int, ...], limit: float) -> None:
    values = glorot_uniform(shape, np.random.default_rng(0))
    assert values.shape == shape
    assert 0.99 * limit < np.abs(values).max() <= limit
    assert abs(values.mean()) < 0.05 * limit
    assert values.std() == pytest.approx(limit / 3**0.5, rel=0.05)


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (7, 5)])
def test_limit_is_that_of_pytorch(shape: tuple[int, ...]) -> None:
    init = pytest.importorskip("torch.nn.init")
    torch = pytest.importorskip("torch")
    fan_in, fan_out = init._calculate_fan_in_and_fan_out(torch.empty(*shape))
    many = np.abs([glorot_uniform(shape, np.random.default_rng(seed)) for seed in range(50)]).max()
    assert 0.98 * (6 / (fan_in + fan_out)) ** 0.5 < many <= (6 / (fan_in + fan_out)) ** 0.5


def test_a_scalar_is_one_by_one() -> None:
    draws = [abs(float(glorot_uniform((), np.random.default_rng(seed)))) for seed in range(300)]
    assert 0.95 * 3**0.5 < max(draws) <= 3**0.5


def test_seed_and_name_decide() -> None:
    other = Signature((slot("new", 2, 2), slot("W", 32, 8)))
    assert np.array_equal(first()["W"], first()["W"])
    assert np.array_equal(first(other)["W"], first()["W"]), "another parameter changed the numbers"
    assert not np.array_equal(first(seed=1)["W"], first()["W"])
    twins = first(Signature((slot("W1", 4, 4), slot("W2", 4, 4))))
    assert not np.array_equal(twins["W1"], twins["W2"])


def test_these_very_bits() -> None:
    """The same seed gives the same numbers in every release."""
    want = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(87,))).uniform(-1, 1, (2, 2))
    assert np.allclose(first(Signature((slot("W", 2, 2),)), seed=7)["W"], want * 1.5**0.5, rtol=1e-15)
    assert generator(7, "W").uniform(-1, 1) == want[0, 0]


@pytest.mark.parametrize("name", ["θ", "W_{1}", "x" * 300])
def test_any_name(name: str) -> None:
    assert first(Signature((slot(name, 2, 2),)))[name].all()


def test_float32_rounds_the_same_numbers() -> None:
    single = first(Signature((slot("W", 32, 8),), dtype="float32"))["W"]
    assert single.dtype == np.float32
    assert np.array_equal(single, first()["W"].astype(np.float32))


def test_start_is_merged_and_copied() -> None:
    W, column = np.ones((32, 8)), np.full((32, 1), 2)
    values = first(start={sp.MatrixSymbol("W", 32, 8): W, "b": column})
    assert np.array_equal(values["W"], W) and not np.shares_memory(values["W"], W)
    assert values["b"].shape == (32,) and values["b"].dtype == np.float64 and values["b"][0] == 2
    assert np.array_equal(values["V"], first()["V"])


def test_start_tells_sizes() -> None:
    both = Signature((slot("u", "n", 2), slot("v", "n", 1)), sizes=("n",))
    assert first(both, sizes={}, start={"u": np.ones((6, 2))})["v"].shape == (6,)


@pytest.mark.parametrize(("options", "error", "words"), [
    pytest.param({"start": {"WW": 0.0}},            UnknownKey,      "did you mean 'W'?", id="unknown"),
    pytest.param({"start": {"x": 0.0}},             UnknownKey,      "'x' does not belong here; it is data", id="data"),
    pytest.param({"start": {"W": np.ones((8, 32))}}, ArrayShapeError, "write W.T", id="shape"),
    pytest.param({"start": {"V": np.ones((4, 8))}}, ArrayShapeError, "n cannot be both 3 and 4", id="size of the data"),
    pytest.param({"start": {"a": 1j}},              DtypeError,      "complex", id="complex"),
    pytest.param({"sizes": {BATCH: 5}},             MissingValue,    "start={V: ...}", id="a size that nothing tells"),
    pytest.param({"seed": -1},                      ArgumentError,   "not -1", id="negative seed"),
    pytest.param({"seed": 1.5},                     ArgumentError,   "not 1.5", id="fractional seed"),
    pytest.param({"seed": True},                    ArgumentError,   "not True", id="boolean seed"),
])
def test_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        first(**options)
    assert words in str(caught.value)
