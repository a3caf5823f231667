"""Functions of scalars that SymPy lacks; none evaluates itself, each knows its definition and its slope.

SymPy prints a function by the name of its class: hence the small letters.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

SELU_SCALE = sp.Float("1.0507009873554804934193349852946", 32)  # Klambauer et al. 2017, equation 14
SELU_ALPHA = sp.Float("1.6732632423543772848170429916717", 32)


class ScalarElementary(sp.Function):  # type: ignore[misc]
    """A function of real numbers with a definition in SymPy's own functions."""

    @classmethod
    def eval(cls, *args: Any) -> None:
        """Nothing evaluates by itself: what one writes is what one sees."""

    def definition(self) -> Any:
        """The same value written with SymPy's own functions."""
        raise NotImplementedError

    def _eval_evalf(self, prec: int) -> Any:
        return self.definition()._eval_evalf(prec)


class sigmoid(ScalarElementary):
    """1/(1 + exp(-x))."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return 1 / (1 + sp.exp(-self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope, as SymPy asks for it."""
        return self * (1 - self)


class relu(ScalarElementary):
    """max(0, x)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.Max(0, self.args[0])

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope; 0 at the kink."""
        return sp.Heaviside(self.args[0], 0)


class leaky_relu(ScalarElementary):
    """x where x > 0, slope*x elsewhere."""

    nargs = 2

    def definition(self) -> Any:
        """The textbook form."""
        x, slope = self.args
        return sp.Piecewise((x, x > 0), (slope * x, True))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope; from the left at the kink."""
        x, slope = self.args
        return sp.Piecewise((1, x > 0), (slope, True)) if argindex == 1 else sp.Piecewise((0, x > 0), (x, True))


class elu(ScalarElementary):
    """x where x > 0, exp(x) - 1 elsewhere (Clevert et al. 2015)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        x = self.args[0]
        return sp.Piecewise((x, x > 0), (sp.exp(x) - 1, True))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        x = self.args[0]
        return sp.Piecewise((1, x > 0), (sp.exp(x), True))


class selu(ScalarElementary):
    """scale*x where x > 0, scale*alpha*(exp(x) - 1) elsewhere (Klambauer et al. 2017)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        x = self.args[0]
        return sp.Piecewise((SELU_SCALE * x, x > 0), (SELU_SCALE * SELU_ALPHA * (sp.exp(x) - 1), True))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope; from the left at the kink."""
        x = self.args[0]
        return sp.Piecewise((SELU_SCALE, x > 0), (SELU_SCALE * SELU_ALPHA * sp.exp(x), True))


class gelu(ScalarElementary):
    """x times the standard normal distribution function of x (Hendrycks and Gimpel 2016)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        x = self.args[0]
        return x * (1 + sp.erf(x / sp.sqrt(2))) / 2

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        x = self.args[0]
        return (1 + sp.erf(x / sp.sqrt(2))) / 2 + x * sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


class silu(ScalarElementary):
    """x*sigmoid(x)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return self.args[0] / (1 + sp.exp(-self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        x = self.args[0]
        return sigmoid(x) * (1 + x * (1 - sigmoid(x)))


class softplus(ScalarElementary):
    """log(1 + exp(x)), without overflow."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.log(1 + sp.exp(self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return sigmoid(self.args[0])


class hard_tanh(ScalarElementary):
    """x kept between -1 and 1."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.Max(-1, sp.Min(1, self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope; from the left at the kinks."""
        x = self.args[0]
        return sp.Piecewise((1, (x > -1) & (x <= 1)), (0, True))


class log1p(ScalarElementary):
    """log(1 + x), exact for small x."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.log(1 + self.args[0])

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return 1 / (1 + self.args[0])


class expm1(ScalarElementary):
    """exp(x) - 1, exact for small x."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.exp(self.args[0]) - 1

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return self + 1


class log_sigmoid(ScalarElementary):
    """log(1/(1 + exp(-x))), without overflow."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return -sp.log(1 + sp.exp(-self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return sigmoid(-self.args[0])


class mish(ScalarElementary):
    """x*tanh(log(1 + exp(x))) (Misra 2019)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return self.args[0] * sp.tanh(sp.log(1 + sp.exp(self.args[0])))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        x = self.args[0]
        gate = sp.tanh(softplus(x))
        return gate + x * (1 - gate**2) * sigmoid(x)


class softsign(ScalarElementary):
    """x/(1 + |x|)."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return self.args[0] / (1 + sp.Abs(self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return (1 + sp.Abs(self.args[0])) ** -2


class log_cosh(ScalarElementary):
    """log(cosh(x)), without overflow."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.log(sp.cosh(self.args[0]))

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return sp.tanh(self.args[0])


class log2(ScalarElementary):
    """The logarithm to the base 2."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.log(self.args[0]) / sp.log(2)

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return 1 / (self.args[0] * sp.log(2))


class log10(ScalarElementary):
    """The logarithm to the base 10."""

    nargs = 1

    def definition(self) -> Any:
        """The textbook form."""
        return sp.log(self.args[0]) / sp.log(10)

    def fdiff(self, argindex: int = 1) -> Any:
        """The slope."""
        return 1 / (self.args[0] * sp.log(10))
