"""Work memory: what is in use at once never overlaps, sharing changes no bit, and a fit holds what its plan says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sympy as sp
from definition_cases import CASES
from definition_world import World, f
from hypothesis import given, settings
from hypothesis import strategies as st
from test_code_generation import random_outputs

import sympile as sm
from sympile.compiler.code.target import host
from sympile.compiler.graph.arithmetic import mul, power
from sympile.compiler.graph.definition import Definition, define, definitions, elementwise, read
from sympile.compiler.graph.node import postorder, target
from sympile.compiler.graph.rebuild import function
from sympile.compiler.passes.assemble import assemble
from sympile.compiler.passes.emit import make_layout
from sympile.compiler.passes.fuse import fuse
from sympile.compiler.passes.fusing.group import Fused, Group
from sympile.compiler.passes.schedule import schedule
from sympile.compiler.program import Program
from sympile.runtime.arena import Arena, Block, arena
from sympile.runtime.native import Layout, NativeProgram, address_of, aligned, laid_out

Array = npt.NDArray[Any]
SIZES = {"n": 37, "m": 11, "k": 3}


# ------------------------------------------------------------------------------------------------ blocks in an arena


def overlaps(blocks: Sequence[Block], found: Arena) -> list[tuple[int, int]]:
    """Pairs of blocks that share bytes while both are in use; what is placed wrongly by itself as (k, k)."""
    bad = []
    for k, (own, at) in enumerate(zip(blocks, found.offsets, strict=True)):
        if at < 0 or at + own.bytes > found.bytes or at % (64 if own.bytes > 64 else 8):
            bad.append((k, k))
        for j in range(k):
            other, there = blocks[j], found.offsets[j]
            together = own.first <= other.last and other.first <= own.last
            if together and at < there + other.bytes and there < at + own.bytes:
                bad.append((j, k))
    return bad


BLOCKS = st.lists(
    st.builds(
        lambda size, first, more: Block(size, first, first + more),
        st.integers(0, 5000),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS)
def test_blocks_never_meet(blocks: list[Block]) -> None:
    found = arena(blocks)
    assert overlaps(blocks, found) == []
    assert found == arena(blocks), "the same every time"
    assert found.bytes <= arena(blocks, share=False).bytes


@pytest.mark.parametrize(
    ("blocks", "total"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([Block(0, 0, 5)], 0, id="no byte"),
        pytest.param([Block(640, 0, 1), Block(640, 2, 3)], 640, id="one after the other"),
        pytest.param([Block(640, 0, 2), Block(640, 2, 3)], 1280, id="both in group 2"),
        pytest.param([Block(640, 0, 1), Block(320, 2, 3), Block(320, 2, 4)], 640, id="two in the place of one"),
        pytest.param([Block(8, 0, 0), Block(8, 0, 0), Block(640, 0, 0)], 704, id="numbers side by side"),
        pytest.param([Block(65, 0, 0), Block(65, 0, 0)], 256, id="whole cache lines"),
    ],
)
def test_how_much_an_arena_takes(blocks: list[Block], total: int) -> None:
    assert arena(blocks).bytes == total


def test_the_judge_can_fail() -> None:
    blocks = [Block(640, 0, 2), Block(640, 2, 3)]
    assert overlaps(blocks, Arena((0, 576), 1280)) == [(0, 1)]
    assert overlaps(blocks, Arena((0, 641), 1280)) == [(1, 1)]


# ------------------------------------------------------------------------------------------------ programs


def compiled(outputs: Sequence[Definition]) -> tuple[Program, Fused, dict[Definition, int]]:
    """The program, its groups, and the slots of its work arrays by tensor."""
    fused = fuse(list(outputs))
    loops = schedule(fused, host().core("double"))
    inputs = [t for t in definitions(outputs) if t.kind == "input"]
    program = assemble({f"out{k}": t for k, t in enumerate(outputs)}, inputs, fused, loops, "float64", host())
    slots = {array.name: array.slot for array in program.work}
    return program, fused, {t: slots[t.name] for t in fused.stored if t.name in slots}


def misuses(
    fused: Fused, slots: Mapping[Definition, int], layout: Layout, lengths: Mapping[str, int], program: Program
) -> list[str]:
    """Runs the groups in thought: who reads bytes that another tensor has been written to?"""
    count = {a.slot: 8 * int(np.prod([n.value(lengths) for n in a.shape], dtype=int)) for a in program.work}
    owner = np.full(layout.bytes, -1)
    bad = []

    def bytes_of(tensor: Definition) -> slice:
        slot = slots[tensor]
        return slice(layout.places[slot], layout.places[slot] + count[slot])

    for group in fused.groups:
        operands = [t for t in read_from_memory(group) if t in slots]
        bad += [f"{t.name} is read, but gone" for t in operands if (owner[bytes_of(t)] != slots[t]).any()]
        written = [t for t in group.stored if t in slots]
        for tensor in written:
            covered = set(owner[bytes_of(tensor)].tolist()) & {slots[t] for t in operands}
            bad += [f"{tensor.name} overwrites what its group reads" for _ in covered if not in_place(group, tensor)]
            owner[bytes_of(tensor)] = slots[tensor]
        bad += [f"{t.name} is overwritten at once" for t in written if (owner[bytes_of(t)] != slots[t]).any()]
    return bad


def read_from_memory(group: Group) -> list[Definition]:
    called = [o for t in group.results if t.kind == "call" for o in t.operands]
    reads = [target(n) for t in group.results if t.kind == "formula" for n in postorder([t.formula]) if n.op == "read"]
    return [t for t in dict.fromkeys([*called, *reads]) if t not in group.results]


def in_place(group: Group, tensor: Definition) -> bool:
    """Whether each element of a group is made of elements at the same place only."""
    reads = [
        n for t in group.results for n in postorder([t.formula]) if n.op == "read" and target(n).shape == tensor.shape
    ]
    return not any(t.reduced for t in group.results) and all(n.args == tensor.axes for n in reads)


def alone(program: Program, inputs: Mapping[str, Array], lengths: Mapping[str, int]) -> list[Array]:
    """The outputs where every work array has memory of its own."""
    table = np.zeros(program.length, np.uint64)
    arrays = {a.slot: np.ascontiguousarray(inputs[a.name], np.int64 if a.integer else float) for a in program.inputs}
    for array in (*program.work, *program.outputs):
        arrays[array.slot] = aligned([n.value(lengths) for n in array.shape], float)
        arrays[array.slot].fill(np.nan)
    words = max((p.value(lengths) for p in program.scratch_words), default=0)
    arrays[program.scratch], arrays[program.status] = np.zeros(words + 1), np.zeros(1, np.int32)
    for slot, array in arrays.items():
        table[slot] = address_of(array)
    for name, slot in program.sizes.items():
        table[slot] = lengths[name]
    NativeProgram(program).native.call(address_of(table))
    return [arrays[a.slot] for a in program.outputs]


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    w = World(SIZES, symbolic=True)
    outputs = CASES[name](w)
    assert judged(w, outputs) == []
    program, _, _ = compiled(outputs)
    inputs = {a.name: np.ascontiguousarray(w.values[a.name], np.int64 if a.integer else float) for a in program.inputs}
    shared = NativeProgram(program).run(inputs, w.lengths)
    for array, want in zip(program.outputs, alone(program, inputs, w.lengths), strict=True):
        assert shared[array.name].tobytes() == want.tobytes()


def judged(w: World, outputs: Sequence[Definition]) -> list[str]:
    """All that is wrong with the plan of these definitions."""
    program, fused, slots = compiled(outputs)
    return misuses(fused, slots, laid_out(program, w.lengths), w.lengths, program)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(random_outputs())
def test_random_programs(made: tuple[World, list[Definition]]) -> None:
    w, outputs = made
    assert judged(w, outputs) == []


def chain(w: World, length: int) -> Definition:
    """Layers of tanh: each is read by the next one only."""
    tensor, k = w.input("x", "n m"), w.input("A", "m m")
    for _ in range(length):
        e, i, j = w.index("n"), w.index("m"), w.index("m")
        product = mul(read(k, i, j), function("tanh", read(tensor, e, j)))
        tensor = define([e, i], [j], "sum", product)
    return tensor


def test_a_chain_needs_two_rooms() -> None:
    w = World(SIZES, symbolic=True)
    program, _, _ = compiled([chain(w, 6)])
    layer = -(-8 * SIZES["n"] * SIZES["m"] // 64) * 64
    wide = [room for room in program.rooms if "n" in str(room.arrays[0].shape[0])]
    assert sum(len(room.arrays) for room in wide) >= 9 and any(len(room.arrays) > 1 for room in wide)
    assert laid_out(program, w.lengths).bytes <= 2 * layer + 8 * SIZES["m"] ** 2 + 128


def test_numbers_are_not_written_over_those_still_to_be_read() -> None:
    """sum(V) is read after the logarithm beside it has been written, in one group of single numbers."""
    V, (i, j, k) = sp.IndexedBase("V", shape=(3,)), sm.indices("i j k")
    inner = sm.LogSumExp(sm.LogSumExp(sp.tanh(j), (k, 0, 2)), (j, 0, 2))
    model = sm.compile(sp.Sum(V[i] * inner, (i, 0, 2)), V)
    expected = 6 * np.log(3 * np.exp(np.tanh(np.arange(3))).sum())
    np.testing.assert_allclose(model.forward({V: [1.0, 2.0, 3.0]}), expected, rtol=1e-14)


def test_the_judge_of_programs_can_fail() -> None:
    w = World(SIZES, symbolic=True)
    program, fused, slots = compiled([chain(w, 6)])
    layout = laid_out(program, w.lengths)
    everything_at_once = Layout(dict.fromkeys(layout.places, 0), layout.bytes)
    assert misuses(fused, slots, everything_at_once, w.lengths, program)


# ------------------------------------------------------------------------------------------------ a fit

x, W, v = sp.MatrixSymbol("x", 100, 1), sp.MatrixSymbol("W", 400, 100), sp.MatrixSymbol("v", 400, 1)
y = sp.Symbol("y")

PEAK = """
import gc, sys
import numpy as np, sympy as sp, sympile as sm
from test_memory import network, x, y

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

