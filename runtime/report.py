"""What callbacks and stopping rules see at the end of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import numpy as np

from sympile.compiler.records import dataclass
from sympile.runtime.byname import ByName


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of a fit.

    Attributes:
        epoch: counts from 0.
        epochs: how many were asked for.
        steps: updates made since the start of the fit.
        seconds: since the start of the fit.
        values: "loss", "validation_loss" where there are validation data, and the metrics, by name.
        gradient_norm: root of the sum of squares of all gradients' entries, at the epoch's last update.
        parameters: copies of the parameters at the end of the epoch.
    """

    epoch: int
    epochs: int
    steps: int
    seconds: float
    values: Mapping[str, float]
    gradient_norm: float = float("nan")
    parameters: ByName[np.ndarray[Any, Any]] = field(default_factory=lambda: ByName[np.ndarray[Any, Any]]({}))

    @property
    def loss(self) -> float:
        """The mean loss over the epoch's examples, each before its update."""
        return self.values["loss"]
