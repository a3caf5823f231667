"""Which examples the steps of a small model see, and how far its epochs are: all in each, batches, or one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sympile.compiler.code.lanes import Lanes
from sympile.compiler.code.value import Integer, Value, i64, typed
from sympile.compiler.code.writer import Function
from sympile.compiler.graph.definition import Definition
from sympile.compiler.passes.emitting.layout import Frame
from sympile.compiler.program import BATCH, DONE, JOB, PAUSED, RUNNING

_POINTERS = ("flag", "history", "path", "parameter", "order", "given_orders")
_NUMBERS = ("epochs", "pause", "budget", "epoch", "step", "examples", "path_count", "shuffle")


class Turns(ABC):
    """The words of the job, most of them loaded once a slice."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.words = {name: self._load(name, "ptr") for name in _POINTERS}
        self.words |= {name: self._load(name, "i64") for name in _NUMBERS}
        self.sum_weight = self._load("sum_weight", "double")
        self.is_sum = function.emit(f"fcmp one {typed(self.sum_weight)}, 0.0", "i1")

    def _place(self, name: str) -> Value:
        return self.function.gep("i64", self.function.arguments[0], JOB[name])

    def _load(self, name: str, kind: str) -> Value:
        return self.function.load(kind, self._place(name), 8)

    def _store(self, name: str, value: Value) -> None:
        self.function.store(value, self._place(name))

    def step(self, done: Value) -> Value:
        """How many steps have been made, with those of this slice."""
        return i64(self.function.add(self.words["step"], done))

    @abstractmethod
    def limit(self) -> Integer:
        """How many steps this slice has at most."""

    @abstractmethod
    def begin(self, frame: Frame, scalar: Lanes) -> None:
        """Before each step: what it sees."""

    @abstractmethod
    def epoch(self, done: Value) -> Value:
        """The number of the epoch of a step."""

    @abstractmethod
    def remember(self, done: Value, loss: Value) -> tuple[Value, Value] | None:
        """Notes the loss of a step, a float64; whether the slice ends here, and its outcome then."""

    @abstractmethod
    def status(self, limit: Integer) -> Value:
        """The outcome of a slice that ran to its limit."""

    def leave(self, done: Value, status: Value, loss: Value) -> None:
        """Where the slice has come to."""
        self._store("step", self.step(done))
        self._store("status", status)
        self._store("last_loss", loss)


class AllExamples(Turns):
    """Each step is an epoch."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        rows = function.emit(f"sitofp {typed(self.words['examples'])} to double", "double")
        share = function.emit(f"fdiv {typed(self.sum_weight)}, {rows.text}", "double")
        self.weight = function.pick(self.is_sum, share, Value("1.0", "double"))

    def limit(self) -> Integer:
        function, words = self.function, self.words
        left = function.min(words["budget"], function.sub(words["epochs"], words["epoch"]))
        one = function.compare("ne", words["pause"], 0)
        return function.pick(one, i64(function.min(left, 1)), i64(left))

    def begin(self, frame: Frame, scalar: Lanes) -> None:
        """Nothing is brought."""

    def epoch(self, done: Value) -> Value:
        return self.step(done)

    def remember(self, done: Value, loss: Value) -> None:
        function = self.function
        row = function.gep("double", self.words["history"], function.add(self.words["epoch"], done))
        function.store(function.emit(f"fmul {typed(loss)}, {self.weight.text}", "double"), row)

    def status(self, limit: Integer) -> Value:
        function, words = self.function, self.words
        over = function.compare("sge", function.add(words["epoch"], limit), words["epochs"])
        pausing = function.both(function.compare("ne", words["pause"], 0), function.compare("sgt", limit, 0))
        return function.pick(pausing, i64(PAUSED), function.pick(over, i64(DONE), i64(RUNNING)))

    def leave(self, done: Value, status: Value, loss: Value) -> None:
        self._store("epoch", i64(self.function.add(self.words["epoch"], done)))
        super().leave(done, status, loss)


class Epochs(Turns):
    """Each step sees a part of the examples; how far the epoch is stands in the job, read and written in every step."""

    def __init__(self, function: Function, rows: Sequence[Definition], ordered: bool) -> None:
        """`rows`: the inputs that hold data; `ordered`: an order says which examples are next, be it drawn or given."""
        super().__init__(function)
        self.rows, self.ordered = rows, ordered
        self.sources: dict[Definition, Value] = {}
        self.now = self.words["epoch"]

    def limit(self) -> Integer:
        function, words = self.function, self.words
        over = function.compare("sge", words["epoch"], words["epochs"])
        return function.pick(over, i64(0), words["budget"])

    def epoch(self, done: Value) -> Value:
        return self.now

    def status(self, limit: Integer) -> Value:
        over = self.function.compare("sge", self._load("epoch", "i64"), self.words["epochs"])
        return self.function.pick(over, i64(DONE), i64(RUNNING))

    def _next(self) -> Value:
        """How far the epoch is."""
        self.now = self._load("epoch", "i64")
        return self._load("position", "i64")

    def _order(self, position: Value) -> Value:
        """The order of the epoch, which is drawn before its first step, or of the user's."""
        function, words = self.function, self.words
        first = function.compare("eq", position, 0)
        with function.when(function.both(first, function.compare("ne", words["shuffle"], 0)), unlikely=True):
            order, random = typed(words["order"]), typed(self._place("random"))
            function.do(f"call void @shuffle({order}, {typed(words['examples'])}, {random})")
        own = function.emit(f"icmp eq {typed(words['given_orders'])}, null", "i1")
        given = function.gep("i64", words["given_orders"], function.mul(self.now, words["examples"]))
        return function.pick(own, words["order"], given)

    def _move(self, frame: Frame, scalar: Lanes, row: Value) -> None:
        """The data begin at a row."""
        for tensor in self.rows:
            source = self.sources.setdefault(tensor, frame.pointer(tensor))
            element = "i64" if tensor.integer else scalar.element
            at = self.function.mul(row, frame.strides(tensor)[0])
            frame.pointers[tensor] = self.function.gep(element, source, at)

    def _account(self, after: Value, part: Value, ends: Value) -> tuple[Value, Value]:
        """The loss of a step, weighted, is added; whether the slice ends here, and its outcome then."""
        function, words = self.function, self.words
        total = function.emit(f"fadd {typed(self._load('epoch_loss', 'double'))}, {part.text}", "double")
        with function.when(ends, unlikely=True):
            count = function.emit(f"sitofp {typed(after)} to double", "double")
            mean = function.emit(f"fdiv {typed(total)}, {count.text}", "double")
            function.store(mean, function.gep("double", words["history"], self.now))
        epoch = function.pick(ends, i64(function.add(self.now, 1)), self.now)
        self._store("position", function.pick(ends, i64(0), after))
        self._store("epoch", epoch)
        self._store("epoch_loss", function.pick(ends, Value("0.0", "double"), total))
        pausing = function.both(ends, function.compare("ne", words["pause"], 0))
        over = function.compare("sge", epoch, words["epochs"])
        return function.any(pausing, over), function.pick(pausing, i64(PAUSED), i64(DONE))


