"""Fits functions piece by piece and writes compiler/rules/pieces.py (half a minute).

The place y*scale + low of a number y >= 0 lies within four powers of two; each is cut in four equal pieces, so that two
bits of its exponent and two of its significand tell the piece. There f(c + d) = f(c) + d q(d), where the centre c is
chosen so that f(c) is a number of the format but for a hundredth of its last place. Of a function with a rule for
differences only the centres and the values there are found: the rest is f of the difference, next to 0.

Run:  python tools/fit_pieces.py            writes the file
      python tools/fit_pieces.py --check    says whether the file is what this program would write
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
from fit_coefficients import Fit, Real, remez, rounded

OUTPUT = Path(__file__).resolve().parent.parent / "compiler" / "rules" / "pieces.py"
COUNT, QUARTERS = 16, 4
WIDER = mp.mpf(2) ** -20          # rounding moves places across the border between two pieces
BIAS = {64: 1023, 32: 127}
NEAR_ENOUGH = mp.mpf("0.01")      # of a last place


@dataclass(frozen=True, slots=True)
class Pieces:
    """A function to fit, and where its pieces lie."""

    name: str
    bits: int
    degree: int              # 0: by a rule for differences
    low: mp.mpf              # a power of two
    scale: mp.mpf
    top: mp.mpf              # operands are held below
    function: Real
    odd: bool                # the first piece is d + d q(d), with the relative error that counts near 0


def scaled_erfc(y: mp.mpf) -> mp.mpf:
    """exp(y²) erfc(y)."""
    return mp.exp(y * y) * mp.erfc(y)


TURNED = mp.mpf("0.1667")         # tangents of the angles that are left of those by a rule


# fmt: off
FITS = (
    #      name  bits deg low              scale              top                function     odd
    Pieces("tanh", 64, 14, mp.mpf(1),      mp.mpf("0.78125"), mp.mpf("19.1875"), mp.tanh,     True),
    Pieces("tanh", 32, 6,  mp.mpf(1),      mp.mpf(1),         mp.mpf("9.5"),     mp.tanh,     True),
    Pieces("erf",  64, 13, mp.mpf("0.5"),  mp.mpf("1.234375"), mp.mpf("6.0625"), mp.erf,      True),
    Pieces("erf",  32, 6,  mp.mpf("0.5"),  mp.mpf("1.75"),    mp.mpf("3.9375"),  mp.erf,      True),
    Pieces("erfc", 64, 13, mp.mpf(2),      mp.mpf("1.09375"), mp.mpf("27.375"),  scaled_erfc, False),
    Pieces("erfc", 32, 6,  mp.mpf(1),      mp.mpf("1.375"),   mp.mpf("10.5"),    scaled_erfc, False),
    Pieces("atan", 64, 0,  mp.mpf("0.5"),  mp.mpf("0.75"),    mp.mpf(9),         mp.atan,     True),
    Pieces("atan", 32, 0,  mp.mpf("0.5"),  mp.mpf("0.75"),    mp.mpf(9),         mp.atan,     True),
)
# fmt: on


def stored(value: mp.mpf, bits: int) -> mp.mpf:
    """What the format keeps of a number."""
    return mp.mpf(float.fromhex(rounded(value, bits)))


def centre(fit: Pieces, middle: mp.mpf) -> mp.mpf:
    """A number next to the middle whose function value hardly needs rounding."""
    step = middle * mp.mpf(2) ** (-30 if fit.bits == 64 else -14)
    unit = mp.mpf(2) ** -(53 if fit.bits == 64 else 24)
    best, distance = middle, mp.inf
    for at in range(1000):
        place = stored(middle + (-1) ** at * ((at + 1) // 2) * step, fit.bits)
        value = fit.function(place)
        off = abs(value - stored(value, fit.bits)) / (value * unit)
        if off < distance:
            best, distance = place, off
        if distance < NEAR_ENOUGH:
            break
    return best


def piece(fit: Pieces, start: mp.mpf, end: mp.mpf) -> tuple[list[mp.mpf], mp.mpf]:
    """The centre and the coefficients on start ... end, and the largest relative error."""
    first = start == 0
    c = mp.mpf(0) if first else centre(fit, (start + end) / 2)
    value = fit.function(c)
    own = mp.mpf(1) if first and fit.odd else mp.mpf(0)

    def slope(d: mp.mpf) -> mp.mpf:
        if abs(d) < mp.mpf(2) ** -60:
            return mp.diff(fit.function, c) - own
        return (fit.function(c + d) - value) / d - own

    def weight(d: mp.mpf) -> mp.mpf:
        if abs(d) < mp.mpf(2) ** -60:
            return mp.mpf(1) if first and fit.odd else mp.mpf(2) ** -60
        return abs(d) / fit.function(c + d)

    low = mp.mpf(0) if first else start - c - WIDER * end
    coefficients, size = remez(Fit(fit.name, fit.bits, fit.degree - 1, low, end - c + WIDER * end, slope, weight))
    return [c, value, *coefficients], size


def amid(fit: Pieces, start: mp.mpf, end: mp.mpf) -> tuple[list[mp.mpf], mp.mpf]:
    """The centre amid the angles from start to end, and the largest tangent that is left; the last piece has no end."""
    angles = mp.atan(start), mp.pi / 2 if end == fit.top else mp.atan(end)
    c = mp.mpf(0) if start == 0 else centre(fit, mp.tan(sum(angles) / 2))
    left = max(abs(mp.tan(angle - mp.atan(c))) for angle in angles)
    assert left < TURNED, "beyond what the polynomial is fitted for"
    return [c, mp.atan(c)], left


def fitted(fit: Pieces) -> tuple[list[list[mp.mpf]], mp.mpf]:
    """The rows of all pieces where the bits of their places find them, and the largest error (or tangent left)."""
    rows, worst = [[mp.mpf(0)] * (fit.degree + 2)] * COUNT, mp.mpf(0)
    exponent = round(float(mp.log(fit.low, 2))) + BIAS[fit.bits]
    for at in range(COUNT):
        octave, quarter = divmod(at, QUARTERS)
        places = [fit.low * 2**octave * (1 + mp.mpf(q) / QUARTERS) for q in (quarter, quarter + 1)]
        ends = [(place - fit.low) / fit.scale for place in places]
        if ends[0] >= fit.top:
            continue
        row, size = (piece if fit.degree else amid)(fit, ends[0], min(ends[1], fit.top))
        rows[(exponent + octave) % 4 * QUARTERS + quarter] = row
        worst = max(worst, size)
    return rows, worst


HEADER = '''"""Functions piece by piece; tools/fit_pieces.py wrote them."""

from __future__ import annotations


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float.fromhex(word) for word in text.split())


# fmt: off
'''


def entry(fit: Pieces) -> str:
    """The table of one function."""
    rows, worst = fitted(fit)
    remark = f"error 2^{float(mp.log(worst, 2)):.1f}" if fit.degree else f"tangents up to {float(worst):.3f}"
    print(f"{fit.name:6} {fit.bits}  degree {fit.degree:2}  {remark}", flush=True)
    lines = [f'    ("{fit.name}", {fit.bits}): (   # {remark}\n']
    for column in zip(*rows, strict=True):
        words = [rounded(number, fit.bits) for number in column]
        lines.append(f'        _numbers("{" ".join(words[:8])} "\n                 "{" ".join(words[8:])}"),\n')
    return "".join(lines) + "    ),\n"


def text() -> str:
    """The whole file."""
    places = "".join(
        f'    ("{fit.name}", {fit.bits}): ({float(fit.low)}, {float(fit.scale)}, {float(fit.top)}),\n' for fit in FITS
    )
    return (
        f"{HEADER}PLACES: dict[tuple[str, int], tuple[float, float, float]] = {{   # low, scale, top\n{places}}}\n\n"
        "PIECES: dict[tuple[str, int], tuple[tuple[float, ...], ...]] = {   # centres, values there, then by powers\n"
        f"{''.join(map(entry, FITS))}}}\n# fmt: on\n"
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
