"""The package is found where the links are, where they were lost, and from any folder; and its version is written twice, alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sympile as sm
from sympile.compiler import version

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import pathlib, sympile.compiler.errors, sympile.runtime
print(pathlib.Path(sympile.compiler.errors.__file__).resolve())
print(pathlib.Path(sympile.runtime.__file__).resolve())
"""

LINKS: dict[str, Callable[[Path, str], object]] = {
    "linked": lambda link, target: link.symlink_to(target),
    "written as text": lambda link, target: link.write_text(target),    # git without core.symlinks
    "missing": lambda link, target: None,                               # a zip of the repository
}


@pytest.mark.parametrize("kind", LINKS)
def test_the_folders_are_found(tmp_path: Path, kind: str) -> None:
    repository, elsewhere = tmp_path / "repository", tmp_path / "elsewhere"
    package = repository / "src" / "sympile"
    for folder in (repository / "compiler", repository / "runtime", package, elsewhere):
        folder.mkdir(parents=True)
    for name in ("compiler", "runtime"):
        (repository / name / "__init__.py").touch()
        LINKS[kind](package / name, f"../../{name}")
    (repository / "compiler" / "errors.py").touch()
    (package / "__init__.py").write_text(path_part_of_the_face())
    printed = run_python(PROBE, elsewhere, package.parent)
    wanted = [repository / "compiler" / "errors.py", repository / "runtime" / "__init__.py"]
    assert printed.splitlines() == [str(path.resolve()) for path in wanted]


def test_an_installed_package_does_not_look_outside(tmp_path: Path) -> None:
    """In site-packages the folders lie beside the face; what happens to lie two folders up is somebody else's."""
    package = tmp_path / "lib" / "site" / "sympile"
    for folder in (package / "compiler", package / "runtime", tmp_path / "lib" / "compiler"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    (package / "compiler" / "errors.py").touch()
    (package / "__init__.py").write_text(path_part_of_the_face())
    assert run_python("import sympile; print(len(sympile.__path__))", tmp_path, package.parent).strip() == "1"


def path_part_of_the_face() -> str:
    """The face down to the line that mends the search path; the exports below it need the whole compiler."""
    text = (ROOT / "src" / "sympile" / "__init__.py").read_text(encoding="utf-8")
    last = "_find_folders(_Path(__file__).resolve().parent, __path__)\n"
    assert last in text
    return text[: text.index(last) + len(last)]


def run_python(code: str, folder: Path, search: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(search)}
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_version_is_that_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{version.VERSION}"\n' in text
    assert sm.__version__ == version.VERSION
