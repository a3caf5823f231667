"""The machines we write code for: a table of targets, this machine's row, and LLVM's target machine for a row."""

from __future__ import annotations

import functools
from dataclasses import replace

import llvmlite.binding as llvm

from sympile.compiler.code.caches import Caches, own_caches
from sympile.compiler.errors import EnvironmentProblem
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What the code generator knows of a machine; nothing else in the compiler depends on the vector width."""

    name: str
    triple: str
    cpu: str
    features: str
    lanes64: int           # float64 numbers in one vector register
    lanes32: int
    registers: int         # vector registers
    fma: bool              # a fused multiply-add in hardware
    masked: bool           # masked loads, stores and gathers in hardware
    caches: Caches         # as is usual for such machines; `host()` knows better
    attributes: str = ""   # added to every function
    exponents: bool = False  # scales by 2**n and takes numbers apart in one instruction
    division: int = 0        # cycles from one division of full registers to the next, where that is long
    asks: bool = False  # stores to large results wait for their lines, unless those were asked for ahead

    def lanes(self, element: str) -> int:
        """How many numbers of type "double" or "float" one vector register holds."""
        return self.lanes64 if element == "double" else self.lanes32

    def core(self, element: str) -> Core:
        """What work on numbers of type "double" or "float" is fitted to."""
        size = 8 if element == "double" else 4
        levels = (level // size for level in (self.caches.first, self.caches.second, self.caches.third))
        return Core(self.lanes(element), self.registers, LINE // size, *levels)


@dataclass(frozen=True, slots=True)
class Core:
    """One core as a schedule sees it, counted in numbers of one type."""

    lanes: int      # in a vector register
    registers: int  # vector registers
    line: int       # that caches move at once
    first: int      # in the first-level cache
    second: int
    third: int


X86, AARCH64 = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
V3 = "+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt"
V4 = V3 + ",+avx512f,+avx512dq,+avx512bw,+avx512cd,+avx512vl"
KB = 1 << 10
MB = 1 << 20
LINE = 64  # bytes
LARGE = Caches(48 * KB, 1 * MB, 16 * MB)  # as is usual: what a system tells of its own goes before
SMALL = Caches(32 * KB, 512 * KB, 8 * MB)
WIDE = '"prefer-vector-width"="512"'   # some Intel processors are tuned for 256 bits

# fmt: off
TARGETS: dict[str, Target] = {
    #                name      triple   cpu          features 64 32 registers fma masked caches attributes
    "avx512": Target("avx512", X86,     "x86-64-v4", V4,      8, 16, 32, True, True,  LARGE, WIDE, True),
    "avx2":   Target("avx2",   X86,     "x86-64-v3", V3,      4, 8,  16, True, True,  SMALL),
    "neon":   Target("neon",   AARCH64, "generic",   "+neon", 2, 4,  32, True, False, SMALL),
}
# fmt: on

# By LLVM's names. What is not here takes few cycles more than for a product, or is not known.
SLOW_DIVIDERS = dict.fromkeys(
    ("skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake-client", "icelake-server", "tigerlake",
     "rocketlake", "sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d"), 16
)  # fmt: skip

# Far third-level caches: lines of a large result come too late for its stores (Hessians of 10 × 10: 0.8 of the time).
MESHES = frozenset({
    "skylake-avx512", "cascadelake", "cooperlake", "icelake-server", "sapphirerapids", "emeraldrapids", "graniterapids",
    "graniterapids-d",
})  # fmt: skip

NEEDS_AVX512 = ("avx512f", "avx512dq", "avx512bw", "avx512vl")
NEEDS_AVX2 = ("avx2", "fma")


@functools.cache
def host() -> Target:
    """The row of this machine, with its own triple, processor, features and caches.

    Raises:
        EnvironmentProblem: the processor has neither AVX2 with FMA (x86-64, since 2013) nor NEON (64-bit ARM).
    """
    features = llvm.get_host_cpu_features()
    triple = llvm.get_process_triple()
    row = TARGETS[_host_row(triple.split("-")[0], {name for name, there in features.items() if there})]
    caches, cpu = own_caches(row.caches), llvm.get_host_cpu_name()
    own = replace(row, triple=triple, cpu=cpu, features=features.flatten(), caches=caches)
    return replace(own, division=SLOW_DIVIDERS.get(cpu, 0), asks=cpu in MESHES)


def _host_row(architecture: str, features: set[str]) -> str:
    if architecture in ("aarch64", "arm64"):
        return "neon"
    if features.issuperset(NEEDS_AVX512):
        return "avx512"
    if features.issuperset(NEEDS_AVX2):
        return "avx2"
    raise EnvironmentProblem(
        f"this processor ({llvm.get_host_cpu_name()}) has no AVX2 with FMA and is no 64-bit ARM; "
        "run sympile on a machine that is one of the two"
    )


def target_machine(target: Target, level: int = 1) -> llvm.TargetMachine:
    """LLVM's code generator for a target.

    Args:
        target: a row of TARGETS or `host()`.
        level: 0 (compiles fastest; register spills) to 3; the default 1 runs as fast as 3 on what we emit.

    Example:
        >>> target_machine(TARGETS["avx2"]).triple
        'x86_64-unknown-linux-gnu'
    """
    _initialize(target.triple == llvm.get_process_triple())
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small", jit=True
    )


@functools.cache
def _initialize(own: bool) -> None:
    """This machine's code generator; those of all others take milliseconds, and few processes need them."""
    if own:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
