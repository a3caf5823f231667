"""The native training loop: batches gathered by a permutation, forward, backward, update; the same for every model."""

from __future__ import annotations

from sympile.compiler.code.target import Target
from sympile.compiler.code.underflow import entered_with
from sympile.compiler.passes.training.finite import finite
from sympile.compiler.passes.training.gather import gather
from sympile.compiler.program import (
    DONE,
    GATHER_WORDS,
    JOB,
    NOT_FINITE,
    PAUSED,
    POOL_SYMBOL,
    SINGULAR,
    SPOILED,
    STOPPED,
    Code,
)

ENTRY = "sympile_train"
LOOP = "train"
SHARED_WORDS = 1 << 17  # of 4 bytes, from which on threads share the copy of a batch
CHUNK_WORDS = 1 << 14  # of one chunk of it
# What runs once a step or once an epoch is "optnone": generated in half the time, and not measurably slower.


def training_loop(dtype: str, target: Target) -> Code:
    """The loop for models of one dtype; it takes a pointer to the words of a job."""
    element = {"float64": "double", "float32": "float"}[dtype]
    text = "\n".join(
        [
            _DECLARATIONS,
            shuffle(target),
            gather(target),
            finite(element, target),
            _train(element, target),
            entered_with(ENTRY, LOOP, JOB["underflow"], target),
        ]
    )
    return Code(text, ENTRY, (POOL_SYMBOL,))


def _word(name: str, kind: str, result: str, table: str = "%job") -> str:
    """Loads one word of the job."""
    return (
        f"  %{result}.p = getelementptr i64, ptr {table}, i64 {JOB[name]}\n  %{result} = load {kind}, ptr %{result}.p"
    )


_DECLARATIONS = """
declare double @llvm.fabs.f64(double)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
"""


def shuffle(target: Target) -> str:
    """Fisher and Yates: an order is filled; each place, from the last to the first, changes with one drawn up to it."""
    return f"""
define internal void @shuffle(ptr noalias %order, i64 %n, ptr noalias %random) nounwind noinline {target.attributes} {{
entry:
  br label %fill
fill:
  %k = phi i64 [0, %entry], [%k.next, %fill]
  %k.p = getelementptr i64, ptr %order, i64 %k
  store i64 %k, ptr %k.p
  %k.next = add i64 %k, 1
  %filling = icmp ult i64 %k.next, %n
  br i1 %filling, label %fill, label %begin
begin:
  %start = load i64, ptr %random
  %top = sub i64 %n, 1
  br label %draw
draw:
  %i = phi i64 [%top, %begin], [%i.next, %draw.body]
  %state = phi i64 [%start, %begin], [%state.next, %draw.body]
  %more = icmp sgt i64 %i, 0
  br i1 %more, label %draw.body, label %done
draw.body:
{_DRAWN}
  %i.p = getelementptr i64, ptr %order, i64 %i
  %j.p = getelementptr i64, ptr %order, i64 %j
  %i.v = load i64, ptr %i.p
  %j.v = load i64, ptr %j.p
  store i64 %j.v, ptr %i.p
  store i64 %i.v, ptr %j.p
  %i.next = sub i64 %i, 1
  br label %draw
done:
  store i64 %state, ptr %random
  ret void
}}"""


# j up to i, from the next random number: splitmix64 (Steele, Lea and Flood 2014).
_DRAWN = """\
  %state.next = add i64 %state, -7046029254386353131
  %s1 = lshr i64 %state.next, 30
  %x1 = xor i64 %state.next, %s1
  %m1 = mul i64 %x1, -4658895280553007687
  %s2 = lshr i64 %m1, 27
  %x2 = xor i64 %m1, %s2
  %m2 = mul i64 %x2, -7723592293110705685
  %s3 = lshr i64 %m2, 31
  %x3 = xor i64 %m2, %s3
  %high = lshr i64 %x3, 32
  %span = add i64 %i, 1
  %scaled = mul i64 %high, %span
  %j = lshr i64 %scaled, 32"""


def _train(element: str, target: Target) -> str:
    """The loop itself: one turn a batch."""
    batch = (_this_batch(), _every_array(), _gathered(), _where_it_lies())
    turn = (_goes_on(), *batch, _one_step(element), _update(element), _end_of_turn())
    return "\n".join((_what_the_job_says(element, target), *turn, _OUTCOMES))


POINTERS = (
    "step_function", "step_table", "update_function", "update_table", "flag", "gathers", "batch_word", "order_word",
    "order", "given_orders", "objective", "history", "gradient", "parameter", "path", "step_value", "epoch_value",
    "trouble", "spoiled",
)  # fmt: skip
NUMBERS = (
    "gather_count", "examples", "batch", "drop_last", "epochs", "pause", "budget", "shuffle",
    "gradient_count", "path_count",
)  # fmt: skip
PLACES = ("epoch", "position", "step", "order", "random", "epoch_loss", "status", "last_loss")


