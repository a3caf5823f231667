"""Rules that end a fit: after which epoch, and with which reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sympile.compiler.errors import ArgumentError
from sympile.runtime.report import EpochReport
from sympile.runtime.stopping import StoppingRule, no_improvement, small_gradient, stopping_rules

# fmt: off: the tables below are aligned by hand


def report(epoch: int, gradient_norm: float = math.nan, **values: float) -> EpochReport:
    return EpochReport(epoch, 100, epoch + 1, 0.1, values, gradient_norm)


def stops_at(rule: StoppingRule, losses: list[float]) -> int | None:
    return next((i for i, loss in enumerate(losses) if rule.check(report(i, loss=loss))), None)


@pytest.mark.parametrize(("patience", "min_delta", "losses", "want"), [
    pytest.param(2, 0.0, [3, 2, 1, 0.5, 0.4],            None, id="falls"),
    pytest.param(2, 0.0, [3, 2, 2, 2],                   3,    id="the same is no improvement"),
    pytest.param(1, 0.0, [3, 2, 2],                      2,    id="patience 1"),
    pytest.param(2, 0.0, [3, 4, 2, 3, 1, 2, 2],          6,    id="improves now and then"),
    pytest.param(2, 0.5, [3, 2.6, 2.55, 2.4],            2,    id="falls too little"),
    pytest.param(2, 0.5, [3, 2.6, 2.4, 2.2, 1.8],        None, id="little by little counts from the best"),
    pytest.param(2, 0.0, [math.nan, math.nan],           1,    id="nan from the start"),
    pytest.param(2, 0.0, [1, math.nan, math.nan],        2,    id="nan later"),
    pytest.param(2, 0.0, [math.inf, math.inf, 1.0],      1,    id="infinite"),
    pytest.param(2, 0.0, [1, 0, -1, -2, -3],             None, id="negative losses"),
])
def test_no_improvement(patience: int, min_delta: float, losses: list[float], want: int | None) -> None:
    assert stops_at(no_improvement(patience, min_delta), losses) == want


def test_reason() -> None:
    rule = no_improvement(patience=2)
    assert [rule.check(report(i, loss=0.25)) for i in range(3)][-1] == "no improvement of loss below 0.25 for 2 epochs"
    assert small_gradient(1e-3).check(report(0, 5e-4)) == "the gradient's norm 0.0005 is at most 0.001"


@pytest.mark.parametrize(("monitor", "values", "want"), [
    pytest.param("validation_loss", {"loss": 1.0, "validation_loss": 2.0},  "validation_loss", id="validation"),
    pytest.param("validation_loss", {"loss": 1.0},                          "loss",            id="falls back"),
    pytest.param("loss",            {"loss": 1.0, "validation_loss": 2.0},  "loss",            id="asked for"),
    pytest.param("mae",             {"loss": 1.0, "mae": 2.0},              "mae",             id="metric"),
])
def test_monitor(monitor: str, values: dict[str, float], want: str) -> None:
    rule = no_improvement(1, monitor=monitor)
    rule.check(report(0, **values))
    assert (rule.check(report(1, **values)) or "").startswith(f"no improvement of {want} below {values[want]:g}")


def test_unknown_monitor() -> None:
    with pytest.raises(ArgumentError, match=r"'maee'.*did you mean 'mae'"):
        no_improvement(monitor="maee").check(report(0, loss=1.0, mae=1.0))


@pytest.mark.parametrize(("norm", "stops"), [
    (0.0, True), (1e-3, True), (1.1e-3, False), (math.nan, False), (math.inf, False),
])
def test_small_gradient(norm: float, stops: bool) -> None:
    assert (small_gradient(1e-3).check(report(0, norm)) is not None) is stops


def test_a_rule_serves_many_fits() -> None:
    rule = no_improvement(2)
    for _ in range(2):
        assert stopping_rules(rule) == (rule,)
        assert stops_at(rule, [1, 1, 1]) == 2


class Own:
    """A rule of the user's own."""

    def reset(self) -> None:
        self.count = 0

    def check(self, report: EpochReport) -> str | None:
        self.count += 1
        return "enough" if self.count == 2 else None


def test_several_rules() -> None:
    rules = stopping_rules([no_improvement(), Own()])
    assert [rule.check(report(0, loss=1.0)) for rule in rules] == [None, None]
    assert [rule.check(report(1, loss=0.5)) for rule in rules] == [None, "enough"]
    assert stopping_rules(None) == ()


@pytest.mark.parametrize("stop", [5, "loss", no_improvement, [small_gradient(1.0), 3], no_improvement.__class__])
def test_no_rules(stop: object) -> None:
    with pytest.raises(ArgumentError, match="stop must be a rule"):
        stopping_rules(stop)  # type: ignore[arg-type]


@pytest.mark.parametrize(("make", "arguments"), [
    pytest.param(no_improvement, {"patience": 0},          id="patience 0"),
    pytest.param(no_improvement, {"patience": 1.5},        id="fractional patience"),
    pytest.param(no_improvement, {"patience": True},       id="boolean patience"),
    pytest.param(no_improvement, {"min_delta": -1e-3},     id="negative delta"),
    pytest.param(no_improvement, {"min_delta": math.nan},  id="nan"),
    pytest.param(no_improvement, {"min_delta": "small"},   id="a word"),
    pytest.param(small_gradient, {"tolerance": None},      id="no tolerance"),
    pytest.param(small_gradient, {"tolerance": 0.0},       id="tolerance 0"),
    pytest.param(small_gradient, {"tolerance": math.inf},  id="infinite tolerance"),
])
def test_arguments_refused(make: object, arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        make(**arguments)  # type: ignore[operator]


def test_repr_can_be_typed_in() -> None:
    assert repr(no_improvement(3, 0.1, "loss")) == "no_improvement(patience=3, min_delta=0.1, monitor='loss')"
    assert repr(small_gradient(1e-8)) == "small_gradient(1e-08)"


def test_the_report_knows_its_loss() -> None:
    assert report(0, loss=0.5).loss == 0.5
