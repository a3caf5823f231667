"""Takes a rewrite to awkward points and says what is wrong with it: bits, reals, infinities, accuracy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import mpmath
import numpy as np
from reference import COMPARE, _node

from sympile.compiler.graph.arithmetic import add, square
from sympile.compiler.graph.node import Node, const, hole, postorder
from sympile.compiler.passes.simplifying.filling import INDICES, filled, holes
from sympile.compiler.rules import facts
from sympile.compiler.rules.functions import CONSTANTS, FUNCTIONS
from sympile.compiler.rules.rewrites import Faith, Rewrite

EPS, TINY, HUGE = 2.0**-52, mpmath.mpf("1e-306"), mpmath.mpf("1.7e308")
NAN = mpmath.nan
LOOSE = 8  # how many times worse than the left side, or the inputs' rounding, is no worse
POINTS = (
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1e300,
    -1e300,
    1e-300,
    -1e-300,
    700.0,
    -700.0,
    1000.0,
    -1000.0,
    0.5,
    -1.5,
    3.25,
)
EXPONENTS = (2, -2, 3, -1)
ABSTRACT = frozenset({"over", "call", "gram"})  # these stand for tensors: tests/test_stable_forms.py
X, Y = hole("x"), hole("y")

# What a guard means of a number; None: the operand is made so instead.
DOMAIN: Mapping[Any, Any] = {
    facts.positive: lambda v: v > 0,
    facts.not_negative: lambda v: v >= 0,
    **dict.fromkeys((facts.unsigned, facts.varies, facts.may_be_positive), lambda v: True),
    **dict.fromkeys((facts.sum_of_squares, facts.is_number, facts.even, facts.not_even)),
    **dict.fromkeys((facts.unshifted, facts.spans, facts.not_both_one)),
}
EVEN = {facts.even: lambda n: n % 2 == 0, facts.not_even: lambda n: n % 2 != 0}

Point = Mapping[Node, float]


def is_scalar(row: Rewrite) -> bool:
    return all(node.op not in ABSTRACT for node in postorder([row.before]))


def cases(row: Rewrite) -> Iterator[tuple[Node, Node, Mapping[Node, Any]]]:
    """Both sides with x and y in the holes, and what the guards demand of them; one case per exponent."""
    ops = {node.op for node in postorder([row.before])}
    names = [h for h in sorted(holes(row.before), key=lambda h: str(h.data)) if h is not INDICES and h.data != "n"]
    exponents = [const(n) for n in EXPONENTS if all(EVEN.get(g.test, lambda n: True)(n) for g in row.requires)]
    for n in exponents if "n" in {h.data for h in holes(row.before)} else [const(1)]:
        bound: dict[Node, Any] = {hole("n"): n, **dict(zip(names, (X, Y), strict=False))}
        if "each" in ops:
            bound[hole("b")] = (X, Y)
        if any(g.test is facts.sum_of_squares for g in row.requires):
            bound[hole("a")] = add(square(X), square(Y))
        demands = {bound[g.operands[0]]: DOMAIN[g.test] for g in row.requires if DOMAIN[g.test] is not None}
        yield filled(row.before, bound), filled(row.after, bound), demands


# ------------------------------------------------------------------------------------------------ values


def floats(node: Node, point: Point) -> dict[Node, Any]:
    """Every value below a formula in float64."""
    done: dict[Node, Any] = {}
    with np.errstate(all="ignore"):
        for item in postorder([node]):
            done[item] = (
                np.float64(point[item]) if item.op == "hole" else _node(item, [done[a] for a in item.args], {}, {}, {})
            )
    return done


def exact(node: Node, point: Mapping[Node, Any]) -> Any:
    """The real number that a formula stands for; nan where there is none."""
    done: dict[Node, Any] = {}
    for item in postorder([node]):
        if item.op == "hole":
            done[item] = mpmath.mpf(point[item])
        elif item not in done:
            try:
                done[item] = _exact(item, [done[a] for a in item.args])
            except ZeroDivisionError:
                return mpmath.inf
            except (ValueError, TypeError):  # a comparison of complex numbers
                return NAN
            if isinstance(done[item], mpmath.mpc) or mpmath.isnan(done[item]):
                return NAN
    return done[node]


def _exact(node: Node, args: list[Any]) -> Any:
    if node.op == "const":
        return mpmath.mpf(node.data.numerator) / node.data.denominator
    if node.op == "constant":
        return CONSTANTS[str(node.data)]()
    if node.op == "pow":
        exponent = mpmath.mpf(node.data.numerator) / node.data.denominator
        return mpmath.power(args[0], int(exponent) if exponent == int(exponent) else exponent)
    if node.op in COMPARE:
        return bool(COMPARE[node.op](*args))
    if node.op == "when":
        return args[0] if all(args[1:]) else mpmath.mpf(0)
    if node.op == "select":
        return args[1] if args[0] else args[2]
    plain = {"add": mpmath.fsum, "mul": mpmath.fprod, "max": max, "min": min}.get(node.op)
    return plain(args) if plain else FUNCTIONS[node.op].exact(*args)


# ------------------------------------------------------------------------------------------------ the verdict


def complaints(row: Rewrite) -> list[str]:
    """What a row promises and does not keep, with the point."""
    return [f"{row.name} at {shown}: {wrong}" for before, after, demands in cases(row)
            for shown, point in _points(before, after) if _demanded(demands, point)
            for wrong in [_wrong(row, before, after, point)] if wrong]  # fmt: skip


def _points(before: Node, after: Node) -> Iterator[tuple[str, dict[Node, float]]]:
    own = sorted(holes(before) | holes(after), key=lambda h: str(h.data))
    for values in itertools.product(POINTS, repeat=len(own)):
        yield ", ".join(f"{h.data}={v}" for h, v in zip(own, values, strict=True)), dict(zip(own, values, strict=True))


def _demanded(demands: Mapping[Node, Any], point: Point) -> bool:
    return all(demand(floats(node, point)[node]) for node, demand in demands.items())


def _wrong(row: Rewrite, before: Node, after: Node, point: Point) -> str | None:
    left_values = floats(before, point)
    left, right = float(left_values[before]), float(floats(after, point)[after])
    if row.faith is Faith.BITS:
        return None if _same_bits(left, right, row) else f"{left!r} became {right!r}"
    if row.faith is Faith.FINITE and not all(np.isfinite(v) for v in left_values.values()):
        return None
    if not all(map(math.isfinite, point.values())):
        return _wrong_at_infinity(row, left, right, point)
    with mpmath.workdps(60):
        return _wrong_real(row, before, after, point, left, right)


def _same_bits(left: float, right: float, row: Rewrite) -> bool:
    if row.name == "relu" and left == right == 0:  # which zero max(0, -0) is, IEEE 754 leaves to the machine
        return True
    return (math.isnan(left) and math.isnan(right)) or np.float64(left).tobytes() == np.float64(right).tobytes()


def _wrong_at_infinity(row: Rewrite, left: float, right: float, point: Point) -> str | None:
    """Nan stays nan; an infinity gives what it gave, or the limit where overflow inside had made a nan of it."""
    if any(map(math.isnan, point.values())):
        return (
            None
            if math.isnan(right) or (not math.isnan(left) and _close(left, right))
            else f"nan came in, {right!r} came out, not {left!r}"
        )
    if math.isnan(left):
        return None if math.isnan(right) or row.faith is Faith.STABLE else f"nan became {right!r}"
    if math.isnan(right) and row.faith is Faith.STABLE:
        return None  # it still shows
    return None if _close(left, right) else f"{left!r} became {right!r}"


def _close(left: float, right: float) -> bool:
    return left == right or abs(left - right) <= 1e-13 * max(abs(left), abs(right)) + 1e-15


def _wrong_real(row: Rewrite, before: Node, after: Node, point: Point, left: float, right: float) -> str | None:
    true = exact(before, point)
    if not mpmath.isfinite(true):
        return None if _agree_nearer(before, after, point) else _wrong_at_edge(row, before, point, left, right, true)
    other = exact(after, point)
    if not _same_real(true, other):
        with mpmath.workdps(1000):
            true, other = exact(before, point), exact(after, point)
            if not _same_real(true, other) and not abs(true - other) < mpmath.mpf("1e-900"):
                return f"another real number: {mpmath.nstr(true, 8)} became {mpmath.nstr(other, 8)}"
    return _less_accurate(before, point, other, left, right)


def _same_real(left: Any, right: Any) -> bool:
    return bool(abs(left - right) <= mpmath.mpf("1e-40") * abs(left))


def _agree_nearer(before: Node, after: Node, point: Point) -> bool:
    """Where a tiny exp(-x) is beyond any precision, the two sides are compared at smaller numbers, with 1000 digits."""
    nearer = {h: math.copysign(min(abs(v), 1500.0), v) for h, v in point.items()}
    with mpmath.workdps(1000):
        left, right = exact(before, nearer), exact(after, nearer)
        return bool(
            mpmath.isfinite(left) and mpmath.isfinite(right) and abs(left - right) <= mpmath.mpf("1e-40") * abs(left)
        )


def _wrong_at_edge(row: Rewrite, before: Node, point: Point, left: float, right: float, true: Any) -> str | None:
    """Where the left side is no real number: the same float, what it truly is, or the limit from where it is one."""
    if _is(right, left) or _is(right, true):
        return None
    step = mpmath.mpf("1e-400")
    near = [exact(before, {h: v + s for (h, v), s in zip(point.items(), signs, strict=True)})
            for signs in itertools.product((step, -step), repeat=len(point))]  # fmt: skip
    near = [v for v in near if mpmath.isfinite(v)]
    if (
        row.faith is Faith.STABLE
        and near
        and math.isfinite(right)
        and all(abs(v - right) <= mpmath.mpf("1e-40") for v in near)
    ):
        return None
    return f"{left!r}, which is no number, became {right!r}, which is no limit"


def _is(value: float, wanted: Any) -> bool:
    return (math.isnan(value) and bool(mpmath.isnan(wanted))) or value == wanted


def _less_accurate(before: Node, point: Point, true: Any, left: float, right: float) -> str | None:
    if abs(true) > HUGE:
        return (
            None if math.isinf(right) or not math.isinf(left) else f"{right!r} where {mpmath.nstr(true, 5)} overflows"
        )
    allowed = LOOSE * max(_error(left, true), EPS * abs(true), EPS * _sensitivity(before, point), TINY)
    error = _error(right, true)
    return None if error <= allowed else f"less accurate: {left!r} became {right!r}, which is {mpmath.nstr(true, 20)}"


def _error(value: float, true: Any) -> Any:
    return abs(mpmath.mpf(value) - true) if math.isfinite(value) else mpmath.inf


def _sensitivity(before: Node, point: Point) -> Any:
    """How far a relative change of each input moves the value: what rounding the inputs costs by itself."""
    step, moved = mpmath.mpf("1e-25"), mpmath.mpf(0)
    here = exact(before, point)
    for h, v in point.items():
        there = exact(before, {**point, h: mpmath.mpf(v) * (1 + step)})
        if mpmath.isnan(there):
            return mpmath.inf
        moved += abs(there - here) / step
    return moved
