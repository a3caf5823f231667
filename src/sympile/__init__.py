"""SymPy formulas in; readable gradients and native training loops out."""

from __future__ import annotations

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING


def _find_folders(package: _Path, search_path: list[str]) -> None:
    """Where the links to `compiler` and `runtime` were lost (a zip, Windows), also looks in the repository."""
    repository = package.parent.parent
    if not (package / "compiler").is_dir() and (repository / "compiler" / "__init__.py").is_file():
        search_path.append(str(repository))


_find_folders(_Path(__file__).resolve().parent, __path__)

from sympile.compiler.collection import collection_paused as _collection_paused  # noqa: E402  (the folders come first)

with _collection_paused():  # each search for garbage would walk all of SymPy, too: a tenth of the time
    from sympile.compiler import language as _language
    from sympile.compiler.errors import SympileError
    from sympile.compiler.language import *  # noqa: F403
    from sympile.compiler.show.shown import Formula
    from sympile.compiler.version import VERSION as _VERSION
    from sympile.runtime.model import (
        Model,
        grad,
        hessian,
        hvp,
        jacobian,
        jvp,
        lambdify,
        value_and_grad,
        vjp,
    )
    from sympile.runtime.model import compile_model as compile

if _TYPE_CHECKING:
    from sympile.compiler.show.trace import Trace, trace
    from sympile.runtime.optimizers import adagrad, adam, adamw, optimizer, rmsprop, sgd
    from sympile.runtime.result import Result
    from sympile.runtime.stopping import no_improvement, small_gradient
    from sympile.runtime.storage import load_parameters

__version__ = _VERSION
__all__ = [
    *_language.NAMES,
    "compile", "Model", "Formula", "Result", "Trace", "SympileError",
    "grad", "value_and_grad", "jacobian", "hessian", "jvp", "vjp", "hvp", "lambdify", "trace",
    "optimizer", "sgd", "rmsprop", "adagrad", "adam", "adamw", "no_improvement", "small_gradient", "load_parameters",
]  # fmt: skip

_LATER = {  # what a model that is not trained does without is loaded when it is asked for
    **dict.fromkeys(("Trace", "trace"), "sympile.compiler.show.trace"),
    **dict.fromkeys(("optimizer", "sgd", "rmsprop", "adagrad", "adam", "adamw"), "sympile.runtime.optimizers"),
    **dict.fromkeys(("no_improvement", "small_gradient"), "sympile.runtime.stopping"),
    "Result": "sympile.runtime.result",
    "load_parameters": "sympile.runtime.storage",
}

if not _TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(_missing(name), name=name)
        found = globals()[name] = getattr(_import_module(_LATER[name]), name)
        return found

    def _missing(name: str) -> str:
        """Why there is no such name; machines ask for names with underscores, people for others."""
        if name.startswith("_"):
            return f"module {__name__!r} has no attribute {name!r}"
        return str(_import_module("sympile.compiler.language.elsewhere").missing(name, __all__))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
