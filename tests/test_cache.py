"""Bytes on disk: whatever happens to the files, what comes back is right or nothing, and nothing breaks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sympile.compiler.errors import EnvironmentProblem
from sympile.runtime import cache
from sympile.runtime.cache import BLOCK, HEAD, Store, key_of
from sympile.runtime.cache_place import MEGABYTE, Place, place

KEY, OTHER = key_of("one"), key_of("two")
CONTENT = bytes(range(256)) * 40

needs_owners = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system's files have no such owners")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Place(tmp_path / "deep" / "cache", MEGABYTE))


def test_what_is_kept_comes_back(store: Store) -> None:
    assert store.get(KEY) is None
    store.put(KEY, CONTENT)
    store.put(OTHER, b"")
    assert (store.get(KEY), store.get(OTHER)) == (CONTENT, b"")
    store.put(KEY, b"newer")
    assert store.get(KEY) == b"newer"


def test_a_later_process_finds_it(store: Store) -> None:
    store.put(KEY, CONTENT)
    assert Store(store._where).get(KEY) == CONTENT


@needs_owners
def test_only_the_user_may_look(store: Store) -> None:
    store.put(KEY, CONTENT)
    assert stat.S_IMODE(store.path(KEY).parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path(KEY).stat().st_mode) == 0o600


def test_parts_of_a_key_do_not_run_together() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("ab", "c", ""), key_of(b"ab", "d")}) == 5


# ------------------------------------------------------------------------------------------------ damage


def _flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)


def _link_outside(path: Path) -> None:
    outside = path.parent / "outside"
    os.replace(path, outside)
    path.symlink_to(outside)


# fmt: off
DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty":                    lambda path: path.write_bytes(b""),
    "cut inside the head":      lambda path: os.truncate(path, 20),
    "cut behind the head":      lambda path: os.truncate(path, HEAD),
    "cut by one byte":          lambda path: os.truncate(path, path.stat().st_size - 1),
    "a byte too long":          lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "garbage":                  lambda path: path.write_bytes(os.urandom(5000)),
    "zeros, as after a crash":  lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another format":           lambda path: _flip(path, 7),
    "one bit of the key":       lambda path: _flip(path, 8),
    "one bit of the checksum":  lambda path: _flip(path, HEAD - 1),
    "one bit of the content":   lambda path: _flip(path, HEAD + 1000),
}
# fmt: on


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_removed(store: Store, damage: Callable[[Path], object]) -> None:
    store.put(KEY, CONTENT)
    damage(store.path(KEY))
    assert store.get(KEY) is None
    assert not store.path(KEY).exists()
    store.put(KEY, CONTENT)
    assert store.get(KEY) == CONTENT


def test_files_that_were_swapped_are_not_confused(store: Store) -> None:
    store.put(KEY, b"one")
    store.put(OTHER, b"two")
    one, two = store.path(KEY), store.path(OTHER)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert store.get(KEY) is None
    assert store.get(OTHER) is None


# fmt: off
DISTRUST: dict[str, Callable[[Path], object]] = {
    "others may write to it":   lambda path: path.chmod(0o666),
    "the group may write":      lambda path: path.chmod(0o660),
    "a link to somewhere else": _link_outside,
    "a folder":                 lambda path: (path.unlink(), path.mkdir()),
    "a pipe without a writer":  lambda path: (path.unlink(), os.mkfifo(path)),
}
# fmt: on


@needs_owners
@pytest.mark.parametrize("change", DISTRUST.values(), ids=DISTRUST)
def test_what_others_could_have_written_is_not_read(store: Store, change: Callable[[Path], object]) -> None:
    store.put(KEY, CONTENT)
    change(store.path(KEY))
    assert store.get(KEY) is None


@needs_owners
def test_a_file_of_another_owner_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(KEY, CONTENT)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert store.get(KEY) is None
    monkeypatch.undo()
    assert store.get(KEY) == CONTENT


# ------------------------------------------------------------------------------------------------ no place to write


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(Place(tmp_path / "file" / "cache", MEGABYTE))
    store.put(KEY, CONTENT)
    assert store.get(KEY) is None


@needs_owners
def test_a_folder_that_cannot_be_written_to(store: Store) -> None:
    store.put(KEY, CONTENT)
    folder = store.path(KEY).parent
    folder.chmod(0o500)
    try:
        store.put(OTHER, CONTENT)
        assert store.get(KEY) == CONTENT
        assert store.get(OTHER) in (None, CONTENT)  # root may write anywhere
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("step", ["mkdir", "mkstemp", "write", "replace"])
def test_a_full_disk_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            self.handle = handle

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.handle)

        write = full

    targets = {
        "mkdir": lambda: monkeypatch.setattr(Path, "mkdir", full),
        "mkstemp": lambda: monkeypatch.setattr(cache.tempfile, "mkstemp", full),
        "write": lambda: monkeypatch.setattr(cache, "open", Full, raising=False),
        "replace": lambda: monkeypatch.setattr(cache.os, "replace", full),
    }
    targets[step]()
    store.put(KEY, CONTENT)
    monkeypatch.undo()
    assert store.get(KEY) is None
    folder = store.path(KEY).parent
    assert not folder.exists() or list(folder.iterdir()) == []


def test_the_folder_vanishes(store: Store) -> None:
    store.put(KEY, CONTENT)
    store.path(KEY).unlink()
    store.path(KEY).parent.rmdir()
    assert store.get(KEY) is None
    store.put(KEY, CONTENT)
    assert store.get(KEY) == CONTENT


# ------------------------------------------------------------------------------------------------ size


def _sizes(folder: Path) -> int:
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in folder.iterdir())


def test_the_limit_is_kept_and_the_oldest_go(tmp_path: Path) -> None:
    store = Store(Place(tmp_path, 100_000))
    keys = [key_of(str(number)) for number in range(40)]
    for number, key in enumerate(keys):
        store.put(key, CONTENT)
        os.utime(store.path(key), (1000 + number, 1000 + number))
        if store.path(keys[0]).exists():
            store.get(keys[0])  # the first is used again and again
        assert _sizes(tmp_path) <= 100_000
    there = [number for number, key in enumerate(keys) if store.path(key).exists()]
    assert there[0] == 0
    assert there[1:] == list(range(there[1], 40))
    assert len(there) >= 4


def test_other_processes_count(tmp_path: Path) -> None:
    Store(Place(tmp_path, 10 * MEGABYTE)).put(key_of("large"), bytes(90_000))
    os.utime(next(tmp_path.iterdir()), (1000, 1000))
    small = Store(Place(tmp_path, 100_000))
    small.put(KEY, CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == [small.path(KEY).name]


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    store = Store(Place(tmp_path, 50_000))
    store.put(KEY, b"small")
    store.put(OTHER, bytes(60_000))
    assert store.get(OTHER) is None
    assert store.get(KEY) == b"small"


def test_unfinished_and_foreign_files(tmp_path: Path) -> None:
    """What a writer left an hour ago goes, what one writes now and what is not ours stays."""
    for name, age in (("old.part", 4000), ("new.part", 5), ("readme.txt", 10**6)):
        (tmp_path / name).write_bytes(bytes(90_000))
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    Store(Place(tmp_path, 100_000)).put(KEY, b"x")
    assert {path.name for path in tmp_path.iterdir()} == {"new.part", "readme.txt", f"{KEY.hex()}.kept"}


# ------------------------------------------------------------------------------------------------ several writers

WRITER = """
import sys
from pathlib import Path
from sympile.runtime.cache import Store, key_of
from sympile.runtime.cache_place import Place
store, key = Store(Place(Path(sys.argv[1]), 10**6)), key_of("shared")
good = {bytes([which]) * 200_000 for which in (1, 2)}
seen = 0
for _ in range(300):
    store.put(key, bytes([int(sys.argv[2])]) * 200_000)
    found = store.get(key)
    assert found in good, "half a file"
    seen += found[0] != int(sys.argv[2])
