"""What an import leaves for later: a program that does not train, or looks at no formula, does not wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"

# fmt: off
LATER = {  # module: a prefix of its name → why the import does without it
    "sympile.compiler.training":         "fits",
    "sympile.compiler.passes.training.": "fits",
    "sympile.compiler.small_steps":      "fits",
    "sympile.runtime.model.training":    "fits",
    "sympile.runtime.model.fitting":     "fits",
    "sympile.runtime.bench":             "fits",
    "sympile.runtime.job":               "fits",
    "sympile.runtime.optimizers":        "fits",
    "sympile.runtime.result":            "fits",
    "sympile.compiler.show.formula":     "formulas to read",
    "sympile.compiler.show.raising":     "formulas to read",
    "sympile.compiler.show.latex":       "formulas to read",
    "sympile.runtime.model.explaining":  "stages to read",
    "_hashlib":                          "OpenSSL, which nothing needs",
    "difflib":                           "mistakes",
    "tqdm":                              "the progress bar",
    "scipy.special":                     "few functions",
    "sympy.tensor.array.expressions":    "SymPy's arrays",
}
# fmt: on


def loaded(script: str) -> list[str]:
    """The modules that a script has loaded at its end, of those that the packages below sympile have not."""
    before = "import sys, sympy, numpy, llvmlite.binding; before = set(sys.modules)\n"
    after = "\nprint(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-c", before + script + after],
        env={"PYTHONPATH": str(SOURCE), "SYMPILE_CACHE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


@pytest.fixture(scope="module")
def imported() -> list[str]:
    return loaded("import sympile")


@pytest.mark.parametrize("name", LATER)
def test_what_waits(imported: list[str], name: str) -> None:
    assert "sympile.compiler.pipeline" in imported
    assert [module for module in imported if (module + ".").startswith(name)] == []


def test_what_waited_comes() -> None:
    """The prefixes above are names of modules that there are."""
    script = """
import numpy as np, sympile as sm, hashlib
a, x, y = sympy.symbols("a x y")
model = sm.compile((a * x - y) ** 2, [a])
model.fit({x: np.ones(4), y: np.ones(4)}, epochs=200, verbose=True)
str(model.gradient[a]), model.stages["formula"], model._repr_latex_()
try: model.forward({"b": 1})
except sm.SympileError: pass
"""
    found = loaded(script)
    late = {name for name in LATER if not any((module + ".").startswith(name) for module in found)}
    assert late <= {"scipy.special", "sympy.tensor.array.expressions"}


def test_a_fit_in_batches_waits_for_no_small_steps() -> None:
    script = """
import numpy as np, sympile as sm
a, x, y = sympy.symbols("a x y")
sm.compile((a * x - y) ** 2, [a]).fit({x: np.ones(4), y: np.ones(4)}, epochs=2, batch_size=2, verbose=False)
"""
    found = loaded(script)
    assert "sympile.compiler.training" in found
    assert not {"sympile.compiler.small_steps", "sympile.compiler.passes.training.resident"} & set(found)
