"""What makes the key of a program and of its code: nothing is taken where anything differs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept_programs import CODE, PROGRAMS, Recipe

from sympile.compiler.code import jit
from sympile.compiler.code.target import host
from sympile.compiler.graph.definition import input_tensor
from sympile.compiler.graph.node import const
from sympile.compiler.passes.built import description
from sympile.compiler.program import Code
from sympile.runtime import load as loading
from sympile.runtime.model import shelf


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
    tensor, other = input_tensor("A", [const(3)]), dataclasses.replace(host(), **{field: "other"})
    keys = {description({"f": tensor}, [tensor], (), "float64", target, "accurate") for target in (other, host())}
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
