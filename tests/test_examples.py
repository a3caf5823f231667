"""Every lesson runs in a fresh interpreter, asserts its own results, and prints what it is about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "examples").glob("*.py"))

PICTURES = {"05_rosenbrock": ["rosenbrock.png"], "06_activations": ["activations.png"]}


def readme_gradient() -> str:
    """The gradient of the network's first matrix, as README shows it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return next(block for block in readme.split("```text\n") if block.startswith("dloss/dW1")).split("```")[0].strip()


PRINTED = {
    "01_line": ["d loss / d a = 2*x*(a*x + b - y)", "largest relative error"],
    "02_curve_fit": ["1 - exp(-x*k) → -expm1(-x*k)", "a = 238.942129"],
    "03_logistic_matrices": ["softplus(", "loss of a wildly wrong score of 30000: 30000.0"],
    "04_logistic_indices": ["Sum(w[j]*x[j], (j, 0, 29))", "one core: True", "bit for bit"],
    "05_rosenbrock": ["400*x*(x**2 - y) + 2*x - 2", "2508 times"],
    "06_activations": ["1 - tanh(x)**2"],
    "07_mlp_digits": ["Model(parameters: W1[32×64]", readme_gradient(), "epoch 30/30", "test accuracy: 0.9"],
    "08_chain_rule": ["  dz = ds*s*(1 - s)", "theta1 = 1.5046, theta2 = -4.0777"],
    "09_computation_graph": ["v8  = v6 + v7", "dv1 = 2*dv4*v1", "d f / d y = x**2*cos(x**2*y)"],
    "10_own_optimizer": ["m = gradient + m*mu", "Lion"],
    "11_softmax_iris": ["dloss/dW = dz*x.T + penalty*W", "scikit-learn's coefficients"],
}


def test_every_lesson_is_here() -> None:
    assert [lesson.stem for lesson in LESSONS] == list(PRINTED)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_lesson(lesson: Path, tmp_path: Path) -> None:
    printed = run(lesson, tmp_path)
    missing = [text for text in PRINTED[lesson.stem] if text not in printed]
    assert not missing, f"{missing} is missing in\n{printed}"
    pictures = list((tmp_path / "temporary").rglob("*.png"))
    assert [picture.name for picture in pictures] == PICTURES.get(lesson.stem, [])
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert not list((tmp_path / "here").iterdir()), "a lesson leaves nothing where it is run"


def test_lessons_go_on_without_matplotlib(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "matplotlib.py").write_text("raise ImportError('hidden by a test')\n")
    assert "no picture: matplotlib is missing" in run(ROOT / "examples" / "06_activations.py", tmp_path, hidden)


def run(program: Path, folder: Path, *search: Path) -> str:
    """What a program prints, run from an empty folder with a temporary folder of its own."""
    here, temporary = folder / "here", folder / "temporary"
    here.mkdir()
    temporary.mkdir()
    path = os.pathsep.join(map(str, [*search, ROOT / "src"]))
    environment = os.environ | {
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
        "MPLBACKEND": "Agg",
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
    }
    done = subprocess.run(
        [sys.executable, str(program)], cwd=here, env=environment, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
