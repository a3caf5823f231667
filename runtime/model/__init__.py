"""On top: joins the compiler and the runtime. What `sm.compile`, `sm.lambdify` and `sm.grad` return."""

from sympile.runtime.model.compiling import compile_model
from sympile.runtime.model.derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from sympile.runtime.model.functions import Function, lambdify
from sympile.runtime.model.model import Model

__all__ = [
    "Function",
    "Model",
    "compile_model",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "lambdify",
    "value_and_grad",
    "vjp",
]