class OneByOne(Epochs):
    """Each step sees one example.

    An input of the data is a pointer to its row, which differs from step to step.
    """

    def __init__(self, function: Function, rows: Sequence[Definition], ordered: bool) -> None:
        super().__init__(function, rows, ordered)
        self.weight = function.pick(self.is_sum, self.sum_weight, Value("1.0", "double"))

    def begin(self, frame: Frame, scalar: Lanes) -> None:
        row = self._next()
        if self.ordered:
            row = self.function.load("i64", self.function.gep("i64", self._order(row), row), 8)
        self._move(frame, scalar, row)

    def remember(self, done: Value, loss: Value) -> tuple[Value, Value]:
        function = self.function
        after = i64(function.add(self._load("position", "i64"), 1))
        part = function.emit(f"fmul {typed(loss)}, {self.weight.text}", "double")
        return self._account(after, part, function.compare("sge", after, self.words["examples"]))


class InBatches(Epochs):
    """Each step sees a batch, the last one of an epoch maybe a smaller one.

    An input of the data is a pointer to its first row; where there is an order, rows are read through that.
    """

    def __init__(self, function: Function, rows: Sequence[Definition], ordered: bool) -> None:
        super().__init__(function, rows, ordered)
        self.words |= {name: self._load(name, "i64") for name in ("batch", "drop_last")}
        self.count = self.words["batch"]

    def begin(self, frame: Frame, scalar: Lanes) -> None:
        function = self.function
        position = self._next()
        left = function.sub(self.words["examples"], position)
        self.count = frame.lengths[BATCH] = i64(function.min(left, self.words["batch"]))
        if self.ordered:
            frame.order = function.gep("i64", self._order(position), position)
        else:
            self._move(frame, scalar, position)

    def remember(self, done: Value, loss: Value) -> tuple[Value, Value]:
        function, words = self.function, self.words
        after = i64(function.add(self._load("position", "i64"), self.count))
        rows = function.emit(f"sitofp {typed(self.count)} to double", "double")
        weight = function.pick(self.is_sum, self.sum_weight, rows)
        part = function.emit(f"fmul {typed(loss)}, {weight.text}", "double")
        short = function.compare("sgt", function.add(after, words["batch"]), words["examples"])
        dropped = function.both(short, function.compare("ne", words["drop_last"], 0))
        return self._account(after, part, function.any(function.compare("sge", after, words["examples"]), dropped))
