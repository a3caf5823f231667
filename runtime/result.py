"""What a fit returns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.records import dataclass
from sympile.runtime.byname import ByName, shown
from sympile.runtime.storage import save_arrays

Array = npt.NDArray[Any]
Predictor = Callable[[Mapping[Any, Any], Mapping[Any, Array]], Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Result:
    """The outcome of `fit`.

    Attributes:
        parameters: the fitted arrays in their declared shapes, keyed by symbol; names are accepted too.
        history: one number per finished epoch: "loss" (the mean over the epoch's examples, each before its update),
            "seconds" (of that epoch), "validation_loss" where there are validation data, and the metrics.
        stopped: why the fit ended, in words.
        epochs: finished.
        steps: updates made.
        predictor: the model's predict, of data and parameters.
        interrupted: whether Ctrl-C ended it.
        failed: whether a loss or gradient that is nan or inf, or a singular matrix, ended it.
        path: with `record=`: the values of those parameters after each step, the first ones in front.
    """

    parameters: ByName[Array]
    history: dict[str, Array]
    stopped: str
    epochs: int
    steps: int
    predictor: Predictor
    interrupted: bool = False
    path: ByName[Array] | None = None
    failed: bool = False

    @property
    def loss(self) -> float:
        """The loss of the last epoch; nan where none was finished."""
        return self._last("loss")

    @property
    def success(self) -> bool:
        """Whether the fit came to its own end with finite parameters."""
        return not self.interrupted and not self.failed and self._finite()

    @property
    def message(self) -> str:
        """One sentence about the end."""
        return self.stopped if self._finite() else f"{self.stopped}; some parameters are not finite"

    def predict(self, data: Mapping[Any, Any]) -> Any:
        """The model's prediction with the fitted parameters.

        Args:
            data: arrays of the data symbols that the prediction uses, keyed by symbols or names, N examples each.

        Returns:
            An array (N, ...), or a dict of them where `prediction` was a dict.

        Raises:
            ValuesError: the data do not fit the model; the message names the symbol.
        """
        return self.predictor(data, self.parameters)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the parameters by name to an npz file, which `sm.load_parameters` and `np.load` read.

        Args:
            path: of the file; ".npz" is appended where it is missing.

        Returns:
            The path written.
        """
        return save_arrays(path, self.parameters)

    def _finite(self) -> bool:
        return all(bool(np.isfinite(array).all()) for array in self.parameters.values())

    def _last(self, name: str) -> float:
        values = self.history.get(name)
        return math.nan if values is None or not len(values) else float(values[-1])

    def _summary(self) -> str:
        fall = f"loss {self.history['loss'][0]:.5g} → {self.loss:.5g}" if self.epochs else "no loss yet"
        last = self._last("validation_loss")
        validation = "" if math.isnan(last) else f", validation loss {last:.5g}"
        seconds = float(np.sum(self.history.get("seconds", 0.0)))
        return f"{self.epochs} epochs, {self.steps} steps, {seconds:.3g} s: {fall}{validation}; {self.message}"

    def __repr__(self) -> str:
        lines = (f"\n  {key}: {shown(array)}" for key, array in self.parameters.items())
        return f"Result of {self._summary()}{''.join(lines)}"

    def _repr_html_(self) -> str:
        rows = "".join(_row(str(key), array) for key, array in self.parameters.items())
        head = "<tr><th>parameter</th><th>shape</th><th>value</th></tr>"
        return f"<p>{_escaped(self._summary())}</p><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _row(name: str, array: Array) -> str:
    large = array.size > 6
    value = f"mean {np.mean(array):.4g}, standard deviation {np.std(array):.4g}" if large else shown(array)
    cells = (name, "×".join(map(str, array.shape)) or "number", value)
    return "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells) + "</tr>"


def _escaped(text: str) -> str:
    """As `html.escape`, whose module loads all names that HTML has for letters."""
    for letter, code in {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "#x27"}.items():
        text = text.replace(letter, f"&{code};")
    return text
