"""Functions from tables of polynomials, one for each piece of their range (tools/fit_pieces.py)."""

from __future__ import annotations

from sympile.compiler.code import lookup
from sympile.compiler.code.number import Number
from sympile.compiler.records import dataclass
from sympile.compiler.rules.machine_parts import facts
from sympile.compiler.rules.pieces import PIECES, PLACES


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """f = value + d*slope next to the centre of a piece; the value hardly needs its rounding."""

    d: Number
    value: Number
    slope: Number


def held(name: str, y: Number) -> Number:
    """y where the pieces are; beyond the last one its end, and nan stays."""
    return y.below(PLACES[name, y.lanes.bits][2])


def columns_at(name: str, y: Number) -> list[Number]:
    """What the tables say of the piece of a number that is held in its range: centre, value there, coefficients."""
    k = y.lanes
    low, scale, _ = PLACES[name, k.bits]
    place = y + low if scale == 1.0 else y.fma(scale, low)
    index = place.bits() >> (facts(y).fraction - 2)
    found = lookup.columns_looked_up(k, f"{name}.pieces", PIECES[name, k.bits], index.value)
    return [Number(k, column) for column in found]


def piece_of(name: str, y: Number, block: int = 2) -> Piece:
    """The piece of a number that is held in its range."""
    centre, value, *slope = columns_at(name, y)
    d = y - centre
    return Piece(d, value, d.polynomial(slope, block))


def odd_by_pieces(name: str, x: Number) -> Number:
    """An odd function whose first piece is d + d*slope; the piece is known by its value 0."""
    piece = piece_of(name, held(name, abs(x)))
    base = piece.value.equals(0.0).pick(piece.d, piece.value)
    return piece.slope.fma(piece.d, base).with_sign_of(x)
