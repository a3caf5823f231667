"""Programs and machine code from disk: the same bits as without the cache."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from kept_programs import CODE, P, Q, S, W, a, as_a_new_process, b, d, q, rows, t, targets, v, x, xs, y, ys

import sympile as sm
from sympile.compiler import pipeline
from sympile.runtime import load as loading
from sympile.runtime.model import shelf


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, as a new process would find it."""
    monkeypatch.setenv("SYMPILE_CACHE", "1")
    monkeypatch.setenv("SYMPILE_CACHE_DIR", str(tmp_path / "cache"))
    as_a_new_process()
    return tmp_path / "cache"


@pytest.fixture
def work_done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every program that is built and every code that is generated from now on."""
    done: list[str] = []
    assemble, emit = pipeline.assemble, loading.emit_object
    monkeypatch.setattr(pipeline, "assemble", lambda *args, **form: done.append("build") or assemble(*args, **form))
    monkeypatch.setattr(loading, "emit_object", lambda *args: done.append("emit") or emit(*args))
    return done


# ------------------------------------------------------------------------------------------------ the same bits


def a_line() -> list[Any]:
    model = sm.compile((a * x + b - y) ** 2, [a, b], prediction=a * x + b)
    result = model.fit({x: xs, y: ys}, epochs=5, batch_size=4)
    return [*result.parameters.values(), result.predict({x: xs})]


def a_network() -> list[Any]:
    z = sm.named("z", W * sm.tanh(v) + d)
    model = sm.compile(
        sm.cross_entropy(z, t), [W, d], prediction=sm.softmax(z), metrics={"first": z[0]}, dtype="float32"
    )
    clipped = sm.adam(0.01 * sp.exp(-sm.epoch), clip_by_global_norm=0.5)
    result = model.fit({v: rows, t: targets}, epochs=3, batch_size=8, optimizer=clipped)
    return [*result.parameters.values(), *result.history["first"], result.predict({v: rows})]


def a_solution() -> list[Any]:
    """Calls of LAPACK, which the code imports."""
    model = sm.compile(sm.dot(q, S.inv() * q) + sp.log(sp.Determinant(S)), [S])
    loss, gradients = model.value_and_grad({S: np.diag([1.0, 2, 3]) + 0.1, q: np.ones((1, 3, 1))})
    return [loss, gradients[S]]


def any_size() -> list[Any]:
    model = sm.compile(sm.dot(P, Q) ** 2, [P])
    return [model.backward({P: np.ones((k, 1)), Q: np.full((2, k, 1), 0.5)})[P] for k in (3, 5)]


def a_function() -> list[Any]:
    f = sm.lambdify([x, a], [sp.sin(x) / a, sp.erf(x + 3)])
    return [*f(xs, 2.0), *f(0.5, xs)]


def an_inner_product() -> list[Any]:
    return [sm.lambdify([P, Q], P.T * Q)(np.arange(4.0)[:, None], np.ones((4, 1)))]


USES = [a_line, a_network, a_solution, any_size, a_function, an_inner_product]


def bits(arrays: list[Any]) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_the_same_bits(
    cache: Path, work_done: list[str], monkeypatch: pytest.MonkeyPatch, use: Callable[[], list[Any]]
) -> None:
    first = bits(use())
    assert {"build", "emit"} == set(work_done)
    work_done.clear()
    as_a_new_process()
    assert bits(use()) == first
    assert work_done == []
    monkeypatch.setenv("SYMPILE_CACHE", "0")
    as_a_new_process()
    assert bits(use()) == first
    assert work_done


def test_off_is_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMPILE_CACHE", "0")
    a_line()
    assert not cache.exists()


def test_where_nothing_is_kept_nothing_is_described(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    real = pipeline.description
    monkeypatch.setattr(pipeline, "description", lambda *all_of_it: told.append(all_of_it) or real(*all_of_it))
    a_function()
    assert told
    told.clear()
    monkeypatch.setenv("SYMPILE_CACHE", "0")
    a_function()
    assert not told


def test_the_form_for_heavy_sizes_is_written_when_they_come(cache: Path, work_done: list[str]) -> None:
    many = np.linspace(-1, 1, 300_001)
    f = sm.lambdify([x], sp.sin(x) * sp.exp(x))
    np.testing.assert_allclose(f(xs), np.sin(xs) * np.exp(xs), rtol=1e-14)
    assert work_done.count("emit") == 1
    work_done.clear()
    first = f(many)
    np.testing.assert_allclose(first, np.sin(many) * np.exp(many), rtol=1e-14)
    f(many[1:])
    assert work_done.count("build") == 1  # the pool's code comes beside it
    work_done.clear()
    as_a_new_process()
    assert bits([sm.lambdify([x], sp.sin(x) * sp.exp(x))(many)]) == bits([first])
    assert work_done == []


# fmt: off
TROUBLE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "garbage":   lambda path: path.write_bytes(b"no program at all" * 50),
    "empty":     lambda path: path.write_bytes(b""),
    "gone":      lambda path: path.unlink(),
}
# fmt: on


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_damaged_files_are_made_anew(cache: Path, trouble: Callable[[Path], object]) -> None:
    first, content = bits(a_line()), {path: path.read_bytes() for path in cache.iterdir()}
    for path in content:
        trouble(path)
    as_a_new_process()
    assert bits(a_line()) == first
    assert {path: len(path.read_bytes()) for path in cache.iterdir()} == {p: len(raw) for p, raw in content.items()}


def test_content_that_is_no_code(cache: Path, work_done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the checksum is right."""
    first = bits(a_function())
    monkeypatch.setattr(loading, "recall", lambda key: b"no object")
    monkeypatch.setattr(shelf, "recall", lambda key: b'{"Array":[]}')
    work_done.clear()
    as_a_new_process()
    assert bits(a_function()) == first
    assert set(work_done) == {"build", "emit"}


