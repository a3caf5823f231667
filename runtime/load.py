"""Machine code: compiled once, kept on disk for later processes, alive as long as somebody can call it."""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from functools import lru_cache

# Against the list of layers: turning IR text into machine code is compiler.code's, and needs no graph.
from sympile.compiler.code.jit import COMPILING, Loaded, emit_object, link, surroundings
from sympile.compiler.program import Code
from sympile.compiler.records import dataclass
from sympile.compiler.version import VERSION
from sympile.runtime.cache import forget, keep, key_of, recall
from sympile.runtime.libraries import import_addresses

TABLE_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # releases the GIL while it runs
_COMMENT = re.compile(r"\n *;[^\n]*")  # comments name definitions as this process numbered them


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


def set_aside(code: Code) -> Code:
    """The code without its text, which is kept on disk: perhaps no machine code is made of it in this process."""
    small = replace(code, text="", digest=_digest(code))
    keep(_text_key(small), code.text.encode())
    return small


def taken_up(code: Code) -> Code | None:
    """Code that was set aside, its machine code in memory or its text with it; None where neither is on disk."""
    try:
        load(code)
        return code
    except LookupError:
        text = recall(_text_key(code))
    return None if text is None else replace(code, text=text.decode())


def _text_key(code: Code) -> bytes:
    return key_of("text", code.digest)


@lru_cache(maxsize=256)
def _loaded(code: Code) -> Native:
    loaded = _linked(code)
    return Native(loaded, loaded.address(code.entry))


def object_key(code: Code) -> bytes:
    """All that decides which machine code is made: the text, the machine, LLVM, how carefully, and which sympile."""
    return key_of("object", VERSION, *surroundings(), str(code.level), _digest(code))


def _digest(code: Code) -> str:
    return code.digest or key_of(_COMMENT.sub("", code.text)).hex()


def _linked(code: Code) -> Loaded:
    key = object_key(code)
    kept = recall(key)
    if kept is not None:
        try:
            return _link(code, kept)
        except RuntimeError:  # whatever is wrong with it: it is made anew
            forget(key)
    if not code.text:
        raise LookupError("machine code that is not on disk")
    made = emit_object(code.text, None, code.level)
    keep(key, made)
    return _link(code, made)


def _link(code: Code, made: bytes) -> Loaded:
    return link(made, [code.entry], import_addresses(code.imports))