def _what_the_job_says(element: str, target: Target) -> str:
    loads = "\n".join(_word(name, "ptr", name) for name in POINTERS)
    numbers = "\n".join(_word(name, "i64", name) for name in NUMBERS)
    places = "\n".join(f"  %{name}.at = getelementptr i64, ptr %job, i64 {JOB[name]}" for name in PLACES)
    return f"""
define internal void @{LOOP}(ptr %job) nounwind noinline optnone {target.attributes} {{
entry:
{loads}
{numbers}
{places}
  %parameter.bytes = mul i64 %path_count, {8 if element == "double" else 4}
{_word("sum_weight", "double", "sum_weight")}
  %is.sum = fcmp one double %sum_weight, 0.0
  store i64 0, ptr %status.at
  br label %turn"""


def _goes_on() -> str:
    """Not if the steps of this call are done, if somebody asks to stop, or after the last epoch."""
    return """turn:
  %done = phi i64 [0, %entry], [%done.next, %next]
  %spent = icmp sge i64 %done, %budget
  br i1 %spent, label %out, label %look
look:
  %asked = load atomic i32, ptr %flag monotonic, align 4
  %stop = icmp ne i32 %asked, 0
  br i1 %stop, label %stopped, label %where
where:
  %epoch = load i64, ptr %epoch.at
  %over = icmp sge i64 %epoch, %epochs
  br i1 %over, label %finished, label %begin"""


def _this_batch() -> str:
    """An order for each epoch; which examples of it, and how many."""
    return """begin:
  %position = load i64, ptr %position.at
  %fresh = icmp eq i64 %position, 0
  br i1 %fresh, label %epoch.start, label %cut
epoch.start:
  store double 0.0, ptr %epoch_loss.at
  %shuffling = icmp ne i64 %shuffle, 0
  br i1 %shuffling, label %epoch.shuffle, label %cut
epoch.shuffle:
  call void @shuffle(ptr %order, i64 %examples, ptr %random.at)
  br label %cut
cut:
  %left = sub i64 %examples, %position
  %small = icmp slt i64 %left, %batch
  %rows = select i1 %small, i64 %left, i64 %batch
  store i64 %rows, ptr %batch_word
  %given = icmp ne ptr %given_orders, null
  %row0 = mul i64 %epoch, %examples
  %given.row = getelementptr i64, ptr %given_orders, i64 %row0
  %permutation = select i1 %given, ptr %given.row, ptr %order
  %ordered = icmp ne ptr %permutation, null
  %chosen = getelementptr i64, ptr %permutation, i64 %position
  store ptr %chosen, ptr %order_word
  br label %arrays"""


def _every_array() -> str:
    """Every data array: rows gathered by the permutation, or a pointer to where they lie; one row is not copied.

    Of arrays whose rows the step itself finds by the permutation there is only that.
    """
    words = len(GATHER_WORDS)
    return f"""arrays:
  %g = phi i64 [0, %cut], [%g.next, %array.end]
  %g.more = icmp slt i64 %g, %gather_count
  br i1 %g.more, label %array, label %compute
array:
  %g.at = mul i64 %g, {words}
  %source.p = getelementptr i64, ptr %gathers, i64 %g.at
  %buffer.p = getelementptr i64, ptr %source.p, i64 1
  %row_words.p = getelementptr i64, ptr %source.p, i64 2
  %word.p = getelementptr i64, ptr %source.p, i64 3
  %source = load ptr, ptr %source.p
  %buffer = load ptr, ptr %buffer.p
  %row_words = load i64, ptr %row_words.p
  %word = load ptr, ptr %word.p
  %is.order = icmp eq i64 %row_words, 0
  br i1 %is.order, label %array.order, label %array.rows
array.order:
  store ptr %chosen, ptr %word
  br label %array.end
array.rows:
  br i1 %ordered, label %array.ordered, label %array.direct
array.ordered:
  %single = icmp eq i64 %rows, 1
  br i1 %single, label %array.single, label %array.gather"""


def _gathered() -> str:
    """Rows copied to the array's buffer, by all threads where they are many."""
    return f"""array.gather:
  %moved = mul i64 %rows, %row_words
  %much = icmp sge i64 %moved, {SHARED_WORDS}
  br i1 %much, label %array.shared, label %array.alone
array.alone:
  call void @gather.part(ptr %source.p, ptr %chosen, i64 0, i64 %rows, i64 0)
  br label %array.gathered
array.shared:
  %chunk.rows = sdiv i64 {CHUNK_WORDS}, %row_words
  %chunk = call i64 @llvm.smax.i64(i64 %chunk.rows, i64 1)
  %region = load ptr, ptr @{POOL_SYMBOL}
  call void %region(ptr @gather.part, ptr %source.p, ptr %chosen, i64 %rows, i64 %chunk)
  br label %array.gathered
array.gathered:
  store ptr %buffer, ptr %word
  br label %array.end"""


