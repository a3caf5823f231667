"""Fits the polynomials of the vector mathematics and writes compiler/rules/coefficients.py (seconds).

Each row of FITS is a function g, an interval and a weight w; the polynomial p of the row's degree minimises the largest
|w (p - g)| (Remez 1934; exchange as in Cheney, Introduction to Approximation Theory, 1966, chapter 3.8). The weight is
chosen so that the number printed is the relative error that p leaves in the final result.

Run:  python tools/fit_coefficients.py            writes the file
      python tools/fit_coefficients.py --check    says whether the file is what this program would write
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np

Real = Callable[[mp.mpf], mp.mpf]
OUTPUT = Path(__file__).resolve().parent.parent / "compiler" / "rules" / "coefficients.py"
PRECISION = 260      # bits while fitting
GRID = 900           # points on which the extrema are sought
mp.mp.prec = PRECISION
TINY = mp.mpf(2) ** -60


@dataclass(frozen=True, slots=True)
class Fit:
    """One polynomial to find."""

    name: str
    bits: int                # 64 or 32: the format of the coefficients
    degree: int
    low: mp.mpf
    high: mp.mpf
    function: Real
    weight: Real


# ---------------------------------------------------------------------------------------------------- functions


def near_zero(at_zero: Real, elsewhere: Real, radius: float = 2.0**-40) -> Real:
    """A quotient such as (exp(r)-1-r)/r², by its series where numerator and denominator vanish."""
    return lambda x: at_zero(x) if abs(x) < radius else elsewhere(x)


def of_square(function: Real) -> Real:
    """The same as a function of z = x²."""
    return lambda z: function(mp.sqrt(z))


exp_tail = near_zero(lambda r: mp.mpf(1) / 2 + r / 6, lambda r: (mp.exp(r) - 1 - r) / r**2)
atanh_tail = of_square(near_zero(lambda s: mp.mpf(1) / 3 + s * s / 5, lambda s: (mp.atanh(s) / s - 1) / s**2))
sin_tail = of_square(near_zero(lambda r: -mp.mpf(1) / 6 + r * r / 120, lambda r: (mp.sin(r) - r) / r**3))
asin_tail = of_square(near_zero(lambda x: mp.mpf(1) / 6 + x * x * 3 / 40, lambda x: (mp.asin(x) - x) / x**3))
atan_tail = of_square(near_zero(lambda x: -mp.mpf(1) / 3 + x * x / 5, lambda x: (mp.atan(x) - x) / x**3))
sinh_tail = of_square(near_zero(lambda x: mp.mpf(1) / 6 + x * x / 120, lambda x: (mp.sinh(x) - x) / x**3))
cosh_tail = of_square(near_zero(lambda x: mp.mpf(1) / 2 + x * x / 24, lambda x: (mp.cosh(x) - 1) / x**2))


def loggamma_ratio(zero: int) -> Real:
    """log Γ(zero + d) / d, which is smooth at its zeros 1 and 2."""
    slope = mp.digamma(zero)
    curve = mp.psi(1, zero) / 2
    return near_zero(lambda d: slope + curve * d, lambda d: mp.loggamma(zero + d) / d, 2.0**-60)


def stirling(w: mp.mpf) -> mp.mpf:
    """x (log Γ(x) - (x - 1/2) log x + x - log(2π)/2) at w = 1/x²."""
    if w < mp.mpf(2) ** -40:
        return mp.mpf(1) / 12 - w / 360
    x = 1 / mp.sqrt(w)
    return x * (mp.loggamma(x) - (x - mp.mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


DIGAMMA_ZERO = mp.mpf("1.46163214496836234126265954232572132846819620400644629512959840859878644035380")


def digamma_ratio(d: mp.mpf) -> mp.mpf:
    """ψ(x) / (x - x0) at x = 2 + d, where x0 is the positive zero of ψ."""
    step = 2 + d - DIGAMMA_ZERO
    return mp.psi(1, DIGAMMA_ZERO) if abs(step) < 2.0**-60 else mp.digamma(2 + d) / step


def loggamma_rise(d: mp.mpf) -> mp.mpf:
    """(log Γ(x0 + d) - log Γ(x0)) / d²."""
    if abs(d) < 2.0**-40:
        return mp.psi(1, DIGAMMA_ZERO) / 2 + mp.psi(2, DIGAMMA_ZERO) * d / 6
    return (mp.loggamma(DIGAMMA_ZERO + d) - mp.loggamma(DIGAMMA_ZERO)) / d**2


def digamma_tail(w: mp.mpf) -> mp.mpf:
    """x² (log x - 1/(2x) - ψ(x)) at w = 1/x²."""
    if w < mp.mpf(2) ** -40:
        return mp.mpf(1) / 12 - w / 120
    x = 1 / mp.sqrt(w)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / w


def trigamma_tail(w: mp.mpf) -> mp.mpf:
    """x³ (ψ'(x) - 1/x - 1/(2x²)) at w = 1/x²."""
    if w < mp.mpf(2) ** -40:
        return mp.mpf(1) / 6 - w / 30
    x = 1 / mp.sqrt(w)
    return (mp.psi(1, x) - 1 / x - w / 2) * x**3


# ------------------------------------------------------------------------------------------------------ weights


def constant_weight(_: mp.mpf) -> mp.mpf:
    """The error of p as it is."""
    return mp.mpf(1)


def power_weight(exponent: int) -> Real:
    """The error of x**exponent * p."""
    return lambda x: abs(x) ** exponent + TINY


def relative_weight(function: Real) -> Real:
    """The relative error of x³p(x²) against function(x), as a function of z = x²."""

    def weight(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(z)
        return (x**3 / function(x) if x > 0 else mp.mpf(0)) + TINY

    return weight


def of_result(function: Real) -> Real:
    """The relative error against function itself."""
    return lambda x: 1 / abs(function(x))


def tail_of(whole: Real, factor: Real) -> Real:
    """The error of factor*p relative to the whole."""
    return lambda x: abs(factor(x) / whole(x)) + TINY


# ------------------------------------------------------------------------------------------------- what to find

HALF_LOG2 = mp.log(2) / 2 * mp.mpf("1.0005")
ATANH_SQUARED = mp.mpf("0.2259") ** 2                          # rules/machine_logarithm.py, RATIO_CUT
ATAN_SQUARED = mp.mpf("0.1667") ** 2                           # tools/fit_pieces.py, TURNED
HALF_PI2 = (mp.pi / 2 * mp.mpf("1.001")) ** 2
ONE, QUARTER = mp.mpf(1), mp.mpf(1) / 4
asin_weight, atan_weight = relative_weight(mp.asin), relative_weight(mp.atan)
sin_weight, sinh_weight = relative_weight(mp.sin), relative_weight(mp.sinh)
gamma1, gamma2 = loggamma_ratio(1), loggamma_ratio(2)
stirling_weight = tail_of(lambda w: mp.loggamma(1 / mp.sqrt(w)), mp.sqrt)
digamma_weight = tail_of(lambda w: mp.digamma(1 / mp.sqrt(w)), lambda w: w)
guarded = lambda f: lambda w: f(w if w > mp.mpf(2) ** -60 else mp.mpf(2) ** -60)               # noqa: E731
LEAST_W = mp.mpf(0)

# fmt: off
FITS = (
    #   name         bits deg  low            high         function       weight
    Fit("exp",        64,  9, -HALF_LOG2,     HALF_LOG2,   exp_tail,      power_weight(2)),
    Fit("exp",        32,  4, -HALF_LOG2,     HALF_LOG2,   exp_tail,      power_weight(2)),
    Fit("atanh",      64,  6, mp.mpf(0),      ATANH_SQUARED, atanh_tail,  power_weight(1)),
    Fit("atanh",      32,  2, mp.mpf(0),      ATANH_SQUARED, atanh_tail,  power_weight(1)),
    Fit("sin",        64,  7, mp.mpf(0),      HALF_PI2,    sin_tail,      sin_weight),
    Fit("sin",        32,  3, mp.mpf(0),      HALF_PI2,    sin_tail,      sin_weight),
    Fit("asin",       64, 12, mp.mpf(0),      QUARTER,     asin_tail,     asin_weight),
    Fit("asin",       32,  5, mp.mpf(0),      QUARTER,     asin_tail,     asin_weight),
    Fit("atan",       64,  6, mp.mpf(0),      ATAN_SQUARED, atan_tail,    atan_weight),
    Fit("atan",       32,  2, mp.mpf(0),      ATAN_SQUARED, atan_tail,    atan_weight),
    Fit("sinh",       64,  4, mp.mpf(0),      HALF_LOG2**2, sinh_tail,    sinh_weight),
    Fit("sinh",       32,  2, mp.mpf(0),      HALF_LOG2**2, sinh_tail,    sinh_weight),
    Fit("cosh",       64,  4, mp.mpf(0),      HALF_LOG2**2, cosh_tail,    power_weight(1)),
    Fit("cosh",       32,  2, mp.mpf(0),      HALF_LOG2**2, cosh_tail,    power_weight(1)),
    Fit("gamma1",     64, 26, mp.mpf(-0.51),  mp.mpf(0.21), gamma1,       of_result(gamma1)),
    Fit("gamma2",     64, 20, mp.mpf(-0.26),  ONE,         gamma2,        of_result(gamma2)),
    Fit("gamma_least", 64, 14, mp.mpf(-0.28), mp.mpf(0.3), loggamma_rise, power_weight(2)),
    Fit("stirling",   64,  5, LEAST_W,        ONE / 64,    stirling,      guarded(stirling_weight)),
    Fit("digamma",    64, 30, -ONE,           ONE,         digamma_ratio, of_result(digamma_ratio)),
    Fit("psi_far",    64,  6, LEAST_W,        ONE / 64,    digamma_tail,  guarded(digamma_weight)),
    Fit("trigamma_far", 64, 6, LEAST_W,       ONE / 64,    trigamma_tail, power_weight(1)),
)
# fmt: on


# -------------------------------------------------------------------------------------------------------- Remez


def remez(fit: Fit) -> tuple[list[mp.mpf], mp.mpf]:
    """The coefficients, lowest power first, and the largest weighted error."""
    count = fit.degree + 1
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    grid = [middle - half * mp.cos(mp.pi * at / GRID) for at in range(GRID + 1)]
    values = [(x, fit.function(x), fit.weight(x)) for x in grid]
    chosen = [values[round(GRID * at / count)] for at in range(count + 1)]
    for _ in range(40):
        coefficients, level = _balanced(chosen, count)
        errors = [w * (mp.polyval(coefficients[::-1], x) - g) for x, g, w in values]
        extrema = _alternating(errors, count + 1)
        worst = max(abs(error) for error in errors)
        if len(extrema) <= count or worst < abs(level) * mp.mpf("1.01"):
            break
        chosen = [values[at] for at in extrema]
    return coefficients, worst


def _balanced(points: list[tuple[mp.mpf, mp.mpf, mp.mpf]], count: int) -> tuple[list[mp.mpf], mp.mpf]:
    """The polynomial whose weighted errors at the points are equal with alternating signs, and that error."""
    system, right = mp.matrix(count + 1, count + 1), mp.matrix(count + 1, 1)
    for row, (x, g, w) in enumerate(points):
        for column in range(count):
            system[row, column] = x**column
        system[row, count] = (-1) ** row / w
        right[row] = g
    solution = mp.lu_solve(system, right)
    return [solution[at] for at in range(count)], solution[count]


def _alternating(errors: list[mp.mpf], wanted: int) -> list[int]:
    """Places of the largest errors whose signs alternate."""
    places: list[int] = []
    for at, error in enumerate(errors):
        if places and errors[places[-1]] * error > 0:
            if abs(error) > abs(errors[places[-1]]):
                places[-1] = at
        elif error != 0:
            places.append(at)
    while len(places) > wanted:
        places.pop(0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1)
    return places


# ------------------------------------------------------------------------------------------------------- output

HEADER = '''"""Coefficients of the vector mathematics, lowest power first; tools/fit_coefficients.py wrote them."""

from __future__ import annotations


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float.fromhex(word) for word in text.split())


# fmt: off
COEFFICIENTS: dict[tuple[str, int], tuple[float, ...]] = {   # (name, bits of the format)
'''


def rounded(number: mp.mpf, bits: int) -> str:
    """The nearest float64 or float32, as a hexadecimal literal."""
    if bits == 64:
        return float(number).hex()
    with mp.workprec(24):
        return float(np.float32(float(+number))).hex()


def entry(fit: Fit) -> str:
    """One row of the file."""
    coefficients, worst = remez(fit)
    print(f"{fit.name:10} {fit.bits}  degree {fit.degree:2}  error 2^{float(mp.log(worst, 2)):.1f}", flush=True)
    words = [rounded(number, fit.bits) for number in coefficients]
    lines = [" ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
    body = "\n".join(f'        "{line} "' for line in lines[:-1]) + f'\n        "{lines[-1]}"' 
    return f'    ("{fit.name}", {fit.bits}): _numbers(   # error 2^{float(mp.log(worst, 2)):.1f}\n{body}\n    ),\n'


CONSTANTS: tuple[tuple[str, mp.mpf, int, int, int], ...] = (
    # name            value                parts  bits left free in the first part (64, 32): small multiples are exact
    ("ln2",           mp.log(2),               2,       0,   0),
    ("ln2_short",     mp.log(2),               2,      20,   9),
    ("lg2_short",     mp.log10(2),             2,      20,   9),
    ("1/ln2",         1 / mp.log(2),           2,       0,   0),
    ("1/ln10",        1 / mp.log(10),          2,       0,   0),
    ("pi",            +mp.pi,                  3,       0,   0),
    ("pi/2",          mp.pi / 2,               3,       0,   0),
    ("digamma_zero",  DIGAMMA_ZERO,            2,       0,   0),
    ("loggamma_least", mp.loggamma(DIGAMMA_ZERO), 2,    0,   0),
    ("log(2pi)/2",    mp.log(2 * mp.pi) / 2,   2,       0,   0),
)  # fmt: skip


def parts(value: mp.mpf, count: int, short: int, bits: int) -> str:
    """A constant as an unevaluated sum, each number the rounding of what is left; a short one is not above."""
    words = []
    for at in range(count):
        kept = short if at == 0 else 0
        piece = mp.mpf(value, prec=(53 if bits == 64 else 24) - kept, rounding="d" if kept else "n")
        words.append(rounded(piece, bits))
        value -= mp.mpf(float.fromhex(words[-1]))
    return " ".join(words)


def inverse_pi_words() -> str:
    """64 zero bits, then 1/π as 64-bit words, the highest first."""
    words = [0] + [int(mp.floor(mp.ldexp(1 / mp.pi, 64 * at))) % 2**64 for at in range(1, 24)]
    lines = [", ".join(f"0x{word:016X}" for word in words[at : at + 4]) for at in range(0, len(words), 4)]
    return "INVERSE_PI: tuple[int, ...] = (   # 64 zero bits, then the bits of 1/π, the highest first\n" + "".join(
        f"    {line},\n" for line in lines
    ) + ")\n"


def constants() -> str:
    """The table of constants in parts."""
    rows = []
    for name, value, count, *short in CONSTANTS:
        for bits, free in zip((64, 32), short, strict=True):
            rows.append(f'    ("{name}", {bits}): _numbers("{parts(value, count, free, bits)}"),\n')
    title = "CONSTANTS: dict[tuple[str, int], tuple[float, ...]] = {   # each an unevaluated sum\n"
    with mp.workprec(2000):
        return title + "".join(rows) + "}\n\n" + inverse_pi_words()


def main() -> int:
    """Writes or checks the file."""
    text = HEADER + "".join(entry(fit) for fit in FITS) + "}\n\n" + constants() + "# fmt: on\n"
    if "--check" in sys.argv:
        same = OUTPUT.read_text() == text
        print("the file is up to date" if same else "the file differs")
        return 0 if same else 1
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
