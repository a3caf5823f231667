"""Names of other libraries that sympile does not have: what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import sympy as sp

# Names elsewhere, and what to write: code over columns x, y, p (a prediction for y), a square matrix A, a scalar s
# and a class number c. The tests run it.
# fmt: off
_ROWS = (
    # ---- elementwise
    ("swish",                                      "sm.silu(x)"),
    ("arcsin",                                     "sm.asin(x)"),
    ("arccos",                                     "sm.acos(x)"),
    ("arctan",                                     "sm.atan(x)"),
    ("arctan2",                                    "sm.atan2(y, x)"),
    ("arcsinh",                                    "sm.asinh(x)"),
    ("arccosh",                                    "sm.acosh(x)"),
    ("arctanh",                                    "sm.atanh(x)"),
    ("absolute fabs",                              "sm.abs(x)"),
    ("ceil",                                       "sm.ceiling(x)"),
    ("clamp clip_by_value",                        "sm.clip(x, 0, 1)"),
    ("exp2",                                       "sm.power(2, x)"),
    ("pow float_power",                            "sm.power(x, 2)"),
    ("reciprocal",                                 "sm.divide(1, x)"),
    ("rsqrt",                                      "sm.power(x, sp.Rational(-1, 2))"),
    ("mul hadamard",                               "sm.multiply(x, y)"),
    ("div true_divide",                            "sm.divide(x, y)"),
    ("subtract",                                   "x - y"),
    ("negative",                                   "-x"),
    ("hypot",                                      "sm.sqrt(sm.square(x) + sm.square(y))"),
    ("logaddexp",                                  "sm.maximum(x, y) + sm.softplus(-sm.abs(x - y))"),
    ("logit",                                      "sm.log(x) - sm.log1p(-x)"),
    ("lgamma gammaln",                             "sp.loggamma(s)"),
    ("heaviside",                                  "sp.Heaviside(s)"),
    ("logcosh",                                    "sm.log_cosh(x)"),
    ("hard_swish",                                 "sm.hard_silu(x)"),
    ("prelu",                                      "sm.leaky_relu(x, s)"),
    ("celu",                                       "sm.where(sm.greater(x, 0), x, s*sm.expm1(x/s))"),
    ("tanhshrink",                                 "x - sm.tanh(x)"),
    ("softshrink soft_threshold",                  "sm.multiply(sm.sign(x), sm.relu(sm.add(sm.abs(x), -s)))"),
    ("hardshrink hard_threshold",                  "sm.where(sm.greater(sm.abs(x), s), x, 0)"),
    ("glu",                                        "sm.multiply(x, sm.sigmoid(y))"),
    ("softmin",                                    "sm.softmax(-x)"),
    # ---- over an axis
    ("amax reduce_max",                            "sm.max(x)"),
    ("amin reduce_min",                            "sm.min(x)"),
    ("average reduce_mean",                        "sm.mean(x)"),
    ("reduce_sum",                                 "sm.sum(x)"),
    ("variance",                                   "sm.var(x)"),
    ("layer_norm",                                 "sm.add(x, -sm.mean(x))/sm.sqrt(sm.var(x) + s)"),
    ("batch_norm",                                 "sm.divide(x - sm.batch_mean(x), sm.sqrt(sm.add(s, "
                                                   "sm.batch_mean(sm.square(x - sm.batch_mean(x))))))"),
    ("rms_norm",                                   "x/sm.sqrt(sm.mean(sm.square(x)) + s)"),
    ("normalize",                                  "x/sm.norm(x)"),
    ("cosine_similarity",                          "sm.dot(x, y)/(sm.norm(x)*sm.norm(y))"),
    # ---- linear algebra
    ("determinant",                                "sm.det(A)"),
    ("slogdet",                                    "sm.log(sm.abs(sm.det(A)))"),
    ("inverse",                                    "sm.inv(A)"),
    ("transpose",                                  "A.T"),
    ("eye identity",                               "sp.Identity(3)"),
    ("zeros",                                      "sp.ZeroMatrix(3, 1)"),
    ("ones",                                       "sp.OneMatrix(3, 1)"),
    ("diag",                                       "sp.DiagMatrix(x)"),
    ("diagonal",                                   "sp.DiagonalOf(A)"),
    ("outer",                                      "x*y.T"),
    ("kron",                                       "sp.KroneckerProduct(A, A)"),
    ("inner vdot",                                 "sm.dot(x, y)"),
    ("mm bmm",                                     "sm.matmul(A, A)"),
    ("embedding gather take",                      "A[c, :]"),
    ("einsum",                                     "sm.comprehension(sp.Sum(A[i, k]*x[k, 0], (k, 0, 2)), (i, 3))"),
    # ---- losses
    ("mse_loss mean_squared_error",                "sm.mse(p, y)"),
    ("l1_loss mean_absolute_error",                "sm.mae(p, y)"),
    ("smooth_l1_loss huber_loss",                  "sm.huber(p, y)"),
    ("bce_with_logits bce_with_logits_loss binary_cross_entropy_with_logits sigmoid_cross_entropy",
                                                   "sm.binary_cross_entropy(p, y)"),
    ("softmax_cross_entropy",                      "sm.cross_entropy(p, y)"),
    ("sparse_categorical_cross_entropy nll_loss",  "sm.cross_entropy(p, c)"),
    ("kl_div",                                     "sm.kl_divergence(p, y)"),
    ("hinge_loss",                                 "sm.hinge(p, y)"),
    ("squared_hinge",                              "sm.mean(sm.square(sm.relu(sm.add(-sm.multiply(y, p), 1))))"),
    ("soft_margin_loss",                           "sm.mean(sm.softplus(-sm.multiply(y, p)))"),
    ("quantile_loss pinball_loss",                 "sm.mean(sm.maximum(s*(y - p), (s - 1)*(y - p)))"),
    ("poisson_nll_loss poisson",                   "sm.mean(sm.exp(p) - sm.multiply(y, p))"),
    ("gaussian_nll_loss",                          "(sp.log(s) + sm.mse(p, y)/s)/2"),
    ("triplet_margin_loss",                        "sm.relu(sm.norm(x - p) - sm.norm(x - y) + 1)"),
    # ---- models and training
    ("jit vmap",                                   "sm.lambdify(s, sp.sin(s))"),
    ("jacrev jacfwd",                              "sm.jacobian(A*x, x)"),
    ("linear",                                     "A*x + y"),
    ("dense",                                      "sm.tanh(A*x + y)"),
    ("sequential",                                 "sm.compile(sm.mse(A*x, y), A)"),
    ("parameter_list variable",                    "sp.MatrixSymbol('A', 3, 3)"),
    ("early_stopping",                             "sm.no_improvement(patience=5)"),
)
# fmt: on
INSTEAD: Mapping[str, str] = {name: code for names, code in _ROWS for name in names.split()}
MOST = 3  # near names that a message lists


def missing(name: str, known: Iterable[str]) -> str:
    """What to say where sympile has no such name: what to write instead, whose name it is, or which are near."""
    public = {_folded(word): word for word in known if not word.startswith("_")}
    instead = {_folded(word): code for word, code in INSTEAD.items()}
    wanted = _folded(name)
    if wanted in instead:
        return f"sympile has no {name!r}; write {instead[wanted]}"
    if wanted not in public and hasattr(sp, name):
        return f"sympile has no {name!r}, but SymPy has; write sympy.{name}"
    near = [wanted] if wanted in public else difflib.get_close_matches(wanted, public, n=MOST)
    words = " or ".join(public[word] for word in near)
    hint = f" (did you mean {words}?)" if near else "; docs/api.md lists what it has"
    return f"sympile has no {name!r}{hint}"


def _folded(name: str) -> str:
    """Names that differ in capitals and underscores alone are the same: LogSoftmax and log_softmax."""
    return name.lower().replace("_", "").removesuffix("loss")
