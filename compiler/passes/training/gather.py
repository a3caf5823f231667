"""Copying rows into a batch: row r of the buffer is row order[r] of the source; a part of the training loop."""

from __future__ import annotations

from sympile.compiler.code.target import Target
from sympile.compiler.program import POOL_SYMBOL
from sympile.compiler.records import dataclass

AHEAD = 4  # rows: so far ahead long rows are asked for, which do not follow each other in memory


@dataclass(frozen=True, slots=True)
class Copy:
    """How rows of at most so many words (4 bytes) as all pieces have are copied: the last piece ends where they do."""

    pieces: tuple[int, ...]  # words, each at the end of the one before it but for the last, which may overlap it
    ahead: int = 0  # rows: so far ahead they are asked for

    @property
    def most(self) -> int:
        return sum(self.pieces)

    @property
    def label(self) -> str:
        return f"to.{self.most}"

    def starts(self) -> list[int]:
        """Where the pieces begin, but for the last one."""
        return [sum(self.pieces[:k]) for k in range(len(self.pieces) - 1)]


SINGLE = {1: "i32", 2: "i64"}  # words: rows that are one number
TURNS = 4  # of those a turn
# Pieces need no masks, which cost more than what is copied twice; and short pieces rarely lie on two cache lines.
COPIES = (
    *(Copy(pieces) for pieces in ((2, 2), (4, 4), (8, 4), (8, 8), (16, 4), (16, 8), (16, 16))),
    Copy((16, 16, 8), ahead=12),
)


def gather(target: Target) -> str:
    """The functions that copy rows, and one chunk of them for a region of threads."""
    return f"""
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define internal void @gather(ptr noalias %source, ptr noalias %buffer, i64 %words, ptr noalias %order, i64 %rows)
    nounwind noinline {target.attributes} {{
entry:
  %last = sub i64 %rows, 1
{_choice()}
{"".join(map(_single_words, SINGLE))}
{"".join(_short_rows(copy) for copy in COPIES)}
{_LONG_ROWS}
out:
  ret void
}}{_part(target)}"""


def _choice() -> str:
    """Which copy fits the length of the rows."""
    cases, shortest = [f"    i64 {words}, label %to.{words}" for words in SINGLE], max(SINGLE) + 1
    for copy in COPIES:
        cases += [f"    i64 {words}, label %{copy.label}" for words in range(shortest, copy.most + 1)]
        shortest = copy.most + 1
    return "\n".join(["  switch i64 %words, label %row [", *cases, "  ]"])


def _single_words(words: int) -> str:
    """Rows of one number: some a turn, so that little but loads and stores is left of it."""
    name, kind = f"to.{words}", SINGLE[words]
    some = "".join(_number(f"{name}.{k}", kind, f"%{name}.r", k) for k in range(TURNS))
    return f"""{name}:
  %{name}.whole = and i64 %rows, -{TURNS}
  br label %{name}.look
{name}.look:
  %{name}.r = phi i64 [0, %{name}], [%{name}.next, %{name}.some]
  %{name}.more = icmp ult i64 %{name}.r, %{name}.whole
  br i1 %{name}.more, label %{name}.some, label %{name}.left
{name}.some:
{some}  %{name}.next = add i64 %{name}.r, {TURNS}
  br label %{name}.look
{name}.left:
  %{name}.s = phi i64 [%{name}.whole, %{name}.look], [%{name}.s.next, %{name}.one]
  %{name}.again = icmp ult i64 %{name}.s, %rows
  br i1 %{name}.again, label %{name}.one, label %out
{name}.one:
{_number(f"{name}.s", kind, f"%{name}.s", 0)}  %{name}.s.next = add i64 %{name}.s, 1
  br label %{name}.left
"""


def _number(own: str, kind: str, first: str, beyond: int) -> str:
    return f"""  %{own}.r = add i64 {first}, {beyond}
  %{own}.o.p = getelementptr i64, ptr %order, i64 %{own}.r
  %{own}.o = load i64, ptr %{own}.o.p
  %{own}.a = getelementptr {kind}, ptr %source, i64 %{own}.o
  %{own}.b = getelementptr {kind}, ptr %buffer, i64 %{own}.r
  %{own}.v = load {kind}, ptr %{own}.a, align 4
  store {kind} %{own}.v, ptr %{own}.b, align 4
"""


def _short_rows(copy: Copy) -> str:
    """One row a turn, without a loop within."""
    name = copy.label
    lines = f"""{name}:
  br label %{name}.row
{name}.row:
  %{name}.r = phi i64 [0, %{name}], [%{name}.next, %{name}.row]
  %{name}.o.p = getelementptr i64, ptr %order, i64 %{name}.r
  %{name}.o = load i64, ptr %{name}.o.p
  %{name}.from.at = mul i64 %{name}.o, %words
  %{name}.to.at = mul i64 %{name}.r, %words
  %{name}.from = getelementptr i32, ptr %source, i64 %{name}.from.at
  %{name}.to = getelementptr i32, ptr %buffer, i64 %{name}.to.at
  %{name}.end = sub i64 %words, {copy.pieces[-1]}
"""
    starts: list[int | str] = [*copy.starts(), f"%{name}.end"]
    for number, (start, words) in enumerate(zip(starts, copy.pieces, strict=True)):
        lines += _piece(f"{name}.{number}", name, start, words)
    return f"""{lines}{_asked_for(copy) if copy.ahead else ""}  %{name}.next = add i64 %{name}.r, 1
  %{name}.again = icmp ult i64 %{name}.next, %rows
  br i1 %{name}.again, label %{name}.row, label %out
"""


def _piece(own: str, name: str, start: int | str, words: int) -> str:
    kind = {1: "i32", 2: "i64"}.get(words, f"<{words} x i32>")
    return f"""  %{own}.a = getelementptr i32, ptr %{name}.from, i64 {start}
  %{own}.b = getelementptr i32, ptr %{name}.to, i64 {start}
  %{own}.v = load {kind}, ptr %{own}.a, align 4
  store {kind} %{own}.v, ptr %{own}.b, align 4
"""


def _asked_for(copy: Copy) -> str:
    """The lines of a row that comes later."""
    name = copy.label
    lines = f"""  %{name}.later = add i64 %{name}.r, {copy.ahead}
  %{name}.ahead = call i64 @llvm.smin.i64(i64 %{name}.later, i64 %last)
  %{name}.ahead.p = getelementptr i64, ptr %order, i64 %{name}.ahead
  %{name}.ahead.o = load i64, ptr %{name}.ahead.p
  %{name}.ahead.at = mul i64 %{name}.ahead.o, %words
  %{name}.coming = getelementptr i32, ptr %source, i64 %{name}.ahead.at
"""
    for start in [*range(0, copy.most, 16), f"%{name}.end"]:
        own = f"{name}.c{str(start).lstrip('%')}"
        lines += f"  %{own} = getelementptr i32, ptr %{name}.coming, i64 {start}\n"
        lines += f"  call void @llvm.prefetch.p0(ptr %{own}, i32 0, i32 3, i32 1)\n"
    return lines


_LONG_ROWS = f"""row:
  %r = phi i64 [0, %entry], [%r.next, %row.end]
  %o.p = getelementptr i64, ptr %order, i64 %r
  %o = load i64, ptr %o.p
  %later = add i64 %r, {AHEAD}
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
