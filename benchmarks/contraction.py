"""Speed of sums of products, in percent of this core's peak of fused multiply-adds, against OpenBLAS, NumPy and JAX.

Run:  python benchmarks/contraction.py [word ...] [--float32] [--rounds 9]

A word selects the cases whose names contain it. The peak (a loop of independent multiply-adds), ours and the peer take
turns; printed are medians of the ratios within a round. Matrix products of the peer are OpenBLAS's own routines, called
from machine code, without Python; others are calls of NumPy and, where it is installed, JAX, whose overhead counts: the
quicker one of a round is the peer. One thread.
"""

from __future__ import annotations

import environment

environment.settle()  # before NumPy and the others read the environment

import argparse  # noqa: E402
import ctypes  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from statistics import median  # noqa: E402

import contraction_cases as cases  # noqa: E402
import numpy as np  # noqa: E402
from contraction_cases import Array, Case  # noqa: E402
from contraction_peers import blas_product, python_products  # noqa: E402

from sympile.compiler.code.jit import compile_text  # noqa: E402
from sympile.compiler.code.lanes import Lanes  # noqa: E402
from sympile.compiler.code.target import host  # noqa: E402
from sympile.compiler.code.writer import Function, Module  # noqa: E402
from sympile.compiler.passes.reading.scope import Scope  # noqa: E402
from sympile.compiler.pipeline import Request, analyse, build, inputs_of  # noqa: E402
from sympile.compiler.program import BATCH  # noqa: E402
from sympile.runtime.native import NativeProgram, address_of, aligned  # noqa: E402

SECONDS = 0.004  # of one measurement
REPEAT = """
define void @repeat(ptr %code, ptr %table, i64 %count) {
entry:
  br label %turn
turn:
  %at = phi i64 [0, %entry], [%after, %turn]
  call void %code(ptr %table)
  %after = add i64 %at, 1
  %more = icmp slt i64 %after, %count
  br i1 %more, label %turn, label %done
done:
  ret void
}
"""


@dataclass(frozen=True, slots=True)
class Ready:
    """Something that can be run n times, and what it keeps alive."""

    run: Callable[[int], None]
    keeps: object = None


def repeated() -> Callable[[int, int, int], None]:
    """Calls a function of one pointer so many times, without Python between."""
    loaded = compile_text(REPEAT, ["repeat"])
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address("repeat"))
    call.keeps = loaded  # type: ignore[attr-defined]
    return call


def peak(element: str) -> tuple[Ready, float]:
    """A loop of independent multiply-adds in registers, and its operations in one run."""
    chains, turns = 16, 4000
    module = Module(host())
    f = Function(module, "peak", [("ptr", "table")])
    k = Lanes(f, element, host().lanes(element), host())
    factor = k.splat(f.load(element, f.arguments[0]))
    start = [k.constant(float(chain)) for chain in range(chains)]
    with f.loop(0, turns, 1, start) as loop:
        loop.next = [k.fma(factor, each, each) for each in loop.carried]
    for at, value in enumerate(loop.results):
        k.store(value, f.gep(k.real, f.arguments[0], at))
    f.ret()
    loaded = compile_text(module.text(), ["peak"])
    room = aligned((chains * k.lanes,), np.float64)
    call, code, place = repeated(), loaded.address("peak"), address_of(room)
    return Ready(lambda count: call(code, place, count), (loaded, room)), 2.0 * chains * turns * k.lanes


def ours(case: Case, arrays: dict[str, Array], dtype: str) -> tuple[Ready, Array, str]:
    """The compiled program on its arrays, its result, and what compiling took."""
    start = time.process_time()
    scope = Scope(constants={str(name): case.symbols[name] for name in case.constants}, batched=case.batched)
    work = analyse(Request({"out": case.expression}, scope))
    inputs = inputs_of(work, list(work.outputs.values()))
    built = build(work, work.outputs, [work.scope.symbols[n].tensor for n in inputs], dtype)
    native = NativeProgram(built.program)
    emitted = time.process_time()
    native.native.call  # noqa: B018 - makes the machine code
    front, back = (emitted - start) * 1e3, (time.process_time() - emitted) * 1e3
    cost = f"{front:4.0f} + {back:4.0f} ms {len(built.program.code.text) / 1024:5.0f} kB"
    sizes = {**case.sizes, BATCH: case.examples}
    desk = native.desk(sizes)
    for array in built.program.inputs:
        desk.table[array.slot] = address_of(arrays[array.name])
    (output,) = built.program.outputs
    result = aligned(native.shape(output, sizes), dtype)
    desk.table[output.slot] = address_of(result)
    call, code, place = repeated(), native.native.address, desk.address
    return Ready(lambda count: call(code, place, count), (native, desk, arrays)), result, cost


def seconds(ready: Ready, count: int) -> float:
    start = time.perf_counter()
    ready.run(count)
    return (time.perf_counter() - start) / count


def count_for(ready: Ready) -> int:
    """How often to run in one measurement."""
    ready.run(1)
    return max(1, min(100_000, round(SECONDS / seconds(ready, 3))))


def race(contenders: Sequence[Ready], rounds: int) -> list[list[float]]:
    """Seconds a run of each, in turn, round after round."""
    counts = [count_for(each) for each in contenders]
    return [[seconds(each, count) for each, count in zip(contenders, counts, strict=True)] for _ in range(rounds)]


def report(case: Case, dtype: str, rounds: int) -> str:
    arrays = {name: np.ascontiguousarray(each, dtype) for name, each in case.arrays().items()}
    own, result, cost = ours(case, arrays, dtype)
    top, operations = peak("double" if dtype == "float64" else "float")
    wanted = case.numpy(*[arrays[name] for name in case.symbols])
    room = np.empty_like(wanted)
    given = [arrays[name] for name in case.symbols]
    if case.blas is None:
        peers = [Ready(each) for each in python_products(case.letters, case.numpy, given)]
    else:
        peers = [Ready(*blas_product(case.blas, *given, room, repeated()))]
    times = [(best, mine, min(others)) for best, mine, *others in race([top, own, *peers], rounds)]
    np.testing.assert_allclose(result.reshape(wanted.shape), wanted, rtol=0, atol=_tolerance(wanted, case, dtype))
    if case.blas is not None:
        np.testing.assert_allclose(room, wanted, rtol=0, atol=_tolerance(wanted, case, dtype))
    part = median(case.operations / mine / (operations / best) for best, mine, _ in times)
    ratio = median(other / mine for _, mine, other in times)
    speed = case.operations / median(mine for _, mine, _ in times) / 1e9
    return f"{case.name:<28}{speed:8.1f}{100 * part:8.0f} %{ratio:10.2f}   {cost}"


def _tolerance(wanted: Array, case: Case, dtype: str) -> float:
    return float(np.abs(wanted).max()) * np.finfo(dtype).eps * 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    dtype = "float32" if arguments.float32 else "float64"
    print(f"{dtype:<28}{'GFLOP/s':>8}{'of peak':>10}{'x peer':>10}   compile: ours + LLVM, IR text")
    for case in cases.ALL:
        if not arguments.words or any(word in case.name for word in arguments.words):
            print(report(case, dtype, arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
