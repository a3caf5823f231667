"""Underflow: how a thread treats results below the smallest normal number; some processors take 150 cycles for each.

A thread's mode is a number in the processor's control register. What is entered through `entered_with` has the mode
that a word of its own asks for; the pool hands it to its workers, so that results do not depend on who computes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sympile.compiler.code.target import Target
from sympile.compiler.records import dataclass


@dataclass(frozen=True, slots=True)
class Control:
    """The control register of a kind of processor: intrinsics that store it to and load it from memory."""

    store: str
    load: str
    flush: int  # the bits that make 0 of what underflows


# fmt: off
CONTROLS: Mapping[str, Control] = {  # others lose no time with such numbers
    "x86_64": Control("@llvm.x86.sse.stmxcsr", "@llvm.x86.sse.ldmxcsr", 0x8000),
}
# fmt: on


def control_of(target: Target) -> Control | None:
    return CONTROLS.get(target.triple.split("-")[0])


def flush_bits(target: Target) -> int:
    """What a word says that asks for zeros; 0 where there is no such mode."""
    control = control_of(target)
    return 0 if control is None else control.flush


def declarations(target: Target) -> str:
    control = control_of(target)
    return "" if control is None else f"declare void {control.store}(ptr)\ndeclare void {control.load}(ptr)"


def kept(target: Target, name: str) -> str:
    """Code that keeps the mode: %name is where, in memory."""
    control = control_of(target)
    stored = "" if control is None else f"  call void {control.store}(ptr %{name})\n"
    return f"  %{name} = alloca i32\n  store i32 0, ptr %{name}\n{stored}"


def set_from(target: Target, name: str) -> str:
    """Code that takes the mode from memory."""
    control = control_of(target)
    return "" if control is None else f"  call void {control.load}(ptr %{name})\n"


def entered_with(entry: str, inner: str, word: int, target: Target) -> str:
    """A function of a pointer to words that calls another one, its mode meanwhile with the bits of one of the words."""
    return f"""
{declarations(target)}
define void @{entry}(ptr %words) nounwind {target.attributes} {{
{kept(target, "before")}{kept(target, "during")}  %bits = load i32, ptr %before
  %word.at = getelementptr i64, ptr %words, i64 {word}
  %word = load i64, ptr %word.at
  %wanted = trunc i64 %word to i32
  %mode = or i32 %bits, %wanted
  store i32 %mode, ptr %during
{set_from(target, "during")}  call void @{inner}(ptr %words)
{set_from(target, "before")}  ret void
}}"""
