"""What the system tells of a processor's caches, and what stands where it tells nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sympile.compiler.code.caches import Caches, own_caches
from sympile.compiler.code.target import TARGETS, host

USUAL = Caches(1, 2, 3)


def described(folder: Path, *caches: tuple[str, str, str]) -> Path:
    """A folder as Linux has it."""
    for number, values in enumerate(caches):
        own = folder / f"index{number}"
        own.mkdir()
        for name, value in zip(("level", "type", "size"), values, strict=True):
            (own / name).write_text(value + "\n")
    return folder


# fmt: off
CASES = [
    pytest.param([("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1024K"), ("3", "Unified", "32M")],
                 Caches(48 << 10, 1 << 20, 32 << 20),  id="three levels"),
    pytest.param([("1", "Unified", "64K"), ("2", "Unified", "512K")],
                 Caches(64 << 10, 512 << 10, 3),       id="no third level"),
    pytest.param([("1", "Data", "0K"), ("2", "Unified", ""), ("3", "Unified", "many")],
                 USUAL,                                id="another spelling"),
    pytest.param([], USUAL,                            id="nothing is told"),
]
# fmt: on


@pytest.mark.parametrize(("caches", "want"), CASES)
def test_what_the_system_tells(tmp_path: Path, caches: list[tuple[str, str, str]], want: Caches) -> None:
    assert own_caches(USUAL, described(tmp_path, *caches)) == want


def test_no_folder(tmp_path: Path) -> None:
    assert own_caches(USUAL, tmp_path / "nowhere") == USUAL


@pytest.mark.parametrize("target", [*TARGETS.values(), host()], ids=lambda target: target.name)
def test_levels_grow(target: object) -> None:
    """Also of this machine, whatever its system says."""
    caches = target.caches  # type: ignore[attr-defined]
    assert 4096 <= caches.first < caches.second < caches.third
