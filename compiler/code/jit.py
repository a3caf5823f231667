"""From IR text to machine code in memory: parse, verify, emit an object, link, keep alive."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import llvmlite
import llvmlite.binding as llvm

from sympile.compiler.code.target import Target, host, target_machine
from sympile.compiler.errors import InternalError
from sympile.compiler.locks import process_lock
from sympile.compiler.records import dataclass

COMPILING = process_lock()  # LLVM is used by one thread at a time
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Machine code in memory; it stays there as long as this object lives."""

    library: llvm.ResourceTracker
    addresses: dict[str, int]

    def address(self, name: str) -> int:
        """Where a function of the module starts."""
        return self.addresses[name]


def parse(text: str, target: Target | None = None, level: int = 1) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    """The verified module and the code generator for its target.

    Raises:
        InternalError: the text is not valid IR.
    """
    target = target or _this_machine()
    machine = _generator(target, level)
    try:
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = target.triple, str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM rejects the code that we wrote: {error}") from None
    return module, machine


def emit_object(text: str, target: Target | None = None, level: int = 1) -> bytes:
    """A relocatable object of IR text, for this machine unless told otherwise."""
    with COMPILING:
        module, machine = parse(text, target, level)
        return bytes(machine.emit_object(module))


def emit_assembly(text: str, target: Target | None = None, level: int = 1) -> str:
    """The assembly of IR text, for this machine unless told otherwise."""
    with COMPILING:
        module, machine = parse(text, target, level)
        return str(machine.emit_assembly(module))


def link(code: bytes, names: Iterable[str], imports: Mapping[str, int] | None = None) -> Loaded:
    """Loads an object of this machine.

    Args:
        code: what `emit_object` returned, perhaps in another process.
        names: functions whose addresses are wanted.
        imports: addresses of symbols that the object uses; symbols of the process (libm) are found by themselves.
    """
    names = list(names)
    with COMPILING:
        builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name in names:
            builder.export_symbol(name)
        for name, address in (imports or {}).items():
            builder.import_symbol(name, address)
        library = builder.link(_linker(), f"sympile{next(_serial)}")
        return Loaded(library, {name: library[name] for name in names})


def compile_text(text: str, names: Iterable[str], level: int = 1, imports: Mapping[str, int] | None = None) -> Loaded:
    """Compiles IR text for this machine and loads it.

    Example:
        >>> loaded = compile_text("define i64 @three() { ret i64 3 }", ["three"])
        >>> ctypes.CFUNCTYPE(ctypes.c_int64)(loaded.address("three"))()
        3
    """
    return link(emit_object(text, None, level), names, imports)


@functools.cache
def surroundings() -> tuple[str, ...]:
    """What else than the text and the level decides which machine code comes out here."""
    machine = _this_machine()
    versions = (llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info)))
    return (machine.triple, machine.cpu, machine.features, *versions)


@functools.cache
def _this_machine() -> Target:
    return host()


@functools.lru_cache(maxsize=8)
def _generator(target: Target, level: int) -> llvm.TargetMachine:
    """Made once: LLVM reads a long list of features each time, and again for the first function of each machine."""
    return target_machine(target, level)


@functools.cache
def _linker() -> llvm.LLJIT:
    # JITLink: the older linker leaks 12 kB for each library that is released. It generates no code, whatever features
    machine = target_machine(replace(_this_machine(), cpu="", features=""))
    return llvm.create_lljit_compiler(machine, use_jit_link=True)
