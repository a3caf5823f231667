"""A Jacobian of a list of formulas by a list of symbols: where an arm of several joints points, at 10,000 positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from harness import Parameters, Run
from peer_casadi import casadi, mapped
from peers import finished, jax, torch

import sympile as sm

REACH = 0.7  # how long a piece of the arm is, in terms of the one before


@dataclass(frozen=True, slots=True)
class Data:
    """Angles (rows, joints)."""

    angles: np.ndarray


@dataclass(frozen=True, slots=True)
class Jacobian:
    """All sizes of one race."""

    joints: int = 6
    rows: int = 10_000
    GOAL: float | None = None
    GOAL_PEER: str = "JAX"
    RTOL: float = 1e-11

    @property
    def TITLE(self) -> str:
        return f"jacobian: an arm of {self.joints} joints, 6 formulas, {self.rows:,} positions"

    def make_data(self) -> Data:
        return Data(np.random.default_rng(0).normal(size=(self.rows, self.joints)))

    def final_loss(self, data: Data, parameters: Parameters) -> float:
        """No loss, but a sum in which every element counts with a weight of its own."""
        found = np.stack(parameters, axis=-1) if len(parameters) > 1 else np.asarray(parameters[0])
        return float(np.cos(np.arange(found.size)) @ found.ravel())

    def ours(self, data: Data) -> Run:
        angles = sp.symbols(f"q0:{self.joints}")
        slopes = sm.jacobian(arm(angles, sp), list(angles))
        evaluate = sm.lambdify(angles, list(slopes.values()))  # of each joint the column that is its own
        columns = list(np.ascontiguousarray(data.angles.T))
        out = [np.empty((self.rows, 6)) for _ in angles]

        def run() -> Parameters:
            evaluate(*columns, out=out)
            return tuple(out)

        return run

    def peers(self, data: Data) -> dict[str, Run]:
        runs: dict[str, Run] = {"NumPy by hand": lambda: (by_hand(data.angles),)}
        if casadi is not None:
            q = casadi.SX.sym("q", self.joints)
            values = casadi.vertcat(*arm([q[k] for k in range(self.joints)], casadi))
            runs["CasADi, gcc"] = mapped([q], [casadi.jacobian(values, q).T], data.angles)
        if jax is not None:
            angles = jax.device_put(data.angles)
            ways = {"JAX jacfwd": jax.jacfwd, "JAX jacrev": jax.jacrev}
            one = lambda q: jax.numpy.stack(arm(list(q), jax.numpy))  # noqa: E731
            runs |= {name: finished(jax.jit(wrapped(jax.vmap(way(one)))), angles) for name, way in ways.items()}
        if torch is not None:
            angles = torch.from_numpy(data.angles)
            every = torch.func.vmap(torch.func.jacfwd(lambda q: torch.stack(arm(list(q), torch))))
            runs["PyTorch func"] = lambda: (every(angles).numpy(),)
        return runs


WORKLOADS = {"jacobian": Jacobian()}


def wrapped(way: Any) -> Any:
    return lambda *arguments: (way(*arguments),)


def arm(angles: Sequence[Any], functions: Any) -> list[Any]:
    """Where its end lies and where that points: each joint turns about the next axis, then a piece follows."""
    place, frame = [0.0, 0.0, 0.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    for joint, angle in enumerate(angles):
        frame = turned(frame, (joint + 1) % 3, (joint + 2) % 3, functions.cos(angle), functions.sin(angle))
        place = [at + REACH**joint * row[joint % 3 - 1] for at, row in zip(place, frame, strict=True)]
    return [*place, *[row[0] for row in frame]]


def turned(frame: Any, one: int, other: int, cosine: Any, sine: Any) -> Any:
    """The frame's axes `one` and `other` turned in their plane."""
    rows = []
    for row in frame:
        new = list(row)
        new[one], new[other] = row[one] * cosine + row[other] * sine, row[other] * cosine - row[one] * sine
        rows.append(new)
    return rows


def by_hand(angles: np.ndarray) -> np.ndarray:
    """Formulas are linear in cosine and sine of an angle: a slope is half of what quarter turns to both sides tell."""
    found = np.empty((len(angles), 6, angles.shape[1]))
    for joint in range(angles.shape[1]):
        there, back = angles.copy(), angles.copy()
        there[:, joint] += np.pi / 2
        back[:, joint] -= np.pi / 2
        ends = zip(arm(list(there.T), np), arm(list(back.T), np), strict=True)
        found[:, :, joint] = np.stack([(a - b) / 2 for a, b in ends], axis=1)
    return found
