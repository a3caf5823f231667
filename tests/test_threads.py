"""Threads: the same bits for any number of them, right results at awkward sizes, forks, several fits at once, a clean end."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler.code.jit import compile_text
from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.passes import assemble
from sympile.compiler.passes.emitting import hand_out as emitted
from sympile.compiler.passes.scheduling import regions
from sympile.compiler.program import POOL, POOL_SYMBOL
from sympile.runtime import pool, pool_memory

a, b, x, y = sp.symbols("a b x y")
THREADS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    pool.stop()


def regions_so_far() -> int:
    """How many regions the pool has shared out."""
    return int(pool_memory.WORDS[POOL["tag"] // 8]) >> 32


def with_threads(count: int, work: Callable[[], Any]) -> Any:
    pool.stop()
    pool.start(count)
    return work()


# ------------------------------------------------------------------------------------------------ what is computed


def dense(width: int, outputs: int) -> tuple[Any, dict[Any, Any]]:
    """A network with awkward widths, and its start."""
    u, t = sp.MatrixSymbol("u", width, 1), sp.MatrixSymbol("t", outputs, 1)
    W, V, c = sp.MatrixSymbol("W", 67, width), sp.MatrixSymbol("V", outputs, 67), sp.MatrixSymbol("c", outputs, 1)
    rng = np.random.default_rng(0)
    start = {W: rng.normal(size=W.shape) / 8, V: rng.normal(size=V.shape) / 8, c: np.zeros(c.shape)}
    return sm.compile(sm.cross_entropy(V * sm.tanh(W * u) + c, t), parameters=[W, V, c]), start


def fitted_network(examples: int, epochs: int, batch: int | None) -> bytes:
    model, start = dense(53, 11)
    rng = np.random.default_rng(1)
    data = {"u": rng.normal(size=(examples, 53)), "t": np.eye(11)[rng.integers(0, 11, examples)]}
    result = model.fit(data, epochs=epochs, batch_size=batch, start=start, seed=3, verbose=False)
    return b"".join(np.asarray(v).tobytes() for v in result.parameters.values())


def fitted_curve(examples: int, epochs: int) -> bytes:
    xs = np.linspace(0, 1, examples)
    data = {x: xs, y: 2 * np.exp(-3 * xs) + 0.1}
    model = sm.compile((a * sp.exp(-b * x) - y) ** 2, parameters=[a, b])
    result = model.fit(data, epochs=epochs, start={a: 1.0, b: 1.0}, verbose=False)
    return b"".join(np.asarray(v).tobytes() for v in result.parameters.values())


def elementwise(examples: int) -> bytes:
    xs = np.linspace(0, 3, examples)
    return np.asarray(sm.lambdify([x], sp.sin(x) * sp.exp(-x) + sp.tanh(x))(xs)).tobytes()


WORK = [
    pytest.param(lambda: elementwise(200_003), id="elementwise"),
    pytest.param(lambda: fitted_curve(200_003, 2), id="sums of examples, and a small program"),
    pytest.param(lambda: fitted_network(4001, 2, 1499), id="a network in gathered batches"),
    pytest.param(lambda: fitted_network(4001, 2, None), id="a network, all examples at once"),
]


@pytest.mark.parametrize("work", WORK)
def test_same_bits_for_any_number_of_threads(work: Callable[[], bytes]) -> None:
    expected = with_threads(1, work)
    for count in THREADS[1:]:
        before = regions_so_far()
        assert with_threads(count, work) == expected, f"{count} threads"
        assert regions_so_far() > before, "nothing was shared: this test says nothing"


# ------------------------------------------------------------------------------------------------ right results

i = sp.Symbol("i", integer=True)


@pytest.fixture
def everything_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks as small as their grain, for any work at all."""
    for module in (regions, emitted, assemble):
        monkeypatch.setattr(module, "WORTH", 1)
    monkeypatch.setattr(emitted, "CHUNK", 1)


