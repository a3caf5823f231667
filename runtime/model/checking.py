"""The gradient against central differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.records import dataclass
from sympile.runtime.byname import name_of

if TYPE_CHECKING:
    from sympile.runtime.model.model import Model

MOST_ENTRIES = 1000  # of one parameter; of more, as many are drawn


@dataclass(frozen=True, slots=True)
class Deviation:
    """The worst entry of one parameter's gradient."""

    error: float  # relative to the largest entry of the gradient
    where: tuple[int, ...]
    derived: float
    measured: float
    entries: int  # how many were compared


@dataclass(frozen=True, slots=True)
class CheckReport(Mapping[str, Deviation]):
    """Per parameter (by name) the worst entry."""

    deviations: dict[str, Deviation]

    @property
    def error(self) -> float:
        """The largest relative error of all parameters."""
        return max((d.error for d in self.deviations.values()), default=0.0)

    def __getitem__(self, key: Any) -> Deviation:
        return self.deviations[name_of(key)]

    def __iter__(self) -> Any:
        return iter(self.deviations)

    def __len__(self) -> int:
        return len(self.deviations)

    def __repr__(self) -> str:
        lines = [f"{'parameter':<12}{'largest relative error':>24}   at          derived         differences"]
        for name, d in self.deviations.items():
            lines.append(f"{name:<12}{d.error:>24.2e}   {list(d.where)!s:<12}{d.derived:<16.8g}{d.measured:.8g}")
        return "\n".join(lines)


def checked(model: Model, values: Mapping[Any, Any]) -> CheckReport:
    """Compares every entry (at most MOST_ENTRIES of each parameter) with (f(p + h) - f(p - h)) / 2h."""
    gradients = model.backward(values)
    given = {name_of(k): v for k, v in values.items()}
    return CheckReport(
        {name_of(p): _worst(model, given, name_of(p), gradients[p]) for p in model.parameters if name_of(p) in given}
    )


def _worst(model: Model, values: dict[str, Any], name: str, gradient: npt.NDArray[Any]) -> Deviation:
    point = np.array(values[name], dtype=np.float64)
    derived = gradient.reshape(point.shape)
    scale = max(float(np.abs(derived).max(initial=0.0)), 1e-8)
    worst = Deviation(0.0, (0,) * point.ndim, float(derived.flat[0]), float(derived.flat[0]), 0)
    chosen = _entries(point.size)
    for flat in chosen:
        where = tuple(int(i) for i in np.unravel_index(flat, point.shape)) if point.ndim else ()
        measured = _difference(model, values, name, point, where)
        error = abs(measured - float(derived[where])) / scale
        if not error <= worst.error:
            worst = Deviation(error, where, float(derived[where]), measured, len(chosen))
    return Deviation(worst.error, worst.where, worst.derived, worst.measured, len(chosen))


def _entries(count: int) -> npt.NDArray[np.int64]:
    if count <= MOST_ENTRIES:
        return np.arange(count)
    return np.random.default_rng(0).choice(count, MOST_ENTRIES, replace=False)


def _difference(
    model: Model, values: dict[str, Any], name: str, point: npt.NDArray[np.float64], where: tuple[int, ...]
) -> float:
    step = 6e-6 * max(1.0, abs(float(point[where])))  # the cube root of 2**-53, times the size of the entry
    sides = []
    for sign in (1.0, -1.0):
        moved = point.copy()
        moved[where] += sign * step
        sides.append((float(model.forward({**values, name: moved})), float(moved[where])))
    return (sides[0][0] - sides[1][0]) / (sides[0][1] - sides[1][1])
