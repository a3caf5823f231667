"""LLVM IR as text: functions, integers, memory; quick, and the one place that numbers values and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sympile.compiler.code.blocks import Either, Loop
from sympile.compiler.code.module import PLAIN, Module, symbol
from sympile.compiler.code.value import Integer, Value, i64, truth, typed
from sympile.compiler.errors import InternalError

__all__ = ["Either", "Function", "Integer", "Loop", "Module", "Value", "i64", "truth"]

LONG_BLOCK = 5000  # lines
OPAQUE = "@llvm.launder.invariant.group.p0"  # the same address, without an instruction
HIDDEN = "@llvm.expect.i64"  # the same number, without an instruction
UNLIKELY = '!{!"branch_weights", i32 1, i32 4000}'
OURS = re.compile(r"(v|b)\d+\Z|entry\Z")  # names that the writer itself gives to values and labels


class Function:
    """One function, written from top to bottom.

    Args:
        module: where it belongs.
        name: any text.
        parameters: pairs of a type with its attributes and a name: [("ptr noalias", "x"), ("i64", "n")].
        result: type of what it returns.
        linkage: "" (others see it) or "internal".
        attributes: function attributes; those of the target are added.

    Example:
        >>> f = Function(Module(TARGETS["avx2"]), "twice", [("i64", "n")], result="i64")
        >>> f.ret(f.mul(f.arguments[0], 2))
    """

    __slots__ = (
        "_allocas", "_begun", "_count", "_known", "_lines", "_near", "_rests", "_written",
        "arguments", "block", "head", "module", "name", "result", "spread",
    )  # fmt: skip

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[tuple[str, str]] = (),
        result: str = "void",
        linkage: str = "",
        attributes: str = "nounwind",
    ) -> None:
        if name in module.functions:
            raise InternalError(f"two functions are called {name}")
        self.module, self.name, self.result = module, name, result
        self.arguments = [Value(_argument_name(word), _type_alone(kind)) for kind, word in parameters]
        listed = ", ".join(f"{kind} {value.text}" for (kind, _), value in zip(parameters, self.arguments, strict=True))
        words = ["define", linkage, result, f"{symbol(name)}({listed})", attributes, module.target.attributes, "{"]
        self.head = " ".join(word for word in words if word)
        self.block = "entry"
        self._count, self._lines, self._allocas = 0, list[str](), list[str]()
        self._written = 0  # loops so far
        self._begun = 0  # the line with which the block began
        self.spread: dict[str, Value] = {}  # numbers that all lanes of a vector hold, which is there wherever they are
        self._known: dict[str, Value] = {}  # what the block has computed of integers and addresses
        self._rests: dict[str, int] = {}  # what divisions by fixed numbers leave: it is less than these
        self._near: dict[tuple[str, str], int] = {}  # a, b with b - a less than a number
        module.functions[name] = self

    def text(self) -> str:
        """The function as LLVM IR."""
        return "\n".join([self.head, "entry:", *self._allocas, *self._lines, "}"])

    # ------------------------------------------------------------------------------------------ instructions

    def emit(self, text: str, kind: str) -> Value:
        """One instruction with a result of type `kind`."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {text}")
        return Value(name, kind)

    def once(self, text: str, kind: str) -> Value:
        """As `emit`, where the result depends on the operands alone: what the block has is not computed again."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self.emit(text, kind)
        return found

    def do(self, text: str) -> None:
        """One instruction without a result."""
        self._lines.append("  " + text)

    def comment(self, text: str) -> None:
        """A line for the reader of `explain("llvm")`."""
        self._lines.append("  ; " + text.replace("\n", " "))

    def call(self, result: str, name: str, *values: Value, attributes: str = "") -> Value:
        """Calls `@name`, and declares it unless the module defines it; the value of a void call has no text."""
        self.module.declare(result, name, [value.type for value in values])
        text = f"call {result} {name}({', '.join(map(typed, values))}) {attributes}".rstrip()
        if result != "void":
            return self.emit(text, result)
        self.do(text)
        return Value("", "void")

    def ret(self, value: Value | None = None) -> None:
        """Returns from the function; nothing may follow."""
        self.do("ret void" if value is None else f"ret {typed(value)}")

    # ---------------------------------------------------------------------- integers (i64); Python ints are folded

    def add(self, a: Integer, b: Integer) -> Integer:
        """a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return b if a == 0 else a if b == 0 else self._integer("add nsw", a, b)

    def sub(self, a: Integer, b: Integer) -> Integer:
        """a - b."""
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        if b == 0:
            return a
        less = self._integer("sub nsw", a, b)
        if isinstance(less, Value) and isinstance(b, Value) and b.text in self._rests:
            self._near[less.text, i64(a).text] = self._rests[b.text]
        return less

    def mul(self, a: Integer, b: Integer) -> Integer:
        """a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        return b if a == 1 else a if b == 1 else self._integer("mul nsw", a, b)

    def div(self, a: Integer, b: Integer) -> Integer:
        """a / b, cut towards zero."""
        if isinstance(a, int) and isinstance(b, int):
            return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return a if b == 1 else self._integer("sdiv", a, b)

    def rem(self, a: Integer, b: Integer) -> Integer:
        """What `div` leaves, with the sign of a."""
        if isinstance(a, int) and isinstance(b, int):
            return abs(a) % abs(b) * (-1 if a < 0 else 1)
        if b == 1:
            return 0
        rest = self._integer("srem", a, b)
        if isinstance(rest, Value) and isinstance(b, int):
            self._rests[rest.text] = abs(b)
        return rest

    def min(self, a: Integer, b: Integer) -> Integer:
        """The smaller of two integers."""
        return min(a, b) if isinstance(a, int) and isinstance(b, int) else self._extreme("@llvm.smin.i64", a, b)

    def max(self, a: Integer, b: Integer) -> Integer:
        """The larger of two integers."""
        return max(a, b) if isinstance(a, int) and isinstance(b, int) else self._extreme("@llvm.smax.i64", a, b)

    def compare(self, predicate: str, a: Integer, b: Integer) -> Value:
        """The truth (i1) of a comparison: eq, ne, slt, sle, sgt, sge, ult, ..."""
        if isinstance(a, int) and isinstance(b, int) and predicate in FOLDED:
            return truth(FOLDED[predicate](a, b))
        return self.once(f"icmp {predicate} i64 {i64(a).text}, {i64(b).text}", "i1")

    def both(self, a: Value, b: Value) -> Value:
        """The conjunction of two truths (i1)."""
        return self.emit(f"and i1 {a.text}, {b.text}", "i1")

    def any(self, a: Value, b: Value) -> Value:
        """The disjunction of two truths (i1)."""
        return self.emit(f"or i1 {a.text}, {b.text}", "i1")

    def negated(self, a: Value) -> Value:
        """The opposite truth (i1)."""
        return self.emit(f"xor i1 {a.text}, true", "i1")

    def pick(self, condition: Value, a: Value, b: Value) -> Value:
        """a where the condition (i1, or a mask) holds, else b."""
        return self.emit(f"select {typed(condition)}, {typed(a)}, {typed(b)}", a.type)

    def _extreme(self, name: str, a: Integer, b: Integer) -> Value:
        self.module.declare("i64", name, ["i64", "i64"])
        return self.once(f"call i64 {name}({typed(i64(a))}, {typed(i64(b))})", "i64")

    def _integer(self, operation: str, a: Integer, b: Integer) -> Value:
        return self.once(f"{operation} i64 {i64(a).text}, {i64(b).text}", "i64")

    # ------------------------------------------------------------------------------------------------ memory

    def gep(self, element: str, pointer: Value, index: Integer, inside: bool = True) -> Value:
        """The address of `pointer[index]`, counted in elements; False if it may lie outside of what `pointer` names."""
        if index == 0:
            return pointer
        words = "getelementptr inbounds" if inside else "getelementptr"
        return self.once(f"{words} {element}, ptr {pointer.text}, i64 {i64(index).text}", "ptr")

    def beyond(self, element: str, pointer: Value, count: int, inside: bool = True) -> Value:
        """The address `count` elements after one that a loop changes; loop strength reduction follows that one only."""
        if count != 0:
            self.module.declare("ptr", OPAQUE, ["ptr"])
            pointer = self.once(f"call ptr {OPAQUE}(ptr {pointer.text})", "ptr")
        return self.gep(element, pointer, count, inside)

    def load(self, kind: str, pointer: Value, align: int = 0) -> Value:
        """The value at an address; align 0 means natural for the type."""
        return self.emit(f"load {kind}, ptr {pointer.text}{_aligned(align)}", kind)

    def store(self, value: Value, pointer: Value, align: int = 0) -> None:
        """Writes a value to an address."""
        self.do(f"store {typed(value)}, ptr {pointer.text}{_aligned(align)}")

    def alloca(self, kind: str, count: int = 1, align: int = 64) -> Value:
        """Room on the stack for `count` of a type, reserved once on entry."""
        room = self._fresh("ptr")
        self._allocas.append(f"  {room.text} = alloca {kind}, i64 {count}, align {align}")
        return room

    def atomic_load(self, kind: str, pointer: Value, order: str = "monotonic") -> Value:
        """Reads a flag that another thread may set."""
        return self.emit(f"load atomic {kind}, ptr {pointer.text} {order}, align {int(kind[1:]) // 8}", kind)

    def atomic_store(self, value: Value, pointer: Value, order: str = "monotonic") -> None:
        """Writes a counter that another thread may read."""
        self.do(f"store atomic {typed(value)}, ptr {pointer.text} {order}, align {int(value.type[1:]) // 8}")

    # ---------------------------------------------------------------------------------------------- branches

    @contextmanager
    def loop(
        self, start: Integer, stop: Integer, step: Integer = 1, carry: Sequence[Value] = (), followed: bool = True
    ) -> Iterator[Loop]:
        """`for index in range(start, stop, step)`, with values carried from turn to turn.

        Inside, read `loop.index` and `loop.carried` and set `loop.next`; afterwards `loop.results` are the last ones
        (`carry` itself where there was no turn). The step is positive. What turns once is written without a loop, and
        what turns once at most, as the end of an axis behind whole vectors, as a branch.
        """
        entered = self.compare("slt", start, stop)
        if self._turns_once(start, stop, step):
            loop = Loop(index=start, carried=list(carry))
            if entered.text == "true":
                yield loop
                loop.results = _next(loop)
                return
            before = self.block
            with self.when(entered):
                yield loop
                last = self.block
            loop.results = self.merge([(before, carry), (last, _next(loop))])
            return
        before, body, done = self.block, self.label(), self.label()
        index = self._fresh("i64")
        loop = Loop(index=index, carried=[self._fresh(value.type) for value in carry])
        self.do(f"br label %{body}" if entered.text == "true" else f"br {typed(entered)}, label %{body}, label %{done}")
        hole, inner = self._open(body), self._written
        yield loop
        following = _next(loop)
        after = self._integer("add nsw", index, step)
        if self._written > inner or not followed:
            after = self._hidden(after)
        self._written += 1
        last = self.block
        self.do(f"br {typed(self.compare('slt', after, stop))}, label %{body}, label %{done}")
        entries = [(index, i64(start), after), *zip(loop.carried, carry, following, strict=True)]
        self._lines[hole] = "\n".join(
            f"  {now.text} = phi {now.type} [{first.text}, %{before}], [{later.text}, %{last}]"
            for now, first, later in entries
        )
        self.begin(done)
        ways = [(before, carry), (last, following)] if entered.text != "true" else [(last, following)]
        loop.results = self.merge(ways)

    def _hidden(self, number: Value) -> Value:
        """The same number, which loop strength reduction cannot follow."""
        self.module.declare("i64", HIDDEN, ["i64", "i64"])
        return self.once(f"call i64 {HIDDEN}({typed(number)}, i64 0)", "i64")

    def _turns_once(self, start: Integer, stop: Integer, step: Integer) -> bool:
        """Whether a loop is known to turn once at most."""
        if not isinstance(step, int):
            return False
        if isinstance(start, int) and isinstance(stop, int):
            return stop - start <= step
        return self._near.get((i64(start).text, i64(stop).text), step + 1) <= step

    @contextmanager
    def when(self, condition: Value, unlikely: bool = False) -> Iterator[None]:
        """What stands inside happens only if the condition (i1) holds."""
        yes, done = self.label(), self.label()
        self.branch(condition, yes, done, unlikely)
        self.begin(yes)
        yield
        self.do(f"br label %{done}")
        self.begin(done)

    @contextmanager
    def either(self, condition: Value, unlikely: bool = False) -> Iterator[Either]:
        """If and else, with values.

        Example:
            >>> with f.either(condition) as choice:
            ...     with choice.then():
            ...         choice.give(a)
            ...     with choice.otherwise():
            ...         choice.give(b)
            >>> choice.results[0]
        """
        yes, no, done = self.label(), self.label(), self.label()
        self.branch(condition, yes, no, unlikely)
        choice = Either(self, yes, no, done)
        yield choice
        self.begin(done)
        choice.results = self.merge(choice.ways)

    def branch(self, condition: Value, yes: str, no: str, unlikely: bool = False) -> None:
        """Ends the block: to `yes` if the condition holds, else to `no`."""
        hint = f", !prof {self.module.tag(UNLIKELY)}" if unlikely else ""
        self.do(f"br {typed(condition)}, label %{yes}, label %{no}{hint}")

    def begin(self, label: str) -> None:
        """Starts a block."""
        self._lines.append(f"{label}:")
        self.block, self._begun = label, len(self._lines)
        self._known.clear()

    def divide(self) -> None:
        """Goes on in another block where this one is long: over one block, fast code generation is quadratic."""
        if len(self._lines) - self._begun > LONG_BLOCK:
            label = self.label()
            self.do(f"br label %{label}")
            self.begin(label)

    def merge(self, ways: Sequence[tuple[str, Sequence[Value]]]) -> list[Value]:
        """At the start of a block: for each place, the value that came with the way taken (block, values)."""
        if len(ways) == 1:
            return list(ways[0][1])
        columns = zip(*(values for _, values in ways), strict=True)
        blocks = [block for block, _ in ways]
        return [
            self.emit(
                f"phi {column[0].type} "
                + ", ".join(f"[{value.text}, %{block}]" for value, block in zip(column, blocks, strict=True)),
                column[0].type,
            )
            for column in columns
        ]

    def _open(self, label: str) -> int:
        """Starts a block whose first line is filled in later; returns where."""
        self.begin(label)
        self._lines.append("")
        return len(self._lines) - 1

    def _fresh(self, kind: str) -> Value:
        self._count += 1
        return Value(f"%v{self._count}", kind)

    def label(self) -> str:
        """A new name for a block."""
        self._count += 1
        return f"b{self._count}"


FOLDED = {
    "eq": int.__eq__, "ne": int.__ne__, "slt": int.__lt__, "sle": int.__le__, "sgt": int.__gt__, "sge": int.__ge__,
}  # fmt: skip


def _next(loop: Loop) -> list[Value]:
    """What one turn hands on to the next."""
    if len(loop.next) != len(loop.carried):
        raise InternalError(f"a loop carries {len(loop.carried)} values, and next has {len(loop.next)}")
    return loop.next


def _aligned(align: int) -> str:
    return f", align {align}" if align else ""


def _type_alone(kind: str) -> str:
    """`ptr` of `ptr noalias`; `<8 x double>` stays."""
    return kind[: kind.index(">") + 1] if kind.startswith("<") else kind.split()[0]


def _argument_name(word: str) -> str:
    """`%word`, moved out of the way of the writer's own names."""
    name = word + "." if OURS.match(word) else word
    return f"%{name}" if PLAIN.match(name) else f'%"{name}"'
