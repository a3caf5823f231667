"""Vector code of log and what is made of it."""

from __future__ import annotations

from sympile.compiler.code.number import Number
from sympile.compiler.rules.machine_parts import (
    INF,
    NAN,
    Pair,
    ReducedLog,
    bits_of,
    constant,
    entry,
    facts,
    fast_sum,
    first_true,
    fitted,
    leading_bits,
    log_specials,
    parts,
    reduced_log,
    reduced_log_of,
    split_exponent,
)


def log(x: Number) -> Number:
    """k log 2 + log(m), by a table."""
    return log_specials(x, reduced_log(x).total())


def log1p(x: Number) -> Number:
    """log(u + c) with u = 1 + x rounded, and what the rounding lost."""
    u = x + 1.0
    return log_specials(u, reduced_log_of(Pair(u, x - (u - 1.0))).total()).with_sign_of(x)     # c is exact below 2**53


def log2(x: Number) -> Number:
    """k + log2(m); exact at powers of two."""
    reduced = reduced_log(x)
    r, piece = reduced.r, reduced.piece
    high, low = parts(x, "1/ln2")
    tail = (r * r).fma(r.polynomial(fitted(x, "log2")), r.fma(low, entry(piece, "log2_low")))
    return log_specials(x, (reduced.k + entry(piece, "log2_high")) + r.fma(high, tail))


def log10(x: Number) -> Number:
    """k lg 2 + lg(m); exact at powers of ten."""
    reduced = reduced_log(x)
    k, r, piece = reduced.k, reduced.r, reduced.piece
    factor, rest = parts(x, "1/ln10")
    high, low = parts(x, "lg2_short")
    tail = (r * r).fma(r.polynomial(fitted(x, "log10")), r.fma(rest, k.fma(low, entry(piece, "log10_low"))))
    return log_specials(x, k.fma(high, entry(piece, "log10_high")) + r.fma(factor, tail))


HALF_WAY = {64: 512, 32: 64}            # half of all exponents: what is below 2**512, or 2**-512 of what is above, can be squared
FAR = {64: 2.0**500, 32: 2.0**60}        # beyond, x² would overflow, and x² - 1 is x² long since


def asinh(x: Number) -> Number:
    """log(w) with w = y + sqrt(y² + 1) and y = |x|; what is left of w is summed by its parts, so that small y keep their digits."""
    y, power = abs(x), HALF_WAY[x.lanes.bits]
    far = y >= 2.0**power
    z, one = far.pick(y * 2.0**-power, y), far.pick(0.0, 1.0)
    s = z.fma(z, one).sqrt()
    w = z + s
    k, m = split_exponent(w)
    piece = leading_bits(m)
    factor = entry(piece, "log_inverse") * (m.bits() - w.bits() + bits_of(m, 1.0)).number()     # c 2**-k
    r = factor.fma(z * (z / (s + one)), factor.fma(z, factor.fma(one, -1.0)))
    result = ReducedLog(k + far.pick(power, 0.0), piece, r).total()
    return y.equals(INF).pick(INF, result).with_sign_of(x)


def acosh(x: Number) -> Number:
    """log(w) with w = x + sqrt(d² + 2d) and d = x - 1, everything halved."""
    half, d = x * 0.5, x.fma(0.5, -0.5)                              # exact where it counts
    near = d.below(FAR[x.lanes.bits])
    root = near.fma(near, near).sqrt()
    rest = near.fma(near, (-root).fma(root, near))                   # near - root² is about -near²: little is rounded off
    low = rest / (root + root).above(facts(x).tiny)
    w = fast_sum(half, root.above(d))
    result = reduced_log_of(Pair(w.high, w.low + low), halved=True).total()
    return x.compare("ult", 1.0).pick(NAN, log_specials(w.high, result))


RATIO_CUT = 0.4         # so that s below is within -1/6 ... 0.2258, and k = 0 up to y = 1/5


def atanh(x: Number) -> Number:
    """(k log 2)/2 + atanh(s) with y = |x|, s = (a - B) / (a + B), a = 1 + y, B = 2**k (1 - y), and B next to a."""
    fact, one = facts(x), bits_of(x, 1.0)
    y = abs(x)
    a, b = fast_sum(constant(x, 1.0), y), fast_sum(constant(x, 1.0), -y)
    distance = a.high.bits() - b.high.bits() + int(RATIO_CUT * 2**fact.fraction)
    shifted = distance & -(1 << fact.fraction)                                          # k, where exponents are
    k = ((shifted >> fact.fraction) | bits_of(x, 2.0**fact.fraction)).number() - 2.0**fact.fraction
    power = (shifted + one).number()
    above = (a.high - b.high * power) + (-power).fma(b.low, a.low)
    s = above / a.high.fma(2.0, a.low.fma(2.0, -above))
    z = s * s
    high, low = parts(x, "ln2_short")
    result = k.fma(high / 2, s + (s * z).fma(z.polynomial(fitted(x, "atanh")), k * (low / 2)))
    return first_true([(y.equals(1.0), INF), (y.compare("ugt", 1.0), NAN)], result).with_sign_of(x)
