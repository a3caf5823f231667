"""The architecture, enforced: imports go down a written list, in no circle; files and functions stay small."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LIMIT = 400
FUNCTION_LIMIT = 60
FUNCTION_WARNING = 40

# Top to bottom. A module belongs to the longest prefix; it may import its own part and the layers below, but no
# neighbour in its layer. "=" marks a name that stands for itself only, not for what lies under it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("=sympile",),
    ("sympile.runtime.model",),
    ("sympile.runtime",),
    ("sympile.compiler.training", "sympile.compiler.small_steps"),
    ("sympile.compiler.pipeline",),
    ("sympile.compiler.show",),
    ("sympile.compiler.passes",),
    ("sympile.compiler.rules",),
    ("sympile.compiler.graph", "sympile.compiler.code", "sympile.compiler.language"),
    ("sympile.compiler.program",),
    ("sympile.compiler.errors", "sympile.compiler.locks", "sympile.compiler.version", "sympile.compiler.collection",
     "sympile.compiler.records", "sympile.compiler.digest"),
    ("=sympile.compiler",),
)

# Parts that may reach less than the layers below them: part -> all that it may import.
NARROW: dict[str, tuple[str, ...]] = {
    "sympile.runtime": ("sympile.compiler.program", "sympile.compiler.errors", "sympile.compiler.version",
                        "sympile.compiler.records", "sympile.compiler.digest"),
}

# (importing module, imported part): why this one import against the list is right.
GRANTED: dict[tuple[str, str], str] = {
    ("sympile.runtime.optimizers", "sympile.compiler.language"): "update rules are written in sm.gradient and sm.step",
    ("sympile.runtime.load", "sympile.compiler.code"): "the target machine, and linking, are known there already",
    ("sympile.runtime.pool", "sympile.compiler.code"): "the pool's code is made when a running program asks for it",
}

# Folders beside the package: their files and functions stay as small; what they import is their own affair.
BESIDE = ("tests", "benchmarks", "tools", "examples")

# Path in the repository -> why it may be longer than the limit.
LONG_FILES: dict[str, str] = {}


# ------------------------------------------------------------------------------------------------- reading a tree


@dataclass(frozen=True, slots=True)
class Import:
    """One module named by an import statement."""

    target: str
    line: int
    in_function: bool
    optional: bool
    for_types: bool    # under `if TYPE_CHECKING`: it never runs, so it closes no circle, but its direction counts


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the package."""

    name: str
    path: str
    lines: int
    imports: tuple[Import, ...]
    functions: tuple[tuple[str, int], ...]
    complaints: tuple[str, ...]


def read_tree(root: Path) -> dict[str, Module]:
    """All modules of the package whose repository is `root`, by name."""
    files = {}
    for folder in ("compiler", "runtime"):
        for path in sorted((root / folder).rglob("*.py")):
            files[module_name(path.relative_to(root))] = path
    face = root / "src" / "sympile" / "__init__.py"
    if face.exists():
        files["sympile"] = face
    return {name: read_module(name, path, root, set(files)) for name, path in files.items()}