def _where_it_lies() -> str:
    """A pointer to the one row, or to the first of rows in their own order."""
    return """array.single:
  %single.row = load i64, ptr %chosen
  br label %array.there
array.direct:
  br label %array.there
array.there:
  %there = phi i64 [%single.row, %array.single], [%position, %array.direct]
  %skip = mul i64 %there, %row_words
  %direct = getelementptr i32, ptr %source, i64 %skip
  store ptr %direct, ptr %word
  br label %array.end
array.end:
  %g.next = add i64 %g, 1
  br label %arrays"""


def _one_step(element: str) -> str:
    """Forward and backward; nothing is updated where the loss is not finite.

    Nor where a gradient is not, unless the update itself looks: then the job tells that it is spoiled, and who runs it
    takes the update back (runtime/job.py).
    """
    widen = "%loss = fadd double %loss.v, 0.0" if element == "double" else "%loss = fpext float %loss.v to double"
    return f"""compute:
  call void %step_function(ptr %step_table)
  %trouble.v = load i32, ptr %trouble
  %singular = icmp ne i32 %trouble.v, 0
  %loss.v = load {element}, ptr %objective
  {widen}
  store double %loss, ptr %last_loss.at
  br i1 %singular, label %broken, label %check
check:
  %loss.abs = call double @llvm.fabs.f64(double %loss)
  %loss.ok = fcmp olt double %loss.abs, 0x7FF0000000000000
  br i1 %loss.ok, label %check.gradient, label %lost
check.gradient:
  %watching = icmp ne ptr %spoiled, null
  br i1 %watching, label %watch, label %check.all
check.all:
  %gradient.ok = call i1 @finite(ptr %gradient, i64 %gradient_count)
  br i1 %gradient.ok, label %update, label %lost
watch:
  store i32 0, ptr %spoiled
  br label %update"""


def _update(element: str) -> str:
    """The optimizer's, and its verdict on the gradient; the parameters after it, where their path is wanted."""
    return f"""update:
  %step = load i64, ptr %step.at
  %step.number = sitofp i64 %step to {element}
  store {element} %step.number, ptr %step_value
  %epoch.number = sitofp i64 %epoch to {element}
  store {element} %epoch.number, ptr %epoch_value
  call void %update_function(ptr %update_table)
  br i1 %watching, label %verdict, label %updated
verdict:
  %spoiled.v = load i32, ptr %spoiled
  %fine = icmp eq i32 %spoiled.v, 0
  br i1 %fine, label %updated, label %spoiled.end
updated:
  %step.next = add i64 %step, 1
  store i64 %step.next, ptr %step.at
  %recording = icmp ne ptr %path, null
  br i1 %recording, label %record, label %account
record:
  %path.at = mul i64 %step.next, %parameter.bytes
  %path.row = getelementptr i8, ptr %path, i64 %path.at
  call void @llvm.memcpy.p0.p0.i64(ptr %path.row, ptr %parameter, i64 %parameter.bytes, i1 false)
  br label %account"""


def _end_of_turn() -> str:
    """The epoch's loss; whether the epoch ends here."""
    return """account:
  %rows.number = sitofp i64 %rows to double
  %weight = select i1 %is.sum, double %sum_weight, double %rows.number
  %before = load double, ptr %epoch_loss.at
  %part = fmul double %loss, %weight
  %after = fadd double %before, %part
  store double %after, ptr %epoch_loss.at
  %position.next = add i64 %position, %rows
  %enough = icmp sge i64 %position.next, %examples
  %following = add i64 %position.next, %batch
  %short = icmp sgt i64 %following, %examples
  %drops = icmp ne i64 %drop_last, 0
  %dropped = and i1 %short, %drops
  %ends = or i1 %enough, %dropped
  br i1 %ends, label %epoch.end, label %goes.on
goes.on:
  store i64 %position.next, ptr %position.at
  br label %next
epoch.end:
  %seen = sitofp i64 %position.next to double
  %mean = fdiv double %after, %seen
  %history.row = getelementptr double, ptr %history, i64 %epoch
  store double %mean, ptr %history.row
  %epoch.next = add i64 %epoch, 1
  store i64 %epoch.next, ptr %epoch.at
  store i64 0, ptr %position.at
  %pausing = icmp ne i64 %pause, 0
  br i1 %pausing, label %paused, label %next
next:
  %done.next = add i64 %done, 1
  br label %turn"""


_ENDS = {  # label → outcome, in the order in which they are written
    "stopped": STOPPED,
    "finished": DONE,
    "lost": NOT_FINITE,
    "spoiled.end": SPOILED,
    "paused": PAUSED,
    "broken": SINGULAR,
}
_OUTCOMES = "".join(
    f"""{label}:
  store i64 {outcome}, ptr %status.at
  br label %out
"""
    for label, outcome in _ENDS.items()
)
_OUTCOMES += """out:
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"""
