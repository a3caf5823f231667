"""Arrays and their names in one npz file: no code, no pickle."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sympile.compiler.errors import ArgumentError, DtypeError
from sympile.runtime.byname import ByName, name_of

Array = npt.NDArray[Any]


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[Any, Array]) -> Path:
    """Writes arrays by name; `np.load` reads them too.

    Args:
        path: of the file; ".npz" is appended where it is missing, as NumPy does.
        arrays: keyed by symbols or names.

    Returns:
        The path written.

    Raises:
        DtypeError: an array of Python objects, which only a pickle could hold.
    """
    target = _with_ending(path)
    with zipfile.ZipFile(target, "w") as archive:    # np.savez itself cannot write an array called "file"
        for key, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise DtypeError(f"{name_of(key)} holds Python objects; only arrays of numbers can be saved")
            with archive.open(f"{name_of(key)}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
    return target


def load_parameters(path: str | os.PathLike[str]) -> ByName[Array]:
    """Reads what `result.save` wrote, or any npz file of plain arrays.

    Args:
        path: of the file; ".npz" may be left out.

    Returns:
        The arrays by name, in the file's order; symbols find the array of their name. Fit for `start=` of `fit`, and
        for `model.predict`.

    Raises:
        FileNotFoundError: there is no such file.
        ArgumentError: it is no npz file.
        DtypeError: it holds Python objects, which could run code when read.

    Example:
        >>> import tempfile
        >>> path = save_arrays(Path(tempfile.mkdtemp()) / "fit", {"a": np.array(2.0)})
        >>> load_parameters(path)["a"]
        array(2.)
    """
    given = Path(path)
    source = given if given.exists() else _with_ending(given)
    if source.exists() and not zipfile.is_zipfile(source):
        raise ArgumentError(f"{source} is no npz file, or a damaged one")
    try:
        with np.load(source, allow_pickle=False) as archive:
            return ByName({name: _read(archive, name, source) for name in archive.files})
    except zipfile.BadZipFile as error:
        raise ArgumentError(f"{source} is damaged: {error}") from None


def _read(archive: Mapping[str, Array], name: str, source: Path) -> Array:
    try:
        return archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise ArgumentError(f"{name!r} in {source} is damaged: {error}") from None
    raise DtypeError(f"{name!r} in {source} holds Python objects, which could run code when read")


def _with_ending(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    return target if target.suffix == ".npz" else target.with_name(f"{target.name}.npz")
