"""Programs written as records, and read."""

from __future__ import annotations

import dataclasses

import pytest
from kept_programs import PROGRAMS, Recipe, x

from sympile.runtime.records import from_bytes, to_bytes


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