print("ok", seen)
"""


def test_two_processes_write_the_same_key(tmp_path: Path) -> None:
    source = Path(cache.__file__).resolve().parent.parent / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), which], env=environment, stdout=subprocess.PIPE, text=True
        )
        for which in "12"
    ]
    printed = [writer.communicate(timeout=60)[0] for writer in writers]
    assert all(text.startswith("ok") for text in printed), printed
    assert [path.suffix for path in tmp_path.iterdir()] == [".kept"]


# ------------------------------------------------------------------------------------------------ where

HOME = os.path.abspath("/home/ada")
CHOSEN = os.path.abspath("/fast/kept")

# fmt: off
PLACES = [
    pytest.param({"HOME": HOME}, "linux", (HOME, ".cache", "sympile"), id="Linux"),
    pytest.param({"HOME": HOME, "XDG_CACHE_HOME": CHOSEN}, "linux", (CHOSEN, "sympile"), id="XDG"),
    pytest.param({"HOME": HOME, "XDG_CACHE_HOME": "here"}, "linux", (HOME, ".cache", "sympile"), id="XDG: relative paths do not count"),
    pytest.param({"HOME": HOME, "XDG_CACHE_HOME": CHOSEN}, "darwin", (HOME, "Library", "Caches", "sympile"), id="macOS"),
    pytest.param({"LOCALAPPDATA": HOME}, "win32", (HOME, "sympile", "Cache"), id="Windows"),
    pytest.param({"HOME": HOME, "SYMPILE_CACHE_DIR": CHOSEN}, "linux", (CHOSEN,), id="chosen"),
    pytest.param({"HOME": HOME, "SYMPILE_CACHE_DIR": CHOSEN}, "win32", (CHOSEN,), id="chosen on Windows"),
    pytest.param({"HOME": HOME, "SYMPILE_CACHE": "1"}, "linux", (HOME, ".cache", "sympile"), id="on is the default"),
    pytest.param({"HOME": HOME, "SYMPILE_CACHE": "0"}, "linux", None, id="off"),
    pytest.param({"HOME": HOME, "SYMPILE_CACHE_SIZE": "0"}, "linux", None, id="no room"),
    pytest.param({}, "linux", None, id="no home"),
    pytest.param({"HOME": "~"}, "darwin", None, id="a home that is no path"),
    pytest.param({}, "win32", None, id="no local data"),
]
# fmt: on


@pytest.mark.parametrize(("environment", "platform", "parts"), PLACES)
def test_where(environment: dict[str, str], platform: str, parts: tuple[str, ...] | None) -> None:
    found = place(environment, platform)
    assert (None if found is None else found.folder) == (None if parts is None else Path(*parts))


@pytest.mark.parametrize(("written", "limit"), [("", 256_000_000), ("1.5", 1_500_000), ("100000", 10**11)])
def test_how_much(written: str, limit: int) -> None:
    found = place({"HOME": HOME, "LOCALAPPDATA": HOME, "SYMPILE_CACHE_SIZE": written})
    assert found is not None and found.limit == limit


@pytest.mark.parametrize("written", ["256MB", "-1", "nan", "inf", "lots"])
def test_a_size_that_is_none(written: str) -> None:
    with pytest.raises(EnvironmentProblem, match="SYMPILE_CACHE_SIZE is a number of megabytes, such as 256, not"):
        place({"HOME": HOME, "SYMPILE_CACHE_SIZE": written})