def read_beside(root: Path) -> list[Module]:
    """All files beside the package, of which the sizes are judged."""
    paths = [path for folder in BESIDE for path in sorted((root / folder).rglob("*.py"))]
    return [read_module(path.stem, path, root, set()) for path in paths]


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(("sympile", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def read_module(name: str, path: Path, root: Path, known: set[str]) -> Module:
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    inner, for_types = inside(functions(tree)), inside(type_checking_blocks(tree))
    imports, complaints = [], []
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt | ast.expr):
            continue
        where = f"{path.relative_to(root).as_posix()}:{node.lineno}"
        optional = "# optional" in lines[node.lineno - 1]
        if isinstance(node, ast.ImportFrom) and node.level:
            complaints.append(f"{where}: a relative import; write it from `sympile` on")
        if hides_import(node) and not optional:
            complaints.append(f"{where}: an import that no reader of imports sees; write an import statement")
        for target in targets(node, known):
            imports.append(Import(target, node.lineno, node in inner, optional, node in for_types))
    sizes = tuple((function.name, body_lines(function)) for function in functions(tree))
    return Module(name, path.relative_to(root).as_posix(), len(lines), tuple(imports), sizes, tuple(complaints))


def targets(node: ast.AST, known: set[str]) -> Iterator[str]:
    """The modules that one statement imports; `from package import module` names the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        whole = {f"{node.module}.{alias.name}" for alias in node.names}
        yield from sorted({name if name in known else node.module for name in whole})


def hides_import(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in ("import_module", "__import__")


def inside(parents: Iterable[ast.stmt]) -> set[ast.AST]:
    return {node for parent in parents for node in ast.walk(parent) if node is not parent}


def type_checking_blocks(tree: ast.AST) -> list[ast.If]:
    ifs = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    return [node for node in ifs if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; a docstring costs nothing, since public ones are meant to be long."""
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    text = function.body[0]
    assert text.end_lineno is not None
    return whole - (text.end_lineno - text.lineno + 1)


# -------------------------------------------------------------------------------------------------------- judging


def part_of(module: str) -> str | None:
    """The entry of LAYERS that a module belongs to, or None."""
    entries = [entry for layer in LAYERS for entry in layer if covers(entry, module)]
    return max(entries, key=lambda entry: len(entry.lstrip("=")), default=None)


def covers(entry: str, module: str) -> bool:
    if entry.startswith("="):
        return module == entry[1:]
    return module == entry or module.startswith(entry + ".")


def depth(part: str) -> int:
    return next(level for level, layer in enumerate(LAYERS) if part in layer)


def allowed(importer: str, imported: str) -> bool:
    """Whether the list, or a grant, lets one module of ours import another."""
    above, below = part_of(importer), part_of(imported)
    if above is None or below is None:
        return False
    if any(importer == who and covers(what, imported) for who, what in GRANTED):
        return True
    if above == below:
        return True
    if above in NARROW:
        return any(covers(entry, imported) for entry in NARROW[above])
    return depth(above) < depth(below)


def complaints(root: Path) -> list[str]:
    """All that is wrong with a tree, one line each."""
    modules = read_tree(root)
    found = [line for module in modules.values() for line in judged(module)]
    found += [line for module in read_beside(root) for line in too_long(module)]
    return found + [f"import cycle: {' -> '.join(cycle)}" for cycle in cycles(modules)]


def too_long(module: Module) -> Iterator[str]:
    if module.lines > FILE_LIMIT and module.path not in LONG_FILES:
        yield f"{module.path}: {module.lines} lines, the limit is {FILE_LIMIT}"
    for name, size in module.functions:
        if size > FUNCTION_LIMIT:
            yield f"{module.path}: {name} has {size} lines, the limit is {FUNCTION_LIMIT}"


def judged(module: Module) -> Iterator[str]:
    yield from module.complaints
    yield from too_long(module)
    if part_of(module.name) is None:
        yield f"{module.path}: {module.name} stands in no layer; give it a line in LAYERS"
    for imported in module.imports:
        where = f"{module.path}:{imported.line}"
        if imported.in_function and not imported.optional:
            yield f"{where}: an import inside a function; mark an optional extra with `# optional`"
        if part_of(module.name) and is_ours(imported.target) and not allowed(module.name, imported.target):
            yield f"{where}: {module.name} may not import {imported.target}"


def is_ours(module: str) -> bool:
    return module == "sympile" or module.startswith("sympile.")


def cycles(modules: dict[str, Module]) -> list[list[str]]:
    """One cycle for each place where a walk along the imports comes back to a module it has not finished."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in dict.fromkeys(each.target for each in modules[name].imports if not each.for_types):
                if target in modules:
                    walk(target, [*path, name])
            done.add(name)

    for name in modules:
        walk(name, [])
    return found


# -------------------------------------------------------------------------------------------------------- the tests


def test_the_tree_keeps_the_layers() -> None:
    found = complaints(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_long_functions_are_listed() -> None:
    """A warning, not a failure: past 40 lines a function usually has two thoughts."""
    modules = [*read_tree(ROOT).values(), *read_beside(ROOT)]
    long = [f"{m.path}: {name} ({size})" for m in modules for name, size in m.functions if size > FUNCTION_WARNING]
    if long:
        warnings.warn(f"functions over {FUNCTION_WARNING} lines: " + ", ".join(sorted(long)), stacklevel=1)
    assert all(size <= FUNCTION_LIMIT for module in modules for _, size in module.functions)


def test_every_grant_names_a_module_of_the_list() -> None:
    """A grant outlives its reason easily; one that names nothing is dead, one that the list allows is noise."""
    for who, what in GRANTED:
        assert part_of(who) is not None and part_of(what) == what
        assert depth(part_of(who) or "") < depth(what), f"{who} -> {what} would be upward"
        assert part_of(who) in NARROW, f"{who} may import {what} by the list already"
    assert all((ROOT / path).exists() for path in LONG_FILES)


@pytest.mark.parametrize("folder", ["compiler", "runtime"])
def test_the_links_lead_to_the_folders(folder: str) -> None:
    link, target = ROOT / "src" / "sympile" / folder, f"../../{folder}"
    if not link.is_symlink() and link.is_file() and link.read_text().strip() == target:
        pytest.skip("git wrote links as text files here (core.symlinks is false)")
    if not link.exists() and not (ROOT / ".git").exists():
        pytest.skip("an unpacked source archive has no links")
    assert os.readlink(link) == target
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize("folder", ["compiler", "runtime"])
def test_the_bare_name_is_refused(folder: str) -> None:
    run = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert f"ImportError: import sympile.{folder}, not {folder}" in run.stderr


# -------------------------------------------------------------------------------------------- the judge, judged

GOOD = {
    "src/sympile/__init__.py": "from sympile.runtime.model import Model\n",
    "compiler/__init__.py": "",
    "compiler/errors.py": "class ShapeError(Exception): ...\n",
    "compiler/program.py": "from sympile.compiler.errors import ShapeError\n",
    "compiler/graph/__init__.py": "",
    "compiler/graph/node.py": "import math\nfrom sympile.compiler.errors import ShapeError\n",
    "compiler/graph/definition.py": "from sympile.compiler.graph import scope\n",
    "compiler/graph/scope.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sympile.compiler.graph import definition\n"
    ),
    "compiler/graph/show.py": "from sympile.compiler.graph import node\n",
    "compiler/code/__init__.py": "",
    "compiler/rules/machine.py": "from sympile.compiler.code import Lanes\n",
    "compiler/pipeline.py": "import sympile.compiler.rules.machine\n",
    "runtime/load.py": "from sympile.compiler.code.jit import Loaded\nfrom sympile.compiler.program import Slot\n",
    "runtime/model.py": "from sympile.compiler.pipeline import PASSES\nfrom sympile.runtime.load import load\n",
    "runtime/plots.py": "def draw():\n    import matplotlib  # optional\n",
    "tests/test_node.py": "def test_node():\n    import sympile.compiler.graph.node\n",
}


def complaints_about(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return complaints(root)


def test_the_judge_accepts_a_good_tree(tmp_path: Path) -> None:
    assert complaints_about(tmp_path, GOOD) == []


# fmt: off
BAD = [
    pytest.param("compiler/errors.py", "from sympile.compiler.program import Slot",
                 "compiler/errors.py:1: sympile.compiler.errors may not import sympile.compiler.program", id="upward"),
    pytest.param("compiler/graph/node.py", "from sympile.compiler.code import writer",
                 "sympile.compiler.graph.node may not import sympile.compiler.code", id="a neighbour in the layer"),
    pytest.param("compiler/rules/facts.py", "import sympile",
                 "sympile.compiler.rules.facts may not import sympile", id="the face, from below"),
    pytest.param("compiler/pipeline.py", "from sympile.runtime import load",
                 "sympile.compiler.pipeline may not import sympile.runtime.load", id="from package import module"),
    pytest.param("runtime/train.py", "from sympile.compiler.graph import node",
                 "sympile.runtime.train may not import sympile.compiler.graph.node", id="runtime into the compiler"),
    pytest.param("runtime/train.py", "from sympile.compiler.code import jit",
                 "sympile.runtime.train may not import sympile.compiler.code", id="another module's grant"),
    pytest.param("runtime/load.py", "from sympile.compiler.language import Tensor",
                 "sympile.runtime.load may not import sympile.compiler.language", id="a grant for another part"),
    pytest.param("runtime/load.py", "from sympile.runtime.model import Model",
                 "sympile.runtime.load may not import sympile.runtime.model", id="up into model"),
    pytest.param("runtime/load.py", "import sympile.compiler",
                 "sympile.runtime.load may not import sympile.compiler", id="the whole compiler"),
    pytest.param("compiler/graph/node.py", "def f():\n    from sympile.compiler.passes import read",
                 "sympile.compiler.graph.node may not import sympile.compiler.passes", id="upward, inside a function"),
    pytest.param("compiler/graph/node.py", "def f():\n    import json",
                 "compiler/graph/node.py:2: an import inside a function", id="inside a function"),
    pytest.param("compiler/graph/node.py", "class C:\n    def f(self):\n        if self:\n            import json",
                 "compiler/graph/node.py:4: an import inside a function", id="deep inside a method"),
    pytest.param("compiler/graph/node.py", "def f():\n    import sympile.runtime  # optional",
                 "may not import sympile.runtime", id="the mark excuses the place, not the direction"),
    pytest.param("compiler/graph/scope.py", "if TYPE_CHECKING:\n    import sympile.runtime",
                 "may not import sympile.runtime", id="upward, for types only"),
    pytest.param("compiler/graph/node.py", "from . import show",
                 "compiler/graph/node.py:1: a relative import", id="relative"),
    pytest.param("compiler/graph/node.py", "import importlib\nm = importlib.import_module('sympile.runtime')",
                 "compiler/graph/node.py:2: an import that no reader of imports sees", id="hidden"),
    pytest.param("compiler/graph/node.py", "from sympile.compiler.graph import show",
                 "import cycle: sympile.compiler.graph.node -> sympile.compiler.graph.show -> ", id="cycle of two"),
    pytest.param("compiler/graph/node.py", "def f():\n    from sympile.compiler.graph import show",
                 "import cycle: sympile.compiler.graph.node -> sympile.compiler.graph.show -> ", id="cycle, hidden"),
    pytest.param("compiler/graph/node.py", "from sympile.compiler.graph.node import x",
                 "import cycle: sympile.compiler.graph.node -> sympile.compiler.graph.node", id="a module and itself"),
    pytest.param("compiler/helpers.py", "",
                 "compiler/helpers.py: sympile.compiler.helpers stands in no layer", id="no layer"),
    pytest.param("compiler/graph/node.py", "x = 1\n" * 401,
                 "compiler/graph/node.py: 401 lines, the limit is 400", id="long file"),
    pytest.param("compiler/graph/node.py", "def f():\n" + "    x = 1\n" * 60,
                 "compiler/graph/node.py: f has 61 lines, the limit is 60", id="long function"),
    pytest.param("tests/test_node.py", "x = 1\n" * 401,
                 "tests/test_node.py: 401 lines, the limit is 400", id="long tests"),
    pytest.param("benchmarks/workloads/line.py", "def f():\n" + "    x = 1\n" * 60,
                 "benchmarks/workloads/line.py: f has 61 lines, the limit is 60", id="long function of a benchmark"),
]
# fmt: on


@pytest.mark.parametrize(("path", "text", "complaint"), BAD)
def test_the_judge_can_fail(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    found = complaints_about(tmp_path, GOOD | {path: text})
    assert any(complaint in line for line in found), found


def test_a_docstring_does_not_lengthen_its_function(tmp_path: Path) -> None:
    text = "def f():\n    '''One.\n" + "    more\n" * 80 + "    '''\n" + "    x = 1\n" * 59
    assert complaints_about(tmp_path, GOOD | {"compiler/graph/node.py": text}) == []
