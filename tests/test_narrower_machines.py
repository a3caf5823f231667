"""Programs as they run where registers are narrower than here: the same results, to the last digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
import sympy as sp
from test_against_jax import MODELS, split
from vector_kernels import NARROWER

import sympile as sm
from sympile.compiler.code import target
from sympile.compiler.code.target import TARGETS, host

pytestmark = pytest.mark.skipif(not NARROWER, reason="this machine has the narrowest registers that it can run")

x = sp.Symbol("x")
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 200)
# fmt: off
FUNCTIONS: dict[str, Any] = {
    "exp": sp.exp(x), "exp of -x²": sp.exp(-x**2), "log": sp.log(x), "log1p": sp.log(1 + x), "expm1": sp.exp(x) - 1, "tanh": sp.tanh(x),
    "sigmoid": 1/(1 + sp.exp(-x)), "softplus": sp.log(1 + sp.exp(x)), "sin": sp.sin(x), "cos": sp.cos(x), "tan": sp.tan(x), "asin": sp.asin(x/4),
    "atan": sp.atan(x), "sinh": sp.sinh(x), "cosh": sp.cosh(x), "asinh": sp.asinh(x), "acosh": sp.acosh(1 + x), "atanh": sp.atanh(x/4),
    "cbrt": sp.cbrt(x), "power": x**sp.Rational(7, 3), "root": sp.sqrt(x), "by a root": sp.exp(x)/sp.sqrt(x), "erf": sp.erf(x), "erfc": sp.erfc(x),
    "loggamma": sp.loggamma(x), "digamma": sp.digamma(x), "log10": sp.log(x, 10), "several": sp.exp(x)*sp.atan(x)/(1 + sp.exp(-x)) + sp.erfc(x),
}
# fmt: on


MACHINES = ["avx2", "neon"]  # of the second, only what is the same in another processor's instructions


@contextmanager
def narrow(machine: str) -> Iterator[None]:
    """The machine is one without AVX-512; what is compiled meanwhile is made for that."""
    features = llvm.get_host_cpu_features()
    own = llvm.FeatureMap({name: there and not name.startswith("avx512") for name, there in features.items()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llvm, "get_host_cpu_features", lambda: own)
        patch.setattr(llvm, "get_host_cpu_name", lambda: TARGETS["avx2"].cpu)
        patch.setattr(target, "_host_row", lambda architecture, features: machine)
        host.cache_clear()
        yield
    host.cache_clear()


@pytest.mark.parametrize("machine", MACHINES)
def test_the_machine_is_narrow(machine: str) -> None:
    with narrow(machine):
        assert host().name == machine
    assert host().name == "avx512"


def on_both(machine: str, results: Callable[[], list[Any]]) -> Iterator[tuple[Any, Any]]:
    """What comes out there and here."""
    with narrow(machine):
        there = results()
    return zip(there, results(), strict=True)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-15), ("float32", 1e-6)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: str, rtol: float, machine: str) -> None:
    def results() -> list[Any]:
        function, rng = sm.lambdify([x], FUNCTIONS[name], dtype=dtype), np.random.default_rng(0)
        return [function(rng.uniform(0.1, 3, size).astype(dtype)) for size in SIZES]

    for there, here in on_both(machine, results):
        np.testing.assert_allclose(there, here, rtol=8 * rtol, atol=rtol)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [
    "logistic regression", "perceptron", "attention", "convolution", "Gaussian mixture", "layer normalisation", "triangular sums",
])  # fmt: skip
def test_models(name: str, dtype: str, machine: str) -> None:
    """Value, gradient, and some steps in batches that do not divide the examples."""
    twin = MODELS[name]
    notation = next(iter(twin.written))

    def results() -> list[Any]:
        model = twin.compiled(notation, dtype=dtype)
        values = {key: value.astype(dtype) for key, value in twin.values(37).items()}
        loss, gradient = model.value_and_grad(split(twin, notation, values))
        trained = {key: values.pop(key) for key in twin.trained.split()}
        start = split(twin, notation, trained)
        fitted = model.fit(split(twin, notation, values), start=start, optimizer=sm.adam(0.01), epochs=2, batch_size=9)
        return [loss, *gradient.values(), *fitted.parameters.values()]

    rtol = {"float64": 1e-9, "float32": 1e-3}[dtype]
    for there, here in on_both(machine, results):
        np.testing.assert_allclose(there, here, rtol=rtol, atol=rtol * np.abs(here).max())