ANOTHER_PROCESS = """
import numpy as np, sympy as sp, sympile as sm
from sympile.runtime import load, pool
from sympile.compiler import pipeline
def refuse(*_): raise AssertionError("made again")
if {again}: load.emit_object = pipeline.assemble = refuse
x, y = sp.symbols("x y")
if {again}: sm.lambdify([y], y**3)  if False else sm.compile((x - y)**2, [x])   # labels count from elsewhere
V, t = sp.MatrixSymbol("V", 3, 5), sp.MatrixSymbol("t", 5, 1)
model = sm.compile(sm.cross_entropy(V*sm.tanh(t), sp.MatrixSymbol("u", 3, 1)), [V])
print(model.backward({{"V": np.ones((3, 5)), "t": np.ones((2, 5, 1)), "u": np.eye(3)[:2, :, None]}})[V].tobytes().hex())
values = sm.lambdify([x], sp.sin(x)*sp.exp(-x))(np.linspace(0, 3, 200_003))   # in parts
pool.start(2)
print(np.asarray(values).sum().hex(), len(pool._pool.workers))
"""


def test_another_process_finds_it(cache: Path) -> None:
    """Whatever the seed of Python's hashes, and whatever was compiled before; the threads' code too."""
    source = Path(shelf.__file__).resolve().parent.parent.parent / "src"
    printed = []
    for again, seed in ((False, "1"), (True, "2")):
        environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": seed, "SYMPILE_NUM_THREADS": "2"}
        script = ANOTHER_PROCESS.format(again=again)
        ran = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        printed.append(ran.stdout)
    assert printed[0] == printed[1] and printed[0].endswith(" 1\n")


def test_code_that_was_set_aside(cache: Path) -> None:
    """Its machine code, or its text, or nothing is found."""
    aside = loading.set_aside(CODE)
    assert loading.taken_up(aside) == dataclasses.replace(CODE, digest=aside.digest)
    loading.load(CODE)
    as_a_new_process()
    assert loading.taken_up(aside) == aside
    for path in cache.iterdir():
        path.unlink()
    as_a_new_process()
    assert loading.taken_up(aside) is None


def test_what_is_there_stays_when_the_folder_goes(cache: Path) -> None:
    first = bits(a_function())
    as_a_new_process()
    f = sm.lambdify([x, a], [sp.sin(x) / a, sp.erf(x + 3)])
    for path in cache.iterdir():
        path.unlink()
    as_a_new_process()
    assert bits([*f(xs, 2.0), *f(0.5, xs)]) == first


# ------------------------------------------------------------------------------------------------ looking inside


def test_the_stages_of_a_program_from_disk(cache: Path) -> None:
    loss = (a * x + sp.exp(b) - y) ** 2
    stages = ("graph", "loops", "llvm", "asm", "times")
    first = [sm.compile(loss, [a, b]).stages[stage] for stage in stages]
    model = sm.compile(loss, [a, b])
    model.forward({a: 1, b: 1, x: xs, y: ys})
    second = [model.stages[stage] for stage in stages]
    assert [len(s.splitlines()) for s in first] == [len(s.splitlines()) for s in second]


def test_who_wants_to_see_the_stages_sees_them(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sm.lambdify([x], x**3 + 1)
    monkeypatch.setenv("SYMPILE_SHOW", "emit")
    sm.lambdify([x], x**3 + 1)
    assert "--- emit" in capsys.readouterr().err
