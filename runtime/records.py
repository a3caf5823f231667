"""Programs as bytes and back: plain data only, so that a file can hold numbers and names but never do anything."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from sympile.compiler import program as vocabulary
from sympile.compiler.program import Program

# class name → class: all that a program is made of
CLASSES: dict[str, Any] = {name: cls for name, cls in vars(vocabulary).items() if dataclasses.is_dataclass(cls)}
PLAIN = (str, int, float, bool, type(None))


def to_bytes(program: Program) -> bytes:
    """A program as JSON: a list is a tuple, an object with one key a dataclass with its fields in order, or a dict."""
    return json.dumps(_plain(program), separators=(",", ":")).encode()


def from_bytes(raw: bytes) -> Program:
    """The program that `to_bytes` was given.

    Raises:
        ValueError: the bytes hold something else.
    """
    try:
        made = _made(json.loads(raw))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no program: {error}") from None
    if not isinstance(made, Program):
        raise ValueError(f"no program, but a {type(made).__name__}")
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {"dict": [[key, _plain(part)] for key, part in value.items()]}
    name = type(value).__name__
    if CLASSES.get(name) is not type(value):
        raise TypeError(f"a program holds a {name}; compiler/program.py is plain data: numbers, names, tuples, dicts")
    return {name: [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]}


def _made(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_made(part) for part in plain)
    if not isinstance(plain, dict):
        return plain
    ((name, parts),) = plain.items()
    if name == "dict":
        return {key: _made(part) for key, part in parts}
    return CLASSES[name](*[_made(part) for part in parts])
