"""What one writes formulas with, beside SymPy itself: matrix functions, tensors, binders, losses, names."""

from sympile.compiler.language.algebra import det, inv, logdet, solve
from sympile.compiler.language.binders import Index as Index
from sympile.compiler.language.binders import LogSumExp, Maximum, Minimum, comprehension, indices
from sympile.compiler.language.bridges import add, batch_mean, batch_sum, dot, matmul, named, scalar
from sympile.compiler.language.classes import one_hot
from sympile.compiler.language.compositions import elu, gelu, hard_sigmoid, hard_silu, relu6, std, var
from sympile.compiler.language.cumulative import cummax, cummin, cumprod, cumsum, logcumsumexp
from sympile.compiler.language.entrywise import clip, divide, multiply, power, square
from sympile.compiler.language.functions import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    ceiling,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    expm1,
    floor,
    greater,
    hard_tanh,
    leaky_relu,
    less,
    log,
    log1p,
    log2,
    log10,
    log_cosh,
    log_sigmoid,
    maximum,
    minimum,
    mish,
    relu,
    selu,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softplus,
    softsign,
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
    "exp", "log", "log1p", "log2", "log10", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "log_cosh", "erf", "erfc", "abs", "sign", "floor", "ceiling",
    "maximum", "minimum", "clip", "where", "greater", "less", "multiply", "divide", "power", "square",
    "sigmoid", "log_sigmoid", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign",
    "hard_tanh", "relu6", "hard_sigmoid", "hard_silu",
    "softmax", "log_softmax", "logsumexp", "norm", "mean", "var", "std", "sum", "prod", "max", "min",
    "det", "logdet", "inv", "solve",
    "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp",
    "dot", "scalar", "add", "matmul", "one_hot", "batch_mean", "batch_sum",
    "mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge", "kl_divergence",
    "step", "epoch", "gradient", "parameter",
]
# fmt: on
NAMES = tuple(__all__)  # what the face exports
