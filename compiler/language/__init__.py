"""What one writes formulas with, beside SymPy itself: matrix functions, tensors, binders, losses, names."""

from sympile.compiler.language.binders import Index as Index
from sympile.compiler.language.binders import LogSumExp, Maximum, Minimum, comprehension, indices
from sympile.compiler.language.bridges import add, batch_mean, batch_sum, dot, matmul, named, scalar
from sympile.compiler.language.classes import one_hot
from sympile.compiler.language.cumulative import cummax, cummin, cumprod, cumsum, logcumsumexp
from sympile.compiler.language.functions import (
    abs,
    acos,
    asin,
    atan,
    cos,
    cosh,
    elu,
    erf,
    erfc,
    exp,
    expm1,
    gelu,
    greater,
    hard_tanh,
    leaky_relu,
    less,
    log,
    log1p,
    maximum,
    minimum,
    relu,
    selu,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softplus,
    sqrt,
    tan,
    tanh,
    where,
)
from sympile.compiler.language.losses import (
    binary_cross_entropy,
    cross_entropy,
    hinge,
    huber,
    kl_divergence,
    mae,
    mse,
)
from sympile.compiler.language.protocol import Ours as Ours
from sympile.compiler.language.reductions import (
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    sum,
)
from sympile.compiler.language.symbols import epoch, gradient, parameter, step
from sympile.compiler.language.tensor import Tensor

# fmt: off
__all__ = [  # noqa: RUF022  (grouped by meaning)
    "Tensor", "named", "indices", "comprehension", "Maximum", "Minimum", "LogSumExp",
    "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
    "erf", "erfc", "abs", "sign", "maximum", "minimum", "where", "greater", "less",
    "sigmoid", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "hard_tanh",
    "softmax", "log_softmax", "logsumexp", "norm", "mean", "sum", "prod", "max", "min",
    "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp",
    "dot", "scalar", "add", "matmul", "one_hot", "batch_mean", "batch_sum",
    "mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "kl_divergence",
    "step", "epoch", "gradient", "parameter",
]
# fmt: on
NAMES = tuple(__all__)  # what the face exports
