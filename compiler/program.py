"""What the compiler hands to the runtime: plain frozen data, no graph, no SymPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field

from sympile.compiler.records import dataclass

Extent = int | str  # a number, or the name of a size that arrays tell at run time; BATCH is the number of examples
BATCH = "#examples"
ORDER, ROWS = "#order", "#rows"  # which rows of all data are a batch, where they are read in place; how many there are


@dataclass(frozen=True, slots=True)
class Slot:
    """One array that a program reads or writes.

    `declared` is the shape the user wrote, (k, 1) for a column; `shape` is what the code sees: literal axes of size 1
    dropped, and the example axis in front where `batched`.
    """

    name: str
    role: str  # "data" | "parameter" | "constant" | "output"
    declared: tuple[Extent, ...]
    shape: tuple[Extent, ...]
    batched: bool = False
    integer: bool = False  # class numbers and gather indices
    limit: Extent | None = None  # an integer slot's values lie in low … limit-1-short
    low: int = 0
    short: int = 0


@dataclass(frozen=True, slots=True)
class Signature:
    """Names, shapes and roles of all that goes in and comes out."""

    slots: tuple[Slot, ...]  # inputs, in the order in which the code takes them
    outputs: tuple[Slot, ...] = ()
    sizes: tuple[str, ...] = ()  # symbolic sizes, BATCH among them where there is data
    dtype: str = "float64"
    pinned: dict[str, int] = field(default_factory=dict)  # sizes given by `sizes=`, where no array tells


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A whole number computed from sizes: the sum of coefficient * product of sizes."""

    terms: tuple[tuple[int, tuple[str, ...]], ...]

    def value(self, sizes: Mapping[str, int]) -> int:
        """The number for these sizes."""
        return sum(c * math.prod(sizes[name] for name in names) for c, names in self.terms)

    def __str__(self) -> str:
        return (
            " + ".join("*".join([*([str(c)] if c != 1 or not names else []), *names]) for c, names in self.terms) or "0"
        )


@dataclass(frozen=True, slots=True)
class Array:
    """One array of a program: which slot of the table points to it, and its shape in terms of sizes."""

    name: str
    slot: int
    shape: tuple[Polynomial, ...]
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Room:
    """Memory of a work array, or of several of one shape that take turns; groups `first` to `last` use it."""

    arrays: tuple[Array, ...]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Code:
    """LLVM IR with its entry, the outside symbols it calls, and how carefully to generate machine code.

    Of code that was made by an earlier process there is no text, only the text's digest (runtime/load.py).
    """

    text: str
    entry: str
    imports: tuple[str, ...] = ()
    level: int = 1
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """A number that must not be negative for the sizes at hand, and what is wrong where it is."""

    value: Polynomial
    message: str


@dataclass(frozen=True, slots=True)
class Scattered:
    """An output whose rows data choose: all others are 0."""

    output: str
    slot: int  # of a word: not 0 says that the output holds zeros already
    inputs: tuple[str, ...]  # numbers of rows, of each example; those that are no rows choose none


@dataclass(frozen=True, slots=True)
class Program:
    """Code and its table: what the entry takes is one pointer to `length` words, pointers and sizes."""

    code: Code
    dtype: str
    length: int
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    rooms: tuple[Room, ...]  # of the arrays between; two that are never in use at once may share their place
    sizes: dict[str, int]  # name → slot
    status: int  # slot of a pointer to an int32: nonzero says that a matrix was singular
    scratch: int  # slot of a pointer to scratch memory
    scratch_words: tuple[Polynomial, ...] = ()  # of 8 bytes; the largest counts
    scratch_use: tuple[int, int] = (0, 0)  # the first and the last group that writes there
    demands: tuple[Demand, ...] = ()
    calls: tuple[str, ...] = ()  # what the status numbers mean
    watches: bool = False  # whether the status is 1 where a gradient was not finite, of an update
    heavy: tuple[Polynomial, ...] = ()  # where one of them is positive, threads share the work
    together: bool = False  # the code is one function, which no threads share: heavy sizes take another form
    order: int | None = None  # slot of a pointer to the examples of a batch, one number each; None: they lie in a row
    chosen: tuple[str, ...] = ()  # inputs that are read through it; of the others rows are collected before
    scattered: tuple[Scattered, ...] = ()

    def heavy_for(self, sizes: Mapping[str, int]) -> bool:
        """Whether threads would share the work."""
        return any(work.value(sizes) > 0 for work in self.heavy)

    @property
    def work(self) -> tuple[Array, ...]:
        """The arrays between."""
        return tuple(array for room in self.rooms for array in room.arrays)


