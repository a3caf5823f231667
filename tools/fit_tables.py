"""Finds the tables and quotients of the vector mathematics and writes compiler/rules/tables.py (seconds).

A table splits the range of a significand in 16 equal pieces of its bits, so that what is left over is small and a short
polynomial does. Entries are rounded to few bits where a product with them must be exact.

Run:  python tools/fit_tables.py            writes the file
      python tools/fit_tables.py --check    says whether the file is what this program would write
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
from fit_coefficients import (
    GRID,
    Fit,
    Real,
    _alternating,
    exp_tail,
    near_zero,
    of_square,
    power_weight,
    relative_weight,
    remez,
    rounded,
)

OUTPUT = Path(__file__).resolve().parent.parent / "compiler" / "rules" / "tables.py"
ONE = mp.mpf(1)
Piece = tuple[mp.mpf, mp.mpf]


def short(value: mp.mpf, bits: int) -> mp.mpf:
    """The nearest multiple of 2**-bits."""
    return mp.nint(mp.ldexp(value, bits)) / mp.mpf(2) ** bits


def stored(value: mp.mpf, bits: int) -> mp.mpf:
    """What the format keeps of a number."""
    return mp.mpf(float.fromhex(rounded(value, bits)))


# --------------------------------------------------------------------------------------------------- logarithm

ENTRY_BITS = {64: 41, 32: 15}     # after the point: entries and multiples of log 2 or lg 2 add up exactly
# A significand within 3/4 ... 3/2: from 1 on in steps of 1/16, then, one exponent below, from 3/4 in steps of 1/32.
PIECES: tuple[Piece, ...] = (
    *((1 + mp.mpf(at) / 16, 1 + mp.mpf(at + 1) / 16) for at in range(8)),
    *((mp.mpf(at + 16) / 32, mp.mpf(at + 17) / 32) for at in range(8, 16)),
)
BASES = {"log": ONE, "log2": 1 / mp.log(2), "log10": 1 / mp.log(10)}
LOG_DEGREE = {64: 9, 32: 3}


def inverses() -> list[mp.mpf]:
    """Multiples of 1/32 next to the inverse of each piece: m * inverse - 1 is exact."""
    found = [min((mp.mpf(at) / 32 for at in range(16, 64)), key=lambda c: _reach(piece, c)) for piece in PIECES]
    found[0] = found[15] = ONE                    # around 1 nothing is added
    found[1] = mp.mpf(30) / 32                    # the entry next to it cancels few digits
    return found


def _reach(piece: Piece, inverse: mp.mpf) -> mp.mpf:
    return max(abs(end * inverse - 1) for end in piece)


def log_tables(bits: int) -> Iterator[tuple[str, list[mp.mpf]]]:
    """The inverses, and the logarithms that belong to them in two parts."""
    found = inverses()
    yield "log_inverse", found
    for base, scale in BASES.items():
        logs = [-mp.log(c) * scale for c in found]
        high = [short(value, ENTRY_BITS[bits]) for value in logs]
        yield f"{base}_high", high
        yield f"{base}_low", [value - kept for value, kept in zip(logs, high, strict=True)]


def log_fit(base: str, bits: int) -> Fit:
    """(log(1 + r) - r) / r² in the base."""
    ends = [end * c - 1 for piece, c in zip(PIECES, inverses(), strict=True) for end in piece]
    scale = BASES[base]
    tail = near_zero(lambda r: -mp.mpf(1) / 2 + r / 3, lambda r: (mp.log1p(r) - r) / r**2)
    return Fit(base, bits, LOG_DEGREE[bits], min(ends), max(ends), lambda r: tail(r) * scale, power_weight(1))


# ------------------------------------------------------------------------------------------------------- power

POWER_LEAST = 0.734375                # rules/machine_power.py; twice that is a border between pieces
POWER_DEGREE = {64: 9, 32: 3}


def power_pieces() -> list[tuple[Piece, mp.mpf]]:
    """Sixteenths of a significand around 1, 17/16, ..., thirty-seconds around 24/32, ..., with their short inverses."""
    centres = [(1 + mp.mpf(at) / 16, mp.mpf(1) / 32) for at in range(8)]
    centres += [(mp.mpf(at + 16) / 32, mp.mpf(1) / 64) for at in range(8, 16)]
    pieces = [(c - half, c + half) for c, half in centres]
    pieces[0] = 1 - mp.mpf(1) / 64, 1 + mp.mpf(1) / 32
    assert pieces[8][0] == POWER_LEAST and pieces[7][1] == 2 * POWER_LEAST
    short_inverses = [mp.mpf(at) / 32 for at in range(16, 64)]
    return [(piece, min(short_inverses, key=lambda c: _reach(piece, c))) for piece in pieces]


def power_tables(bits: int) -> Iterator[tuple[str, list[mp.mpf]]]:
    """The inverses, and the logarithms that belong to them in two parts."""
    found = [inverse for _, inverse in power_pieces()]
    high = [short(-mp.log(c), ENTRY_BITS[bits]) for c in found]
    yield "power_inverse", found
    yield "power_high", high
    yield "power_low", [-mp.log(c) - kept for c, kept in zip(found, high, strict=True)]


def power_fit(bits: int) -> Fit:
    """(log(1 + r) - r + r²/2) / r³, with the error of the logarithm relative to r."""
    ends = [end * inverse - 1 for piece, inverse in power_pieces() for end in piece]
    tail = near_zero(lambda r: mp.mpf(1) / 3 - r / 4, lambda r: (mp.log1p(r) - r + r * r / 2) / r**3)
    return Fit("power", bits, POWER_DEGREE[bits], min(ends), max(ends), tail, power_weight(2))


# ------------------------------------------------------------------------------------------------- exponential

STEPS = {64: 8, 32: 16}               # of a power of two; rules/machine_parts.py
EXP_DEGREE = {64: 5, 32: 1}


def step_tables(bits: int) -> Iterator[tuple[str, list[mp.mpf]]]:
    """The powers of two between 1 and 2 in two parts."""
    powers = [mp.mpf(2) ** (mp.mpf(at) / STEPS[bits]) for at in range(STEPS[bits])]
    yield "power_of_two", powers
    yield "power_of_two_low", [value - stored(value, bits) for value in powers]


def step_fit(bits: int) -> Fit:
    """(exp(r) - 1 - r) / r² within half a step."""
    reach = mp.log(2) / (2 * STEPS[bits]) * mp.mpf("1.0005")
    return Fit("exp_step", bits, EXP_DEGREE[bits], -reach, reach, exp_tail, power_weight(2))


# --------------------------------------------------------------------------------------------------- cube root

ROOT_BITS = 7                         # of the roots of a significand
SCALE_BITS = {64: 44, 32: 15}         # of 2**(1/3) and 2**(2/3): a product of the two is exact
CBRT_DEGREE = {64: 7, 32: 2}
THIRDS = (0, 1, 1, 2)                 # k/3 rounded to quarters: what is left of k, by the two bits behind the point


def cbrt_pieces() -> list[tuple[Piece, mp.mpf]]:
    """Sixteenths of 1 ... 2, each with a short number next to its cube roots."""
    pieces = [(1 + mp.mpf(at) / 16, 1 + mp.mpf(at + 1) / 16) for at in range(16)]
    return [(piece, short(mp.cbrt(2 / (1 / piece[0] + 1 / piece[1])), ROOT_BITS)) for piece in pieces]


def cbrt_tables(bits: int) -> Iterator[tuple[str, list[mp.mpf]]]:
    """The short roots and their inverse cubes; the roots of 1, 2 and 4 in two parts."""
    yield "cbrt_root", [root for _, root in cbrt_pieces()]
    yield "cbrt_inverse", [1 / root**3 for _, root in cbrt_pieces()]
    scales = [mp.cbrt(mp.mpf(2) ** left) for left in THIRDS] * (2 if bits == 64 else 4)
    high = [short(scale, SCALE_BITS[bits]) for scale in scales]
    yield "cbrt_scale", high
    yield "cbrt_scale_low", [scale - kept for scale, kept in zip(scales, high, strict=True)]


def cbrt_fit(bits: int) -> Fit:
    """(cbrt(1 + r) - 1) / r."""
    ends = [end * stored(1 / root**3, bits) - 1 for piece, root in cbrt_pieces() for end in piece]
    rise = near_zero(lambda r: mp.mpf(1) / 3 - r / 9, lambda r: (mp.cbrt(1 + r) - 1) / r)
    return Fit("cbrt", bits, CBRT_DEGREE[bits], min(ends), max(ends), rise, power_weight(1))


# ---------------------------------------------------------------------------------------------------- quotients


@dataclass(frozen=True, slots=True)
class Quotient:
    """Two polynomials to find, whose quotient is the function; the one below begins with 1."""

    name: str
    bits: int
    above: int           # degrees
    below: int
    low: mp.mpf
    high: mp.mpf
    function: Real
    weight: Real


tan_tail = of_square(near_zero(lambda r: mp.mpf(1) / 3 + 2 * r * r / 15, lambda r: (mp.tan(r) - r) / r**3))
QUARTER_PI2 = (mp.pi / 4 * mp.mpf("1.001")) ** 2
# fmt: off
QUOTIENTS = (
    #        name  bits degrees low        high         function  weight
    Quotient("tan", 64, 2, 4,   mp.mpf(0), QUARTER_PI2, tan_tail, relative_weight(mp.tan)),
    Quotient("tan", 32, 1, 2,   mp.mpf(0), QUARTER_PI2, tan_tail, relative_weight(mp.tan)),
)
# fmt: on


def quotient(fit: Quotient) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """Both polynomials and the largest weighted error; linear Remez steps, weighted by the last polynomial below."""
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    points = [middle - half * mp.cos(mp.pi * at / GRID) for at in range(GRID + 1)]
    values = [(x, fit.function(x), fit.weight(x)) for x in points]
    rows = [
        [x**at for at in range(fit.above + 1)] + [-(x ** (at + 1)) * g for at in range(fit.below)] for x, g, _ in values
    ]
    below = [ONE]
    for _ in range(4):
        weights = [w / mp.polyval(below[::-1], x) for x, _, w in values]
        found = _balanced(rows, [g for _, g, _ in values], weights)
        above, below = found[: fit.above + 1], [ONE, *found[fit.above + 1 :]]
    errors = [w * (mp.polyval(above[::-1], x) / mp.polyval(below[::-1], x) - g) for x, g, w in values]
    return above, below, max(abs(error) for error in errors)


def _balanced(rows: list[list[mp.mpf]], wanted: list[mp.mpf], weights: list[mp.mpf]) -> list[mp.mpf]:
    """The combination of the columns whose largest weighted error is least."""
    count = len(rows[0])
    places = [round(GRID * at / count) for at in range(count + 1)]
    for _ in range(40):
        system, right = mp.matrix(count + 1, count + 1), mp.matrix(count + 1, 1)
        for row, place in enumerate(places):
            for column, number in enumerate([*rows[place], (-1) ** row / weights[place]]):
                system[row, column] = number
            right[row] = wanted[place]
        solution = list(mp.lu_solve(system, right))
        errors = [
            w * (mp.fdot(row, solution[:count]) - g) for row, g, w in zip(rows, wanted, weights, strict=True)
        ]
        extrema = _alternating(errors, count + 1)
        if len(extrema) <= count or max(map(abs, errors)) < abs(solution[count]) * mp.mpf("1.01"):
            break
        places = extrema
    return solution[:count]


# ------------------------------------------------------------------------------------------------------- output

HEADER = '''"""Tables and quotients of the vector mathematics; tools/fit_tables.py wrote them."""

from __future__ import annotations


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float.fromhex(word) for word in text.split())


# fmt: off
'''


def listed(numbers: list[mp.mpf], bits: int) -> str:
    """The numbers as text, four to a line."""
    words = [rounded(number, bits) for number in numbers]
    lines = [" ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
    return "\n".join(f'        "{line} "' for line in lines[:-1]) + f'\n        "{lines[-1]}"'


def entry(name: str, bits: int, numbers: list[mp.mpf], remark: str = "") -> str:
    """One row of the file."""
    return f'    ("{name}", {bits}): _numbers({remark}\n{listed(numbers, bits)}\n    ),\n'


def error(size: mp.mpf) -> str:
    """The remark that says how good a fit is."""
    return f"   # error 2^{float(mp.log(size, 2)):.1f}"


def text() -> str:
    """The whole file."""
    makes = (log_tables, power_tables, step_tables, cbrt_tables)
    found = [(bits, table) for bits in (64, 32) for make in makes for table in make(bits)]
    tables = [entry(name, bits, numbers) for bits, (name, numbers) in found]
    fits = [log_fit(base, bits) for base in BASES for bits in (64, 32)]
    fits += [make(bits) for make in (power_fit, step_fit, cbrt_fit) for bits in (64, 32)]
    polynomials = []
    for fit in fits:
        numbers, size = remez(fit)
        polynomials.append(entry(fit.name, fit.bits, numbers, error(size)))
    for ratio in QUOTIENTS:
        above, below, size = quotient(ratio)
        polynomials.append(entry(f"{ratio.name}_above", ratio.bits, above, error(size)))
        polynomials.append(entry(f"{ratio.name}_below", ratio.bits, below))
    kind = "dict[tuple[str, int], tuple[float, ...]]"
    return (
        f"{HEADER}TABLES: {kind} = {{   # (name, bits of the format): one entry for each piece\n{''.join(tables)}}}\n\n"
        f"AFTER_TABLES: {kind} = {{   # polynomials, lowest power first\n{''.join(polynomials)}}}\n# fmt: on\n"
    )


def main() -> int:
    """Writes or checks the file."""
    if "--check" in sys.argv:
        same = OUTPUT.read_text() == text()
        print("the file is up to date" if same else "the file differs")
        return 0 if same else 1
    OUTPUT.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
