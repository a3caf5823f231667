"""Programs and machine code from disk: the same bits as without the cache, and nothing where anything differs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

import sympile as sm
from sympile.compiler import pipeline, version
from sympile.compiler.code import jit
from sympile.compiler.code.target import host
from sympile.compiler.errors import InternalError
from sympile.compiler.graph.arithmetic import add, mul, power
from sympile.compiler.graph.definition import Definition, define, elementwise, input_tensor, read
from sympile.compiler.graph.fingerprint import fingerprint
from sympile.compiler.graph.node import Node, const, index, make, size
from sympile.compiler.passes.built import Built, description
from sympile.compiler.passes.reading.scope import Scope
from sympile.compiler.pipeline import Request, analyse, build
from sympile.compiler.program import Code
from sympile.runtime import load as loading
from sympile.runtime.model import course, shelf
from sympile.runtime.model.shelf import SHELF, program_key
from sympile.runtime.records import from_bytes, to_bytes

RNG = np.random.default_rng(5)
N = 23
xs, ys = RNG.normal(size=N), RNG.normal(size=N)
rows, targets = RNG.normal(size=(N, 6)), np.eye(4)[np.arange(N) % 4]

x, y, a, b, c = sp.symbols("x y a b c")
v, t = sp.MatrixSymbol("v", 6, 1), sp.MatrixSymbol("t", 4, 1)
W, d = sp.MatrixSymbol("W", 4, 6), sp.MatrixSymbol("d", 4, 1)
S, q = sp.MatrixSymbol("S", 3, 3), sp.MatrixSymbol("q", 3, 1)
n = sp.Symbol("n", integer=True, positive=True)
P, Q = sp.MatrixSymbol("P", n, 1), sp.MatrixSymbol("Q", n, 1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, as a new process would find it."""
    monkeypatch.setenv("SYMPILE_CACHE", "1")
    monkeypatch.setenv("SYMPILE_CACHE_DIR", str(tmp_path / "cache"))
    as_a_new_process()
    return tmp_path / "cache"


def as_a_new_process() -> None:
    """Forgets the machine code that this process holds."""
    for remembered in (loading._loaded, course._loop, course._update_of):
        remembered.cache_clear()


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


# ------------------------------------------------------------------------------------------------ what makes a key

CODE = Code("define void @run() { ret void }", "run")


def test_comments_do_not_count() -> None:
    text = "define void @run() {\n  ; t12[i] = x[i]\n; more\n  ret void\n}\n"
    bare = "define void @run() {\n  ret void\n}\n"
    assert loading.object_key(Code(text, "run")) == loading.object_key(Code(bare, "run"))


# fmt: off
MACHINES: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "another processor":       lambda p: p.setattr(jit, "_this_machine", lambda: dataclasses.replace(host(), cpu="other")),
    "fewer features":          lambda p: p.setattr(jit, "_this_machine", lambda: dataclasses.replace(host(), features="+sse2")),
    "another system":          lambda p: p.setattr(jit, "_this_machine", lambda: dataclasses.replace(host(), triple="x86_64-pc-win32")),
    "another LLVM":            lambda p: p.setattr(jit.llvm, "llvm_version_info", (99, 0, 0)),
    "another llvmlite":        lambda p: p.setattr(jit.llvmlite, "__version__", "9.9"),
    "another sympile":         lambda p: p.setattr(loading, "VERSION", "9.9"),
}
# fmt: on