# The words of a training job, in order: what passes/training/loop.py and runtime/train.py read and write.
JOB_WORDS = (
    # what runs for each batch
    "step_function", "step_table", "update_function", "update_table",
    # pointer to an int32: not 0 asks to stop
    "flag",
    # GATHER_WORDS for each data array
    "gathers", "gather_count",
    # where the step's table holds the size of the batch, and the pointer to its examples
    "examples", "batch", "drop_last", "batch_word", "order_word",
    # where we are; pause at the end of epochs; steps of this call
    "epoch", "position", "epochs", "pause", "budget", "step",
    # the permutation; orders of the user's; 1 to shuffle; state of the random numbers
    "order", "given_orders", "shuffle", "random",
    # pointers; sum_weight: a float64, not 0 where the objective is a sum: its weight in the mean over an epoch
    "objective", "sum_weight", "epoch_loss", "history",
    # path: parameters after each step, where recorded
    "gradient", "gradient_count", "parameter", "path", "path_count",
    # what the update sees as numbers; outcome; loss of the last step
    "step_value", "epoch_value", "status", "last_loss",
    # pointer to the step's int32 of singular matrices
    "trouble",
    # pointer to the update's int32 that tells of gradients that are not finite; 0: it does not look
    "spoiled",
    # bits of the processor's mode that make 0 of what underflows (code/underflow.py), or 0
    "underflow",
)  # fmt: skip
JOB = {name: position for position, name in enumerate(JOB_WORDS)}
KEPT_POWERS = 64  # steps after which a power of the step is computed anew; a power of two
KEPT_POWER_WORDS = 3  # of such a power: its base, its exponent and itself
GATHER_WORDS = (
    "source",
    "buffer",
    "row_words",
    "table_word",
)  # row_words: of 4 bytes, 0 of the order itself; table_word: where the step finds the pointer
# Outcomes; SPOILED: an update has been made with a gradient that is not finite.
RUNNING, STOPPED, DONE, NOT_FINITE, PAUSED, SINGULAR, SPOILED = range(7)

# The first words of the table of an update of rows (passes/training/row_update.py): the update of all other numbers,
# the size of the batch, and ROW_WORDS for each array of numbers of rows.
ROW_UPDATE_WORDS = ("update_function", "update_table", "batch_word", "lists", "list_count")
ZEROS = "zeros"  # its output that makes 0 of gradients again
ROW_UPDATE = {name: position for position, name in enumerate(ROW_UPDATE_WORDS)}
ROW_WORDS = (
    # where the pointer to them stands; how many an example has; of the rows: where the first one begins in the arrays
    # of all parameters, how many numbers each has, how many there are
    "numbers", "each", "first", "width", "rows",
)  # fmt: skip

# The pool of threads: what it and the code that hands it work share, by offset in bytes. A region of a loop is split
# into chunks; what different threads write often lies on lines of its own (code/pool.py, runtime/pool.py).
POOL_SYMBOL = "sympile_pool"
POOL = {
    # a function of (part, table, extra, length, size): runs part(table, extra, first, last, number) for every chunk
    "region": 0, "workers": 8,
    # tag: generation << 32 | next chunk
    "tag": 64, "done": 128, "waiting": 132, "owner": 192, "sleepers": 256, "wake": 260, "stop": 264,
    # of the region that is under way
    "part": 320, "table": 328, "extra": 336, "length": 344, "size": 352, "count": 360, "mode": 368,
}  # fmt: skip
POOL_BYTES = 384

# The words of a call from Python: what one entry for one choice of shapes reads (passes/call.py, runtime/shortcut.py).
CALL_WORDS = (
    # what runs; its table; pointer to its int32 of singular matrices
    "function", "table", "trouble",
    # 1 while a call is under way; 1 to give up the lock of the interpreter
    "busy", "release",
    # ARGUMENT_WORDS for each argument, RESULT_WORDS for each result; 1: the one result is not put into a list
    "argument_count", "arguments", "result_count", "results", "alone",
    # Python's objects: None, and the types that are taken
    "none", "array_type", "float_type", "float64_type", "integer_type", "list_type",
)  # fmt: skip
CALL = {name: position for position, name in enumerate(CALL_WORDS)}
ARRAY_WORDS = (
    "word", "rank", "shape", "descriptor", "bytes",  # word: pointer to the table's word
)  # fmt: skip
ARGUMENT_WORDS = (
    *ARRAY_WORDS,
    # pointer to 8 bytes for a plain number, or 0; 1 if they hold a float32; of integers: how many,
    # from what on, and how many values are good
    "number", "narrow", "count", "low", "limit",
)  # fmt: skip
RESULT_WORDS = (
    *ARRAY_WORDS,
    # NumPy's number of the dtype; 1: a new one becomes a NumPy scalar; the object while the call is under way
    "kind", "scalar", "object",
)  # fmt: skip
ARGUMENT = {name: position for position, name in enumerate(ARGUMENT_WORDS)}
RESULT = {name: position for position, name in enumerate(RESULT_WORDS)}
# Where the public structures of CPython and NumPy hold what, in bytes; runtime/shortcut.py looks whether it is so.
OBJECT_LAYOUT = {"type": 8, "data": 16, "rank": 24, "dimensions": 32, "descriptor": 56, "flags": 64}
CONTIGUOUS, ALIGNED, WRITEABLE = 0x0001, 0x0100, 0x0400  # bits of NumPy's flags