model = network()
model.fit({x: np.ones((64, 100)), y: np.ones(64)}, epochs=2, batch_size=32, verbose=False)
gc.collect()
before = status("VmRSS")
data = {x: np.random.default_rng(0).normal(size=(50_000, 100)), y: np.ones(50_000)}
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak counts from here
model.fit(data, epochs=1, batch_size=int(sys.argv[1]) or None, verbose=False)
print(status("VmHWM") - before, model.stages["memory"].split()[-1].replace(",", ""))
"""


def network() -> sm.Model:
    return sm.compile((sm.dot(v, sm.tanh(W * x)) - y) ** 2, [W, v])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc to tell how much memory is used")
@pytest.mark.parametrize("batch", [0, 5000])
def test_a_fit_holds_what_its_plan_says(batch: int) -> None:
    """The peak of a process's memory grows by data and plan, and by at most 5 % more."""
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parent / "src")])
    command = [sys.executable, "-c", PEAK, str(batch)]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    grown, planned = map(int, ran.stdout.split())
    assert planned > 70e6, "large enough to see"
    assert 0.9 * planned < grown <= 1.05 * planned, f"{grown:,} bytes, planned {planned:,}"


def test_the_plan_before_a_fit_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    model = network()
    model.explain("memory")
    before = capsys.readouterr().out
    assert "8×batch×400" in before and "total" not in before
    model.fit({x: np.ones((500, 100)), y: np.ones(500)}, epochs=1, batch_size=50, optimizer=sm.sgd(0.1), verbose=False)
    model.explain("memory")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["data", "x", "500×100", "400,000"] in rows and ["batch", "x", "50×100", "40,000"] in rows
    assert ["gradient", "W", "400×100", "320,000"] in rows and not any(row[0] == "states" for row in rows)
    assert rows[-1][0] == "total" and rows[-2][:3] == ["work", "in", "all"]


# ------------------------------------------------------------------------------------------------ in the memory of results


def _columns(w: World) -> tuple[Definition, Definition]:
    """Exponentials, which both a sum down the columns and the result read."""
    i, j, r = w.index("m"), w.index("n"), w.index("m")
    power_of = elementwise([i, j], f("exp", read(w.input("x", "m n"), i, j)))
    total = define([j], [r], "sum", read(power_of, r, j))
    return power_of, elementwise([i, j], mul(read(power_of, i, j), power(read(total, j), -1)))


@pytest.mark.parametrize("also", [False, True])
@pytest.mark.parametrize("watches", [False, True])
def test_who_is_a_guest(watches: bool, also: bool) -> None:
    """What only a result reads last lies in its memory, unless that may be an operand's, or it is a result itself."""
    w = World({"m": 5, "n": 40}, True)
    powers, shares = _columns(w)
    outputs = [shares, powers] if also else [shares]
    fused, x = fuse(outputs), w.inputs[0]
    layout = make_layout([x], fused, [fused.outputs[o] for o in outputs], x if watches else None)
    (stored,) = [t for t in fused.stored if t.formula.op == "exp"]
    same = layout.tensors[stored] == layout.tensors[fused.outputs[shares]]
    assert same == (not watches and not also)
