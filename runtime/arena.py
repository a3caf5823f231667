"""All work memory of a program in one piece: where each room lies, so that rooms in use at once never overlap."""

from __future__ import annotations

from collections.abc import Sequence

from sympile.compiler.records import dataclass

ALIGN = 64  # bytes: a cache line, and the widest vector
TINY = 64  # bytes: up to here sharing saves nothing


@dataclass(frozen=True, slots=True)
class Block:
    """Memory of some bytes that the groups `first` to `last` use."""

    bytes: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether both are in use at once."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Arena:
    """Where each block starts, in bytes, and how many there are in all."""

    offsets: tuple[int, ...]
    bytes: int


def arena(blocks: Sequence[Block], share: bool = True) -> Arena:
    """The largest first, each at the lowest place that is free while it is in use (Pisarchyk and Lee 2020, 5.2)."""
    offsets = [0] * len(blocks)
    end = 0
    for number, block in enumerate(blocks):  # tiny blocks, mostly single numbers, lie side by side
        if block.bytes <= TINY:
            offsets[number] = end
            end += -(-block.bytes // 8) * 8
    base = end = _aligned(end)
    placed: list[tuple[int, Block]] = []
    for number in sorted(range(len(blocks)), key=lambda n: -blocks[n].bytes):
        block = blocks[number]
        if block.bytes <= TINY:
            break
        start = _lowest(block, placed, base) if share else end
        offsets[number] = start
        placed.append((start, block))
        end = max(end, start + _aligned(block.bytes))
    return Arena(tuple(offsets), end)


def _lowest(block: Block, placed: Sequence[tuple[int, Block]], base: int) -> int:
    """The lowest start at which a block meets no placed one that is in use with it."""
    start = base
    for other, there in sorted(((at, b) for at, b in placed if b.meets(block)), key=lambda pair: pair[0]):
        if other - start >= block.bytes:
            break
        start = max(start, other + _aligned(there.bytes))
    return start


def _aligned(count: int) -> int:
    return -(-count // ALIGN) * ALIGN
