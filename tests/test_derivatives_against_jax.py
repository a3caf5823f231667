"""Elementwise functions, and second and directional derivatives, against JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from jax_twins import UNOPTIMIZED, close

import sympile as sm


@pytest.fixture(autouse=True)
def _doubles() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# ============================================================================================= elementwise functions

u = sp.Symbol("u")
# fmt: off
FUNCTIONS: dict[str, tuple[Any, Any, str]] = {
    #              sympile                  JAX                                              where
    "exp":        (sm.exp,                  jnp.exp,                                         "line"),
    "log":        (sm.log,                  jnp.log,                                         "positive"),
    "log1p":      (sm.log1p,                jnp.log1p,                                       "positive"),
    "expm1":      (sm.expm1,                jnp.expm1,                                       "line"),
    "sqrt":       (sm.sqrt,                 jnp.sqrt,                                        "positive"),
    "sin":        (sm.sin,                  jnp.sin,                                         "line"),
    "cos":        (sm.cos,                  jnp.cos,                                         "line"),
    "tan":        (sm.tan,                  jnp.tan,                                         "inside"),
    "asin":       (sm.asin,                 jnp.arcsin,                                      "inside"),
    "acos":       (sm.acos,                 jnp.arccos,                                      "inside"),
    "atan":       (sm.atan,                 jnp.arctan,                                      "line"),
    "sinh":       (sm.sinh,                 jnp.sinh,                                        "line"),
    "cosh":       (sm.cosh,                 jnp.cosh,                                        "line"),
    "tanh":       (sm.tanh,                 jnp.tanh,                                        "inside"),
    "erf":        (sm.erf,                  jax.scipy.special.erf,                           "line"),
    "erfc":       (sm.erfc,                 jax.scipy.special.erfc,                          "inside"),
    "abs":        (sm.abs,                  jnp.abs,                                         "line"),
    "sigmoid":    (sm.sigmoid,              jax.nn.sigmoid,                                  "line"),
    "relu":       (sm.relu,                 jax.nn.relu,                                     "line"),
    "leaky relu": (sm.leaky_relu,           jax.nn.leaky_relu,                               "line"),
    "elu":        (sm.elu,                  jax.nn.elu,                                      "line"),
    "selu":       (sm.selu,                 jax.nn.selu,                                     "line"),
    "gelu":       (sm.gelu,                 lambda z: jax.nn.gelu(z, approximate=False),     "inside"),
    "silu":       (sm.silu,                 jax.nn.silu,                                     "line"),
    "softplus":   (sm.softplus,             jax.nn.softplus,                                 "line"),
    "hard tanh":  (sm.hard_tanh,            jax.nn.hard_tanh,                                "line"),
    "power":      (lambda z: z**2.5,        lambda z: z**2.5,                                "positive"),
    "self power": (lambda z: z**z,          lambda z: z**z,                                  "positive"),
    "maximum":    (lambda z: sm.maximum(z, z**2), lambda z: jnp.maximum(z, z**2),            "line"),
    "arctan 2":   (lambda z: sp.atan2(z, 2), lambda z: jnp.arctan2(z, 2),                    "line"),
}
PLACES = {
    "line":     np.array([-30.0, -3.7, -0.8, -1e-3, 1e-9, 0.3, 0.999, 2.5, 18.0]),
    "positive": np.array([1e-9, 1e-3, 0.2, 0.7, 1.3, 2.5, 18.0]),
    "inside":   np.array([-0.95, -0.5, -1e-8, 1e-3, 0.4, 0.9]),
}
# fmt: on


@pytest.mark.parametrize("where", PLACES)
def test_functions(where: str) -> None:
    """Values, slopes and second derivatives, each number to its own relative accuracy."""
    table = {name: (ours, theirs) for name, (ours, theirs, place) in FUNCTIONS.items() if place == where}
    slopes = {name: sm.grad(ours(u), u) for name, (ours, _) in table.items()}
    orders = {"value": [ours(u) for ours, _ in table.values()], "slope": list(slopes.values())}
    orders["curvature"] = [sm.grad(slope, u) for slope in slopes.values()]

    def one(point: Any) -> list[list[Any]]:
        values = [theirs for _, theirs in table.values()]
        firsts = [jax.grad(theirs) for theirs in values]
        return [[f(point) for f in order] for order in (values, firsts, map(jax.grad, firsts))]

    wanted = jax.jit(jax.vmap(one), compiler_options=UNOPTIMIZED)(PLACES[where])
    for (order, formulas), theirs in zip(orders.items(), wanted, strict=True):
        found = sm.lambdify(u, formulas)(PLACES[where])
        for name, ours, expected_values in zip(table, found, theirs, strict=True):
            np.testing.assert_allclose(ours, expected_values, rtol=1e-9, atol=1e-15, err_msg=f"{order} of {name}")


# ============================================================================================= second and directional derivatives

i = sm.indices("i")
z, t, v = (sp.MatrixSymbol(name, 4, 1) for name in "ztv")
a, b, c, A, W = sp.Symbol("a"), sp.Symbol("b"), sp.IndexedBase("c", shape=(5,)), sp.MatrixSymbol("A", 4, 4), sp.MatrixSymbol("W", 3, 4)
X, y, r = sp.MatrixSymbol("X", 6, 4), sp.MatrixSymbol("y", 6, 1), sm.Tensor("r", (5,))
T, s = sm.Tensor("T", (3, 5)), sm.Tensor("s", (3,))
t_z, t_A, t_T, t_r = (sp.MatrixSymbol("t_z", 4, 1), sp.MatrixSymbol("t_A", 4, 4), sm.Tensor("t_T", (3, 5)), sm.Tensor("t_r", (5,)))
CHAIN = sp.Sum(100 * (c[i + 1] - c[i] ** 2) ** 2 + (1 - c[i]) ** 2, (i, 0, 3))
SCORE = sm.sum(sm.log(sm.add(sm.exp(-sp.HadamardProduct(y, X * z)), 1)))
NETWORK = sm.cross_entropy(T @ sm.tanh(r), s)
KERNEL = sp.exp(a) * A * A.T + sp.exp(b) * sp.Identity(4)
EVIDENCE = sm.scalar(z.T * KERNEL.I * z) + sp.log(sp.Determinant(KERNEL))


def rosenbrock(a: Any, b: Any) -> Any:
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


def chained(c: Any) -> Any:
    return (100 * (c[1:] - c[:-1] ** 2) ** 2 + (1 - c[:-1]) ** 2).sum()


def softmax_loss(z: Any, t: Any) -> Any:
    return t.sum() * jax.nn.logsumexp(z) - t @ z


def score(X: Any, y: Any, z: Any) -> Any:
    return jnp.logaddexp(0, -y * (X @ z)).sum()


def network(T: Any, r: Any, s: Any) -> Any:
    return softmax_loss(T @ jnp.tanh(r), s)


def kernel(A: Any, a: Any, b: Any) -> Any:
    return jnp.exp(a) * A @ A.T + jnp.exp(b) * jnp.eye(4)


def evidence(z: Any, A: Any, a: Any, b: Any) -> Any:
    return z @ jnp.linalg.solve(kernel(A, a, b), z) + jnp.linalg.slogdet(kernel(A, a, b))[1]


def product_of(x: Any) -> Any:
    return jnp.prod(x)


def along(f: Any, at: int) -> Any:
    """Of f(*values) in its argument `at` along the last argument."""
    return lambda *v: jax.jvp(lambda x: f(*v[:at], x, *v[at + 1 : -1]), (v[at],), (v[-1],))[1]


def hessian_along(f: Any, at: int) -> Any:
    return along(lambda *v: jax.grad(f, at)(*v), at)


def back(f: Any, at: int) -> Any:
    return lambda *v: jax.vjp(lambda x: f(*v[:at], x, *v[at + 1 : -1]), v[at])[1](v[-1])[0]


# fmt: off
DERIVATIVES = [
    #            formula                                    arguments          the same in JAX
    pytest.param(lambda: sm.hessian(sm.cross_entropy(z, t), z),         [z, t],         jax.hessian(softmax_loss),                  id="Hessian of softmax cross-entropy"),
    pytest.param(lambda: sm.hessian(rosenbrock(a, b), [a, b]),          [a, b],         lambda a, b: jax.hessian(lambda p: rosenbrock(*p))(jnp.stack([a, b])), id="Hessian of Rosenbrock"),
    pytest.param(lambda: sm.hessian(CHAIN, c),                          [c],            jax.hessian(chained),                       id="Hessian of Rosenbrock's chain"),
    pytest.param(lambda: sm.hessian(SCORE, z),                          [X, y, z],      jax.hessian(score, 2),                      id="Hessian of logistic regression"),
    pytest.param(lambda: sm.hessian(sm.norm(z), z),                     [z],            jax.hessian(jnp.linalg.norm),               id="Hessian of a norm"),
    pytest.param(lambda: sm.hessian(sm.prod(r), r),                     [r],            jax.hessian(product_of),                    id="Hessian of a product"),
    pytest.param(lambda: sm.hessian(NETWORK, r),                        [T, r, s],      jax.hessian(network, 1),                    id="Hessian of a network"),
    pytest.param(lambda: sm.grad(sm.grad(EVIDENCE, a), b),              [z, A, a, b],   jax.grad(jax.grad(evidence, 2), 3),         id="mixed derivative of an evidence"),
    pytest.param(lambda: sm.hessian(sp.log(sp.Determinant(KERNEL)), [a, b]), [A, a, b], lambda A, a, b: jax.hessian(lambda p: jnp.linalg.slogdet(kernel(A, *p))[1])(jnp.stack([a, b])), id="Hessian of a log-determinant"),
    pytest.param(lambda: sm.jacobian(sm.softmax(W * z), z),             [W, z],         jax.jacobian(lambda W, z: jax.nn.softmax(W @ z), 1), id="Jacobian of softmax"),
    pytest.param(lambda: sm.jacobian(W * sm.tanh(z), W),                [W, z],         jax.jacobian(lambda W, z: W @ jnp.tanh(z)), id="Jacobian by a matrix"),
    pytest.param(lambda: sm.jvp(sm.softmax(A * z), z),                  [A, z, t_z],    along(lambda A, z: jax.nn.softmax(A @ z), 1), id="jvp of softmax"),
    pytest.param(lambda: sm.jvp(A.I * z, A),                            [A, z, t_A],    along(jnp.linalg.solve, 0),                 id="jvp of a solution"),
    pytest.param(lambda: sm.vjp(sm.tanh(A * z), A, v),                  [A, z, v],      back(lambda A, z: jnp.tanh(A @ z), 0),      id="vjp of a layer"),
    pytest.param(lambda: sm.vjp(A.I * z, A, v),                         [A, z, v],      back(jnp.linalg.solve, 0),                  id="vjp of a solution"),
    pytest.param(lambda: sm.hvp(NETWORK, T),                            [T, r, s, t_T], hessian_along(network, 0),                  id="hvp by a matrix of weights"),
    pytest.param(lambda: sm.hvp(NETWORK, r),                            [T, r, s, t_r], hessian_along(network, 1),                  id="hvp by inputs"),
    pytest.param(lambda: sm.hvp(sp.log(sp.Determinant(A * A.T)), A),    [A, t_A],       hessian_along(lambda A: jnp.linalg.slogdet(A @ A.T)[1], 0), id="hvp of a log-determinant"),
    pytest.param(lambda: sm.grad(sm.sum(sm.tanh(z * W[0, 0])), W),      [W, z],         jax.grad(lambda W, z: jnp.tanh(z * W[0, 0]).sum()), id="gradient by one entry"),
    pytest.param(lambda: sm.grad(sm.huber(W * z, W * v), W),            [W, z, v],      jax.grad(lambda W, z, v: jnp.where(jnp.abs(W @ (z - v)) <= 1, (W @ (z - v)) ** 2 / 2, jnp.abs(W @ (z - v)) - 0.5).mean()), id="gradient of Huber"),
]
# fmt: on


@pytest.mark.parametrize(("formula", "arguments", "by_jax"), DERIVATIVES)
def test_derivatives(formula: Any, arguments: list[Any], by_jax: Any) -> None:
    """Formulas that are shown, and read again by lambdify."""
    rng = np.random.default_rng(4)
    shapes = [tuple(int(length) for length in getattr(argument, "shape", ())) for argument in arguments]
    values = [rng.normal(size=shape) + (2 * np.eye(4) if argument is A else 0) for shape, argument in zip(shapes, arguments, strict=True)]
    plain = [value[:, 0] if value.shape[1:] == (1,) else value for value in values]
    wanted = np.asarray(jax.jit(by_jax, compiler_options=UNOPTIMIZED)(*plain))
    shown = formula()
    found = np.asarray(sm.lambdify(arguments, shown)(*values))
    close(found.reshape(wanted.shape), wanted, 1e-9, f"{shown}")
