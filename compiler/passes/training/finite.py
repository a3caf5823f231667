"""Whether all numbers of an array are finite, asked before a step changes anything; a part of the training loop."""

from __future__ import annotations

from sympile.compiler.code.target import Target

CHUNK = 16  # gradients are padded with zeros to a multiple of this many numbers
SUMS = 4  # chunks a turn, each into a sum of its own: the next one need not wait for this one


def finite(element: str, target: Target) -> str:
    """The function that tells whether no number of a padded array is nan or infinite: 0 * x is 0 or nan."""
    kind = f"<{CHUNK} x {element}>"
    suffix = f"v{CHUNK}{'f64' if element == 'double' else 'f32'}"
    starts = [f"  %s{k} = phi {kind} [zeroinitializer, %entry], [%s{k}.next, %turn]" for k in range(SUMS)]
    turns = [line for k in range(SUMS) for line in _grown(f"%s{k}", f"%i{k}", element)]
    places = [f"  %i{k} = add i64 %i, {k * CHUNK}" for k in range(SUMS)]
    joined = [f"  %t{k} = fadd {kind} %t{k - 1 if k > 1 else ''}, %s{k}" for k in range(1, SUMS)]
    return "\n".join(
        [
            _HEAD.format(element=element, kind=kind, suffix=suffix, attributes=target.attributes, turn=SUMS * CHUNK),
            *starts,
            _LOOK,
            *places,
            *turns,
            _REST.format(kind=kind, turn=SUMS * CHUNK),
            *_grown("%t", "%j", element),
            _AGAIN.format(chunk=CHUNK),
            *joined,
            _END.format(element=element, kind=kind, suffix=suffix, last=SUMS - 1),
        ]
    )


def _grown(total: str, place: str, element: str) -> list[str]:
    """A chunk added to a sum."""
    kind = f"<{CHUNK} x {element}>"
    suffix = f"v{CHUNK}{'f64' if element == 'double' else 'f32'}"
    return [
        f"  {total}.p = getelementptr {element}, ptr %x, i64 {place}",
        f"  {total}.v = load {kind}, ptr {total}.p, align 8",
        f"  {total}.next = call {kind} @llvm.fma.{suffix}({kind} {total}.v, {kind} zeroinitializer, {kind} {total})",
    ]


_HEAD = """
declare {element} @llvm.vector.reduce.fadd.{suffix}({element}, {kind})
declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})
define internal i1 @finite(ptr noalias %x, i64 %n) nounwind {attributes} {{
entry:
  %over = srem i64 %n, {turn}
  %most = sub i64 %n, %over
  br label %look
look:
  %i = phi i64 [0, %entry], [%i.next, %turn]"""

_LOOK = """  %more = icmp slt i64 %i, %most
  br i1 %more, label %turn, label %rest
turn:"""

_REST = """  %i.next = add i64 %i, {turn}
  br label %look
rest:
  %j = phi i64 [%i, %look], [%j.next, %one]
  %t = phi {kind} [%s0, %look], [%t.next, %one]
  %left = icmp slt i64 %j, %n
  br i1 %left, label %one, label %done
one:"""

_AGAIN = """  %j.next = add i64 %j, {chunk}
  br label %rest
done:"""

_END = """  %sum = call reassoc {element} @llvm.vector.reduce.fadd.{suffix}({element} 0.0, {kind} %t{last})
  %ok = fcmp oeq {element} %sum, 0.0
  ret i1 %ok
}}"""
