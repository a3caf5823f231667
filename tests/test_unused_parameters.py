"""Parameters that the loss does not depend on: they have values, slopes of 0, and a path, as all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from training_models import LINE, la, lx, ly

import sympile as sm
from sympile.compiler.errors import ArrayShapeError

SPARE = [sp.Symbol("s"), sp.MatrixSymbol("s", 2, 1), sm.Tensor("s", (2, 3)), sp.IndexedBase("s")]


@pytest.mark.parametrize("spare", SPARE, ids=["a number", "a column", "a tensor", "a base without shape"])
def test_a_parameter_that_stands_nowhere(spare: Any) -> None:
    """It takes a first value, keeps it, and has a path and a gradient in its declared shape."""
    shape = getattr(spare, "shape", ()) or ()
    model = sm.compile((la * lx - ly) ** 2, [spare, la], allow_unused=[spare])
    result = model.fit(LINE, epochs=3, start={spare: np.full(shape, 5.0)}, record=[spare, la])
    assert result.parameters[spare].shape == shape and (result.parameters[spare] == 5).all()
    assert result.path[spare].shape == (4, *shape) and (result.path[spare] == 5).all()
    free = model.fit(LINE, epochs=3, record=spare)
    assert free.path[spare].shape == (4, *shape) and not free.path[spare].any()
    slopes = model.backward({**LINE, la: 1.0})
    assert slopes[spare].shape == shape and not slopes[spare].any()
    with pytest.raises(ArrayShapeError, match="s has an array"):
        model.fit(LINE, epochs=1, start={spare: np.ones((7, 7, 7))})


def test_the_slope_of_a_column_that_only_the_prediction_reads() -> None:
    column = sp.MatrixSymbol("c", 2, 1)
    model = sm.compile((la * lx - ly) ** 2, [la, column], prediction=sm.sum(column), allow_unused=column)
    assert model.backward({**LINE, la: 1.0})[column].shape == (2, 1)
