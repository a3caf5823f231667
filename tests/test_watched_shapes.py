"""Metrics and validation see data and constants in their declared shapes, axes of size 1 and all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

a, y = sp.symbols("a y")
rng = np.random.default_rng(0)

# fmt: off
SHAPES = [
    pytest.param(sm.Tensor, (1,),      id="a tensor of one number"),
    pytest.param(sm.Tensor, (2, 1, 3), id="a tensor with a 1 within"),
    pytest.param(sm.Tensor, (1, 1, 1), id="a tensor of ones"),
    pytest.param(sp.MatrixSymbol, (3, 1), id="a column"),
    pytest.param(sp.MatrixSymbol, (1, 1), id="a 1×1 matrix"),
]
# fmt: on


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_axes_of_size_one(kind: Any, shape: tuple[int, ...]) -> None:
    given = [shape] if kind is sm.Tensor else shape
    x, c = kind("x", *given), kind("c", *given)
    loss = (a * sm.sum(x + c, axis=None) - y) ** 2
    model = sm.compile(loss, a, constants=c, metrics={"twice": 2 * loss})
    data = {"x": rng.normal(size=(9, *shape)), "y": rng.normal(size=9), "c": rng.normal(size=shape)}
    apart = {"x": rng.normal(size=(4, *shape)), "y": rng.normal(size=4)}

    def mean(values: dict[str, Any], rows: slice, at: Any) -> float:
        inner = (values["x"] + data["c"]).reshape(len(values["y"]), -1).sum(1)
        return float((((at * inner - values["y"]) ** 2)[rows]).mean())

    result = model.fit(data, epochs=2, start={a: 0.5}, validation_data=apart)
    at = result.parameters[a]
    assert result.history["validation_loss"][-1] == pytest.approx(mean(apart, slice(None), at))
    assert result.history["twice"][-1] == pytest.approx(2 * mean(data, slice(None), at))
    split = model.fit(data, epochs=2, start={a: 0.5}, validation_split=1 / 3)
    assert split.history["validation_twice"][-1] == pytest.approx(2 * mean(data, slice(6, None), split.parameters[a]))
