"""Bytes kept on disk under a key, for later processes: never wrong, and never in the way.

A file is written beside its place and moved there, so that readers and other writers see all of it or nothing. It
carries its own key and a checksum; one that is truncated, garbled or moved is removed and made anew. Files that
somebody else owns, or may write to, are not read. Where the disk is full or must not be written to, nothing is kept.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sympile.compiler.digest import blake2b
from sympile.compiler.records import dataclass
from sympile.runtime.cache_place import Place, place

MAGIC = b"sympile\x02"  # the last byte counts the formats
HEAD = len(MAGIC) + 32 + 32  # then the key, then the checksum, then the content
SUFFIX, UNFINISHED = ".kept", ".part"
BLOCK = 4096  # what even a small file takes of a disk
FULL = 0.75  # of the limit is left when the oldest files are removed
LEFT_BEHIND = 3600  # seconds after which an unfinished file has no writer any more
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def key_of(*parts: str | bytes) -> bytes:
    """A key of 32 bytes: different parts, different keys."""
    digest = blake2b(digest_size=32)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.digest()


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=32).digest()


def recall(key: bytes) -> bytes | None:
    """What was kept under a key, or None."""
    where = place()
    return None if where is None else _store(where).get(key)


def keep(key: bytes, content: bytes) -> None:
    """Keeps bytes for later processes, if that is possible."""
    where = place()
    if where is not None:
        _store(where).put(key, content)


def forget(key: bytes) -> None:
    """Removes what was kept under a key."""
    where = place()
    if where is not None:
        _remove(_store(where).path(key))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the folder."""

    path: Path
    size: int  # on the disk
    used: float  # when it was last written or read


class Store:
    """One folder of kept bytes."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._room = 0  # how much may be written before the folder is looked at again

    def path(self, key: bytes) -> Path:
        return self._where.folder / f"{key.hex()}{SUFFIX}"

    def get(self, key: bytes) -> bytes | None:
        """What is kept under a key; what is damaged is removed."""
        path = self.path(key)
        try:
            raw = _trusted_bytes(path, self._where.limit)
        except OSError:
            return None
        content = _opened(key, raw)
        if content is None:
            _remove(path)
        return content

    def put(self, key: bytes, content: bytes) -> None:
        """Keeps content, unless it is too large, or the folder cannot be written to."""
        needed = _on_disk(HEAD + len(content))
        if needed > self._where.limit * FULL:
            return
        with contextlib.suppress(OSError):
            self._where.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(needed)
            _write(self.path(key), MAGIC + key + _checksum(content) + content)

    def _make_room(self, needed: int) -> None:
        """Removes what was not used for longest; what other processes write meanwhile is seen the next time."""
        if needed > self._room:
            entries = sorted(_entries(self._where.folder), key=lambda entry: entry.used)
            total = sum(entry.size for entry in entries)
            if total + needed > self._where.limit:
                total -= _removed(entries, total + needed - int(self._where.limit * FULL))
            self._room = self._where.limit - total
        self._room -= needed


@functools.lru_cache(maxsize=8)
def _store(where: Place) -> Store:
    return Store(where)


# ------------------------------------------------------------------------------------------------ files


def _trusted_bytes(path: Path, limit: int) -> bytes:
    """All of a plain file that is ours alone; its time says that it was used."""
    with open(os.open(path, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not _is_ours(status) or status.st_size > limit:
            raise PermissionError(path)
        raw = file.read()
    with contextlib.suppress(OSError):
        os.utime(path)
    return raw


def _is_ours(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):  # Windows: the user's own folder
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _opened(key: bytes, raw: bytes) -> bytes | None:
    """The content of a file, if it is whole and belongs to the key."""
    content = raw[HEAD:]
    return content if raw[:HEAD] == MAGIC + key + _checksum(content) else None


def _write(path: Path, raw: bytes) -> None:
    handle, name = tempfile.mkstemp(UNFINISHED, "", path.parent)  # readable by nobody else
    try:
        with open(handle, "wb") as file:
            file.write(raw)
        os.replace(name, path)
    except BaseException:
        _remove(Path(name))
        raise


def _entries(folder: Path) -> Iterator[Entry]:
    """Our files; those that a writer left unfinished are removed."""
    with os.scandir(folder) as found:
        for file in found:
            with contextlib.suppress(OSError):  # another process may have removed it
                status = file.stat(follow_symlinks=False)
                if file.name.endswith(UNFINISHED) and status.st_mtime < time.time() - LEFT_BEHIND:
                    _remove(Path(file.path))
                elif file.name.endswith((SUFFIX, UNFINISHED)):
                    yield Entry(Path(file.path), _on_disk(status.st_size), status.st_mtime)


def _removed(entries: Iterable[Entry], wanted: int) -> int:
    """Removes entries until so many bytes are free; how many are."""
    freed = 0
    for entry in entries:
        if freed >= wanted:
            break
        if entry.path.name.endswith(SUFFIX):
            _remove(entry.path)
            freed += entry.size
    return freed


def _on_disk(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
