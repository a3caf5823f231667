"""Machine code: compiled once, kept alive as long as somebody can call it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache

# Against the list of layers: turning IR text into machine code is compiler.code's, and needs no graph.
from sympile.compiler.code.jit import COMPILING, Loaded, compile_text
from sympile.compiler.program import Code
from sympile.runtime.libraries import import_addresses

TABLE_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # releases the GIL while it runs


@dataclass(frozen=True, slots=True)
class Native:
    """A function of one pointer, and the code behind it."""

    loaded: Loaded
    address: int

    def call(self, pointer: int) -> None:
        """Runs the code on a table."""
        TABLE_FUNCTION(self.address)(pointer)


def load(code: Code) -> Native:
    """The function of some code; the same code is compiled once."""
    with COMPILING:
        return _loaded(code)


@lru_cache(maxsize=256)
def _loaded(code: Code) -> Native:
    loaded = compile_text(code.text, [code.entry], level=code.level, imports=import_addresses(code.imports))
    return Native(loaded, loaded.address(code.entry))
