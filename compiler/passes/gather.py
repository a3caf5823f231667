"""Copying rows into a batch: row r of the buffer is row order[r] of the source; a part of the training loop."""

from __future__ import annotations

from sympile.compiler.code.target import Target
from sympile.compiler.program import POOL_SYMBOL
from sympile.compiler.records import dataclass

AHEAD = 4  # rows: so far ahead long rows are asked for, which do not follow each other in memory


@dataclass(frozen=True, slots=True)
class Copy:
    """How rows of up to so many words of 4 bytes are copied: by one piece, or by two that may overlap."""

    most: int
    words: int  # of a piece
    pieces: int

    @property
    def kind(self) -> str:
        return {1: "i32", 2: "i64"}.get(self.words, f"<{self.words} x i32>")

    @property
    def label(self) -> str:
        return f"to.{self.most}"


# Whole pieces from the beginning and from the end of a row need no masks, which cost more than what is copied twice.
COPIES = (
    Copy(most=1, words=1, pieces=1),
    Copy(most=2, words=2, pieces=1),
    Copy(most=4, words=2, pieces=2),
    Copy(most=8, words=4, pieces=2),
    Copy(most=16, words=8, pieces=2),
    Copy(most=32, words=16, pieces=2),
)


def gather(target: Target) -> str:
    """The functions that copy rows, and one chunk of them for a region of threads."""
    return f"""
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define internal void @gather(ptr noalias %source, ptr noalias %buffer, i64 %words, ptr noalias %order, i64 %rows)
    nounwind noinline {target.attributes} {{
entry:
{_choice()}
{"".join(_short_rows(copy) for copy in COPIES)}
{_LONG_ROWS}
out:
  ret void
}}{_part(target)}"""


def _choice() -> str:
    """Which copy fits the length of the rows."""
    lines = []
    for copy in COPIES:
        lines.append(f"  %{copy.label} = icmp sle i64 %words, {copy.most}")
        lines.append(f"  br i1 %{copy.label}, label %{copy.label}.row, label %over.{copy.most}")
        lines.append(f"over.{copy.most}:")
    return "\n".join([*lines, "  br label %row"])


def _short_rows(copy: Copy) -> str:
    """One row a turn, without a loop within."""
    name, kind = copy.label, copy.kind
    second = f"""  %{name}.end = sub i64 %words, {copy.words}
  %{name}.a2 = getelementptr i32, ptr %{name}.from, i64 %{name}.end
  %{name}.b2 = getelementptr i32, ptr %{name}.to, i64 %{name}.end
  %{name}.v2 = load {kind}, ptr %{name}.a2, align 4
  store {kind} %{name}.v2, ptr %{name}.b2, align 4
"""
    return f"""{name}.row:
  %{name}.r = phi i64 [0, %{_before(copy)}], [%{name}.next, %{name}.row]
  %{name}.o.p = getelementptr i64, ptr %order, i64 %{name}.r
  %{name}.o = load i64, ptr %{name}.o.p
  %{name}.from.at = mul i64 %{name}.o, %words
  %{name}.to.at = mul i64 %{name}.r, %words
  %{name}.from = getelementptr i32, ptr %source, i64 %{name}.from.at
  %{name}.to = getelementptr i32, ptr %buffer, i64 %{name}.to.at
  %{name}.v = load {kind}, ptr %{name}.from, align 4
  store {kind} %{name}.v, ptr %{name}.to, align 4
{second if copy.pieces == 2 else ""}  %{name}.next = add i64 %{name}.r, 1
  %{name}.again = icmp ult i64 %{name}.next, %rows
  br i1 %{name}.again, label %{name}.row, label %out
"""


def _before(copy: Copy) -> str:
    """The block from which a copy is entered."""
    number = COPIES.index(copy)
    return "entry" if number == 0 else f"over.{COPIES[number - 1].most}"


_LONG_ROWS = f"""row:
  %r = phi i64 [0, %over.{COPIES[-1].most}], [%r.next, %row.end]
  %o.p = getelementptr i64, ptr %order, i64 %r
  %o = load i64, ptr %o.p
  %later = add i64 %r, {AHEAD}
  %last = sub i64 %rows, 1
  %ahead = call i64 @llvm.smin.i64(i64 %later, i64 %last)
  %ahead.p = getelementptr i64, ptr %order, i64 %ahead
  %ahead.o = load i64, ptr %ahead.p
  %from.at = mul i64 %o, %words
  %ahead.at = mul i64 %ahead.o, %words
  %to.at = mul i64 %r, %words
  %from = getelementptr i32, ptr %source, i64 %from.at
  %coming = getelementptr i32, ptr %source, i64 %ahead.at
  %to = getelementptr i32, ptr %buffer, i64 %to.at
  %end = sub i64 %words, 16
  br label %block
block:
  %w = phi i64 [0, %row], [%w.next, %block]
  %a = getelementptr i32, ptr %from, i64 %w
  %b = getelementptr i32, ptr %to, i64 %w
  %c = getelementptr i32, ptr %coming, i64 %w
  call void @llvm.prefetch.p0(ptr %c, i32 0, i32 3, i32 1)
  %v = load <16 x i32>, ptr %a, align 4
  store <16 x i32> %v, ptr %b, align 4
  %w.next = add i64 %w, 16
  %in = icmp slt i64 %w.next, %end
  br i1 %in, label %block, label %row.end
row.end:
  %ta = getelementptr i32, ptr %from, i64 %end
  %tb = getelementptr i32, ptr %to, i64 %end
  %tc = getelementptr i32, ptr %coming, i64 %end
  call void @llvm.prefetch.p0(ptr %tc, i32 0, i32 3, i32 1)
  %tv = load <16 x i32>, ptr %ta, align 4
  store <16 x i32> %tv, ptr %tb, align 4
  %r.next = add i64 %r, 1
  %again = icmp ult i64 %r.next, %rows
  br i1 %again, label %row, label %out
"""


def _part(target: Target) -> str:
    """One chunk of a region: some rows of a batch, for the words of a data array and the order of the rows."""
    return f"""
@{POOL_SYMBOL} = external global ptr
define internal void @gather.part(ptr noalias %words, ptr noalias %order, i64 %first, i64 %last, i64 %number)
    nounwind noinline {target.attributes} {{
  %source = load ptr, ptr %words
  %buffer.p = getelementptr i64, ptr %words, i64 1
  %buffer = load ptr, ptr %buffer.p
  %row.p = getelementptr i64, ptr %words, i64 2
  %row = load i64, ptr %row.p
  %skipped = mul i64 %first, %row
  %to = getelementptr i32, ptr %buffer, i64 %skipped
  %from = getelementptr i64, ptr %order, i64 %first
  %rows = sub i64 %last, %first
  call void @gather(ptr %source, ptr %to, i64 %row, ptr %from, i64 %rows)
  ret void
}}"""