SIZES = (1, 2, 3, 7, 8, 9, 31, 64, 65, 129, 1009)


def bound(examples: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(examples)
    return {
        "u": rng.normal(size=(examples, 53)),
        "t": np.eye(11)[rng.integers(0, 11, examples)],
        "W": rng.normal(size=(67, 53)) / 8,
        "V": rng.normal(size=(11, 67)) / 8,
        "c": rng.normal(size=(11, 1)),
    }


def network_by_hand(v: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    h = np.tanh(v["u"] @ v["W"].T)
    z = h @ v["V"].T + v["c"][:, 0]
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(np.take_along_axis(p, v["t"].argmax(1)[:, None], 1)).mean()
    dz = (p - v["t"]) / len(z)
    dh = dz @ v["V"] * (1 - h * h)
    return float(loss), {"W": dh.T @ v["u"], "V": dz.T @ h, "c": dz.sum(0)[:, None]}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_network_at_awkward_sizes(everything_is_split: None, dtype: str, threads: int) -> None:
    u, t = sp.MatrixSymbol("u", 53, 1), sp.MatrixSymbol("t", 11, 1)
    W, V, c = sp.MatrixSymbol("W", 67, 53), sp.MatrixSymbol("V", 11, 67), sp.MatrixSymbol("c", 11, 1)
    model = sm.compile(sm.cross_entropy(V * sm.tanh(W * u) + c, t), parameters=[W, V, c], dtype=dtype)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    pool.stop()
    pool.start(threads)
    for examples in SIZES:
        values = bound(examples)
        loss, gradients = model.value_and_grad(values)
        expected, by_hand = network_by_hand(values)
        assert float(loss) == pytest.approx(expected, rel=tolerance), examples
        for name, gradient in by_hand.items():
            np.testing.assert_allclose(gradients[name], gradient, rtol=0, atol=tolerance * abs(gradient).max())


@pytest.mark.parametrize("threads", [1, 3])
def test_sums_and_maxima_at_awkward_sizes(everything_is_split: None, threads: int) -> None:
    n = sp.Symbol("n", integer=True, positive=True)
    v = sp.IndexedBase("v", shape=(n,))
    f = sm.lambdify([v], [sp.Sum(sp.sin(v[i]), (i, 0, n - 1)), sp.Sum(v[i] ** 2, (i, 0, n - 1)), sp.Product(v[i], (i, 0, n - 1))])
    pool.stop()
    pool.start(threads)
    for size in SIZES:
        values = 1 + 0.01 * np.random.default_rng(size).normal(size=size)
        expected = (np.sin(values).sum(), (values**2).sum(), np.prod(values))
        np.testing.assert_allclose(np.array(f(values), float), expected, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ the pool itself

COUNTING = """
@sympile_pool = external global ptr
define void @part(ptr %table, ptr %extra, i64 %first, i64 %last, i64 %number) {
entry:
  br label %turn
turn:
  %k = phi i64 [%first, %entry], [%k.next, %turn]
  %at = getelementptr i64, ptr %table, i64 %k
  %old = load i64, ptr %at
  %new = add i64 %old, 1
  store i64 %new, ptr %at
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %last
  br i1 %more, label %turn, label %done
done:
  ret void
}
define void @regions(ptr %table, i64 %length, i64 %size, i64 %turns) {
entry:
  br label %turn
turn:
  %k = phi i64 [0, %entry], [%k.next, %turn]
  %region = load ptr, ptr @sympile_pool
  call void %region(ptr @part, ptr %table, ptr null, i64 %length, i64 %size)
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %turns
  br i1 %more, label %turn, label %done
done:
  ret void
}
"""
_LOADED = compile_text(COUNTING, ["regions"], imports={POOL_SYMBOL: pool_memory.pool_address()})
run_regions = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 3)(_LOADED.address("regions"))


def counted(length: int, size: int, turns: int) -> np.ndarray:
    counts = np.zeros(length, np.int64)
    run_regions(counts.ctypes.data, length, size, turns)
    return counts


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(("length", "size"), [(1, 1), (2, 1), (7, 8), (8, 8), (9, 8), (97, 5), (1009, 64)])
def test_every_element_belongs_to_one_chunk(length: int, size: int, threads: int) -> None:
    pool.stop()
    pool.start(threads)
    assert (counted(length, size, 50) == 50).all()


def test_the_first_region_starts_the_workers() -> None:
    pool.stop()
    assert (counted(20, 3, 1) == 1).all()
    assert len(pool._pool.workers) == pool_memory.wanted_threads() - 1


def test_several_threads_share_the_pool() -> None:
    """Whose region it is not runs its chunks itself; nobody waits for ever, no chunk is lost."""
    pool.stop()
    pool.start(3)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(counted(61, 4, 20_000))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3 and all((counts == 20_000).all() for counts in results)


def test_stopped_in_the_middle() -> None:
    """Workers may go while regions run: the caller does the rest."""
    pool.stop()
    pool.start(2)
    results: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: results.append(counted(61, 4, 200_000)))
    thread.start()
    for _ in range(5):
        pool.stop()
        pool.start(2)
    thread.join(60)
    assert (results[0] == 200_000).all()


def test_two_fits_at_once() -> None:
    expected = fitted_network(4001, 2, 1499)
    pool.stop()
    pool.start(2)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fitted_network(4001, 2, 1499))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [expected, expected]


