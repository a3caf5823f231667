"""The judge of the benchmarks: it must notice other work, and take ratios within a round."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).resolve().parent.parent / "benchmarks" / "harness.py"
specification = importlib.util.spec_from_file_location("benchmark_harness", PATH)
assert specification is not None and specification.loader is not None
harness = sys.modules["benchmark_harness"] = importlib.util.module_from_spec(specification)
specification.loader.exec_module(harness)
Contender = harness.Contender


# fmt: off
OUTCOMES = [
    pytest.param([1.0, 1.0, 1.0],              [],     id="equal"),
    pytest.param([1.0, 1.0 + 1e-12, 1.0],      [],     id="rounding"),
    pytest.param([1.0, 1.0, 1.0 + 1e-8],       ["c2"], id="one did other work"),
    pytest.param([0.9, 1.0, 1.0],              ["c0"], id="a better loss is other work too"),
    pytest.param([1.0, math.nan, 1.0],         ["c1"], id="nan"),
    pytest.param([1.0, 1.0, math.nan],         ["c2"], id="nan, last"),
    pytest.param([math.nan, 1.0, 1.0],         ["c0"], id="nan, first"),
    pytest.param([1.0, math.inf, 1.0],         ["c1"], id="inf"),
    pytest.param([math.nan] * 3,  ["c0", "c1", "c2"],  id="all nan"),
]
# fmt: on


@pytest.mark.parametrize(("losses", "wrong"), OUTCOMES)
def test_other_work_is_noticed(losses: list[float], wrong: list[str]) -> None:
    contenders = [Contender(f"c{number}", (1.0,), loss) for number, loss in enumerate(losses)]
    found = harness.disagreements(contenders, rtol=1e-10)
    assert [line.split()[0] for line in found] == wrong


def test_ratios_are_taken_within_a_round() -> None:
    """The machine was three times slower in round two: the ratio does not show it."""
    ours, peer = Contender("sympile", (1.0, 3.0, 1.0), 0.0), Contender("peer", (2.0, 6.0, 4.0), 0.0)
    assert harness.ratios(ours, peer) == (0.5, 0.25, 0.5)


def test_the_best_peer_is_not_ours() -> None:
    contenders = [Contender("sympile", (1.0,), 0.0), Contender("slow", (9.0,), 0.0), Contender("fast", (2.0,), 0.0)]
    assert harness.best_peer(contenders).name == "fast"


def test_a_race_is_interleaved_and_the_slow_leave_early() -> None:
    order: list[str] = []
    clock = harness.time.perf_counter

    def run(name: str, seconds: float) -> tuple[np.ndarray, ...]:
        order.append(name)
        start = clock()
        while clock() - start < seconds:
            pass
        return (np.array(seconds),)

    runs = {"quick": lambda: run("quick", 0.02), "slow": lambda: run("slow", 0.06)}
    quick, slow = harness.race(runs, lambda parameters: float(parameters[0]), rounds=4, patience=0.05)
    assert order == ["quick", "slow"] * 4 + ["quick"] * 2    # judged once, timed once, two rounds; then alone
    assert (len(quick.seconds), len(slow.seconds)) == (4, 2)
    assert (quick.loss, slow.loss) == (0.02, 0.06)
    assert slow.median > 2 * quick.median
