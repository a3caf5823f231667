"""Batches collected row by row: every length of a row, every dtype, batches of one row and short last ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm

EXAMPLES = 11
# float64: 2 words a number; float32: 1; so that every copy is met at both of its ends, and long rows with and without rest
WIDTHS = [1, 2, 3, 4, 5, 8, 9, 12, 13, 15, 16, 17, 20, 21, 24, 25, 32, 33, 40, 41, 48, 50]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_any_length_arrive(width: int, dtype: Any) -> None:
    """A step adds rate * (sum of the batch's rows): whole numbers, so the parameters after it are exact."""
    x, w = sp.MatrixSymbol("x", width, 1), sp.MatrixSymbol("w", width, 1)
    model = sm.compile(sm.dot(w, x), [w], dtype=dtype, reduction="sum")
    data = np.arange(EXAMPLES * width, dtype=dtype).reshape(EXAMPLES, width)
    order = np.random.default_rng(width).permutation(EXAMPLES)
    for batch in (1, 4, EXAMPLES - 1):
        result = model.fit(
            {x: data}, epochs=1, batch_size=batch, shuffle=order[None], optimizer=sm.sgd(1), start={w: np.zeros(width)},
            record=[w],
        )  # fmt: skip
        chosen = [data[order[first : first + batch]] for first in range(0, EXAMPLES, batch)]
        want = -np.cumsum([rows.sum(axis=0) for rows in chosen], axis=0)
        np.testing.assert_array_equal(np.asarray(result.path[w])[1:].reshape(want.shape), want, f"batches of {batch}")