FIRST_FITS = """
import threading, sympy as sp, sympile as sm
x, y, a = sp.symbols("x y a")
model = sm.compile((a*x - y)**2, a)
ready, fitted = threading.Barrier(8), []
def fit():
    ready.wait()
    fitted.append(float(model.fit({x: [1, 2], y: [3, 6]}, epochs=3, start={a: 1}).parameters[a]))
threads = [threading.Thread(target=fit) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
print(len(fitted), len(set(fitted)))
"""


def test_first_fits_of_a_process_at_once() -> None:
    """What a fit needs is loaded by one of them, and the others wait until it is whole."""
    done = subprocess.run([sys.executable, "-c", FIRST_FITS], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["8", "1"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: forking where there are threads
def test_a_forked_child_starts_its_own_workers() -> None:
    pool.stop()
    pool.start(3)
    expected = elementwise(200_003)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        same = elementwise(200_003) == expected and (counted(97, 5, 100) == 100).all()
        os.write(writing, b"%d %d" % (same, len(pool._pool.workers)))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() == f"1 {pool_memory.wanted_threads() - 1}"
    assert elementwise(200_003) == expected


# ------------------------------------------------------------------------------------------------ the environment

SCRIPT = """
import hashlib, numpy as np, sympy as sp, sympile as sm
from sympile.runtime import pool
x = sp.Symbol("x")
values = np.asarray(sm.lambdify([x], sp.sin(x) * sp.exp(-x))(np.linspace(0, 3, 200_003)))
print(len(pool._pool.workers), hashlib.sha256(values.tobytes()).hexdigest())
"""


def script(threads: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYMPILE_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=100)


def test_the_environment_says_how_many_and_the_interpreter_ends() -> None:
    one, three = script("1"), script("3")
    assert (one.returncode, one.stderr, three.returncode, three.stderr) == (0, "", 0, "")
    assert [one.stdout.split()[0], three.stdout.split()[0]] == ["0", "2"]
    assert one.stdout.split()[1] == three.stdout.split()[1]


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_no_number_of_threads(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMPILE_NUM_THREADS", given)
    with pytest.raises(EnvironmentProblem, match=f"SYMPILE_NUM_THREADS is '{given}'; set it to a whole number"):
        pool_memory.wanted_threads()


def test_small_work_is_not_shared() -> None:
    pool.stop()
    pool.start(2)
    before = regions_so_far()
    fitted_curve(100, 50)
    fitted_network(64, 2, 8)
    assert regions_so_far() == before
