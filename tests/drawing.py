"""What the tests of random formulas share: how many they draw, and what counts as the same number."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings

AT_HOME = () if "CI" in os.environ else (Phase.shrink,)  # a failure in CI is shrunk at home, where time is no matter
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, *AT_HOME)
FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=PHASES)
SLOW = settings(FEW, max_examples=12)
MANY = settings(FEW, max_examples=100, derandomize="CI" in os.environ)  # new draws at home, the same ones in CI
HALF = settings(MANY, max_examples=50 if "CI" in os.environ else 100)  # where each formula takes half a second to compile
TOO_LARGE = 1e4  # a formula whose parts are larger is ill-conditioned: no judge for float64


def assert_near(found: Any, exact: Any, what: str, tolerance: float = 1e-9) -> None:
    difference = np.abs(np.asarray(found, dtype=float) - np.asarray(exact, dtype=float))
    allowed = tolerance * (1 + np.abs(np.asarray(exact, dtype=float)).max(initial=0))
    assert np.all(difference <= allowed), f"{what}\n  found    {found}\n  expected {exact}"


def parts_of(tree: Any) -> set[str]:
    """The kinds of all parts of a tree (kind, …, parts)."""
    return {tree[0]}.union(*[parts_of(part) for part in tree[1:] if isinstance(part, tuple)])
