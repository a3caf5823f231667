"""The R factor of a tall matrix, in blocks of rows, the same bits however many threads LAPACK may use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 8192  # elements of a block: LAPACK's work on it stays in the cache, and on one thread


def triangle(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """R of matrix = QR by Householder reflections, block after block (Golub and Van Loan, 5.2).

    Args:
        matrix: (n, m) with n >= m.

    Returns:
        An upper triangular (m, m) array with RᵀR = matrixᵀ matrix; computed in float64.

    Example:
        >>> a = np.arange(12.0).reshape(6, 2)
        >>> r = triangle(a)
        >>> bool(np.allclose(r.T @ r, a.T @ a))
        True
    """
    rows, columns = matrix.shape
    step = max(2 * columns, BLOCK // columns - columns)
    found = _triangle(matrix[:step])
    for start in range(step, rows, step):
        found = _triangle(np.concatenate([found, matrix[start : start + step]]))
    return found


def _triangle(block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.qr(np.asarray(block, np.float64), mode="r"))