@pytest.mark.parametrize("change", MACHINES.values(), ids=MACHINES)
def test_code_of_another_machine_is_not_taken(
    change: Callable[[pytest.MonkeyPatch], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = loading.object_key(CODE)
    jit.surroundings.cache_clear()
    change(monkeypatch)
    try:
        assert loading.object_key(CODE) != mine
    finally:
        monkeypatch.undo()
        jit.surroundings.cache_clear()
    assert loading.object_key(CODE) == mine


def test_text_and_level_count() -> None:
    codes = [CODE, dataclasses.replace(CODE, level=0), dataclasses.replace(CODE, text=CODE.text + "\n")]
    assert len({loading.object_key(code) for code in codes}) == 3
    aside = [loading.set_aside(code) for code in codes]
    assert [loading.object_key(code) for code in aside] == [loading.object_key(code) for code in codes]
    assert {code.text for code in aside} == {""}


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


@dataclass(frozen=True)
class Recipe:
    """What a program is made from."""

    expression: Any = x**2 + a
    dtype: str = "float64"
    batched: bool = True
    constants: Any = ()
    labels: tuple[str, ...] = ("f",)
    backwards: bool = False
    sizes: Any = ()
    math: str = "accurate"

    def build(self) -> Built:
        scope = Scope(batched=self.batched, constants=dict.fromkeys(self.constants), pinned=dict(self.sizes))
        work = analyse(Request({label: self.expression for label in self.labels}, scope, shelf=SHELF, math=self.math))
        inputs = [s.tensor for s in work.scope.symbols.values()]
        return build(work, work.outputs, inputs[::-1] if self.backwards else inputs, self.dtype)

    def key(self) -> bytes:
        return program_key(self.build()._describe())


# fmt: off
PROGRAMS: dict[str, Recipe] = {
    "itself":               Recipe(),
    "another number":       Recipe(x**3 + a),
    "another name":         Recipe(x**2 + b),
    "another function":     Recipe(sp.exp(x) + a),
    "another dtype":        Recipe(dtype="float32"),
    "no examples":          Recipe(batched=False),
    "another role":         Recipe(constants=("a",)),
    "a vector":             Recipe(q.T * q),
    "a vector of any size": Recipe(P.T * P),
    "of a given size":      Recipe(P.T * P, sizes=(("n", 4),)),
    "another label":        Recipe(labels=("g",)),
    "two labels":           Recipe(labels=("f", "g")),
    "another tier":         Recipe(math="fast"),
    "another order":        Recipe(backwards=True),
    "what sizes must be":   Recipe(P[n - 3, 0]),
}
# fmt: on


def test_different_programs_have_different_keys() -> None:
    keys = {name: recipe.key() for name, recipe in PROGRAMS.items()}
    assert len(set(keys.values())) == len(keys)
    assert keys == {name: recipe.key() for name, recipe in PROGRAMS.items()}


@pytest.mark.parametrize("what", ["VERSION", "sys.version", "np.__version__", "mpmath.__version__", "_sources"])
def test_programs_of_another_compiler_are_not_taken(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Recipe().key()
    shelf._makers.cache_clear()
    other: Any = (lambda: iter(["emit.py 1 2"])) if what == "_sources" else "9.9"
    monkeypatch.setattr(f"sympile.runtime.model.shelf.{what}", other)
    try:
        assert Recipe().key() != mine
    finally:
        monkeypatch.undo()
        shelf._makers.cache_clear()
    assert Recipe().key() == mine


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(host())])
def test_programs_for_another_machine_are_not_taken(field: str) -> None:
    other = dataclasses.replace(host(), **{field: "other"})
    keys = {description({"f": A}, [A], (), "float64", target, "accurate") for target in (other, host())}
    assert len(keys) == 2


def test_a_changed_compiler_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passes").mkdir()
    for name in ("pipeline.py", "passes/emit.py", "passes/notes.txt"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(shelf.compiler, "__path__", [str(tmp_path)])
    seen = [tuple(shelf._sources())]
    assert len(seen[0]) == 2
    (tmp_path / "passes" / "emit.py").write_text("10")
    seen.append(tuple(shelf._sources()))
    os.utime(tmp_path / "pipeline.py", (1, 1))
    seen.append(tuple(shelf._sources()))
    (tmp_path / "passes" / "emit.py").rename(tmp_path / "passes" / "omit.py")
    seen.append(tuple(shelf._sources()))
    assert len(set(seen)) == 4
    (tmp_path / "passes" / "notes.txt").write_text("22")
    assert tuple(shelf._sources()) == seen[-1]


# ------------------------------------------------------------------------------------------------ fingerprints

i, j = index(const(3), "i"), index(const(3), "j")
A, B, C = input_tensor("A", [const(3)]), input_tensor("B", [const(3)]), input_tensor("C", [const(3), const(3)])


def single(body: Node) -> list[Definition]:
    return [elementwise((i,), body)]


# fmt: off
DIFFERENT: dict[str, list[Definition]] = {
    "A":                      [A],
    "B":                      [B],
    "A and B":                [A, B],
    "B and A":                [B, A],
    "a parameter":            [input_tensor("A", [const(3)], "parameter")],
    "of integers":            [input_tensor("A", [const(3)], "data", True)],
    "longer":                 [input_tensor("A", [const(4)])],
    "of any size":            [input_tensor("A", [size("3")])],
    "a name like a number":   [input_tensor("3", [const(3)])],
    "sum":                    single(add(read(A, i), read(B, i))),
    "product":                single(mul(read(A, i), read(B, i))),
    "with a half":            single(mul(const(Fraction(1, 2)), read(A, i))),
    "with two":               single(mul(const(2), read(A, i))),
    "square":                 single(power(read(A, i), 2)),
    "root":                   single(power(read(A, i), Fraction(1, 2))),
    "diagonal":               single(read(C, i, i)),
    "transposed":             [elementwise((i, j), read(C, j, i))],
    "sum over columns":       [define((i,), (j,), "sum", read(C, i, j))],
    "sum over rows":          [define((i,), (j,), "sum", read(C, j, i))],
    "largest of columns":     [define((i,), (j,), "max", read(C, i, j))],
    "pi":                     single(mul(make("constant", data="pi"), read(A, i))),
    "e":                      single(mul(make("constant", data="E"), read(A, i))),
}
# fmt: on


def test_different_formulas_have_different_fingerprints() -> None:
    texts = {name: fingerprint(tensors) for name, tensors in DIFFERENT.items()}
    assert len(set(texts.values())) == len(texts)


def test_labels_do_not_count() -> None:
    """What a process has made before numbers its definitions."""

    def formula() -> Definition:
        inner = define((i,), (j,), "sum", mul(read(C, i, j), read(B, j)))
        return elementwise((i,), power(read(inner, i), 5))

    first, label = fingerprint([formula()]), formula().name
    for k in range(5):
        elementwise((i,), add(read(A, i), const(k + 100)))
    assert formula().name != label
    assert fingerprint([formula()]) == first


def test_unknown_data_is_refused() -> None:
    with pytest.raises(InternalError, match="a node holds a _Strange"):
        fingerprint([], [make("const", data=_Strange())])


class _Strange(bytearray):
    __hash__ = object.__hash__  # type: ignore[assignment]
    key = 1


# ------------------------------------------------------------------------------------------------ records


@pytest.mark.parametrize("recipe", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_comes_back(recipe: Recipe) -> None:
    program = recipe.build().program
    again = from_bytes(to_bytes(program))
    assert again == program
    assert hash(again.code) == hash(program.code)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"1",
        b"{}",
        b'{"Program":[]}',
        b'{"Array":["a",1,[],false]}',
        b'{"os":["rm"]}',
        b'{"a":1,"b":2}',
    ],
)
def test_what_is_no_program(raw: bytes) -> None:
    with pytest.raises(ValueError):
        from_bytes(raw)


def test_only_plain_data_are_written() -> None:
    program = Recipe().build().program
    with pytest.raises(TypeError, match="a program holds a Symbol"):
        to_bytes(dataclasses.replace(program, dtype=x))


def test_the_version_is_that_of_the_package() -> None:
    text = (Path(version.__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{version.VERSION}"\n' in text
    assert sm.__version__ == version.VERSION
