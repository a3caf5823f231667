"""From a user's dict to arrays: what is accepted, what is refused, and how the refusal reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

from sympile.compiler.errors import (
    ArgumentError,
    ArrayShapeError,
    DtypeError,
    DuplicateName,
    EmptyData,
    IndexOutOfRange,
    InternalError,
    LengthMismatch,
    MissingValue,
    UnknownKey,
    ValuesError,
)
from sympile.compiler.program import BATCH, Extent, Signature, Slot
from sympile.runtime.arguments import Binder, bind

# fmt: off: the tables below are aligned by hand


def data(name: str, *declared: Extent, integer: bool = False, limit: Extent | None = None) -> Slot:
    kept = tuple(extent for extent in declared if extent != 1)
    return Slot(name, "data", declared, (BATCH, *kept), batched=True, integer=integer, limit=limit)


def parameter(name: str, *declared: Extent, role: str = "parameter") -> Slot:
    return Slot(name, role, declared, tuple(extent for extent in declared if extent != 1))


def signature(*slots: Slot, dtype: str = "float64", pinned: dict[str, int] | None = None) -> Signature:
    sizes = dict.fromkeys(extent for slot in slots for extent in slot.shape if isinstance(extent, str))
    return Signature(slots, sizes=tuple(sizes), dtype=dtype, pinned=pinned or {})


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape)


# ------------------------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize(("slot", "shape", "want"), [
    pytest.param(data("x"),               (7,),       (7,),       id="scalar data"),
    pytest.param(data("x", 3, 1),         (7, 3),     (7, 3),     id="column, flat"),
    pytest.param(data("x", 3, 1),         (7, 3, 1),  (7, 3),     id="column, as declared"),
    pytest.param(data("x", 3, 1),         (7, 1, 3),  (7, 3),     id="column, as a row"),
    pytest.param(data("x", 1, 3),         (7, 3),     (7, 3),     id="row, flat"),
    pytest.param(data("x", 1, 3),         (7, 3, 1),  (7, 3),     id="row, as a column"),
    pytest.param(data("x", "n", 1),       (7, 1, 3),  (7, 3),     id="symbolic column, as a row"),
    pytest.param(data("x", "n", 1),       (7, 1, 1),  (7, 1),     id="symbolic column of one number"),
    pytest.param(data("x", "n", 1),       (7, 1),     (7, 1),     id="a symbolic size is never dropped"),
    pytest.param(data("x", 1, 1),         (7,),       (7,),       id="1x1, flat"),
    pytest.param(data("x", 1, 1),         (7, 1),     (7,),       id="1x1, as a vector"),
    pytest.param(data("x", 1, 1),         (7, 1, 1),  (7,),       id="1x1, as declared"),
    pytest.param(data("x", 2, 1, 4),      (7, 2, 1, 4), (7, 2, 4), id="tensor, as declared"),
    pytest.param(parameter("x"),          (),         (),         id="scalar parameter"),
    pytest.param(parameter("x", 3, 1),    (3, 1),     (3,),       id="column parameter, as declared"),
    pytest.param(parameter("x", 3, 1),    (3,),       (3,),       id="column parameter, flat"),
    pytest.param(parameter("x", 1, 1),    (),         (),         id="1x1 parameter, a number"),
    pytest.param(parameter("x", 2, 3),    (2, 3),     (2, 3),     id="matrix parameter"),
    pytest.param(parameter("x", "n", "n"), (4, 4),    (4, 4),     id="square"),
])
def test_shapes_accepted(slot: Slot, shape: tuple[int, ...], want: tuple[int, ...]) -> None:
    values = np.arange(float(np.prod(shape))).reshape(shape)
    array = bind(signature(slot), {"x": values}).arrays[0]
    assert array.shape == want
    assert np.array_equal(array.ravel(), values.ravel())
    assert array.flags.c_contiguous


@pytest.mark.parametrize(("value", "dtype"), [
    pytest.param([1, 2, 3],                                     "float64", id="list of ints"),
    pytest.param((1.0, 2.0, 3.0),                               "float32", id="tuple, float32"),
    pytest.param(np.array([1, 2, 3], np.uint8),                 "float64", id="small integers"),
    pytest.param(np.array([1, 2, 3], ">f8"),                    "float64", id="other byte order"),
    pytest.param(np.array([1, 2, 3], np.float16),               "float64", id="half precision"),
    pytest.param(np.array([1, 9, 2, 9, 3, 9], float)[::2],      "float64", id="strided"),
    pytest.param(np.array([3, 2, 1], float)[::-1],              "float64", id="backwards"),
    pytest.param(np.frombuffer(b"\0" + np.array([1., 2, 3]).tobytes(), np.float64, 3, 1), "float64", id="unaligned"),
    pytest.param(np.ma.masked_array([1.0, 2, 3]),               "float64", id="masked array, nothing masked"),
])
def test_values_converted(value: Any, dtype: str) -> None:
    array = bind(signature(data("x"), dtype=dtype), {"x": value}).arrays[0]
    assert array.dtype == np.dtype(dtype) and array.flags.c_contiguous and array.flags.aligned
    assert array.tolist() == [1, 2, 3]


class Frame:
    """Stands for a pandas object: no array, but np.asarray takes it."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array([[1, 2], [3, 4]], dtype=dtype)


def test_pandas_like() -> None:
    assert bind(signature(data("x", 2, 1)), {"x": Frame()}).arrays[0].tolist() == [[1, 2], [3, 4]]


def test_booleans_are_numbers() -> None:
    assert bind(signature(data("x")), {"x": [True, False]}).arrays[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("writeable", [True, False])
def test_no_copy_where_it_fits(writeable: bool) -> None:
    flat, column = zeros(5, 3), zeros(5, 4, 1)
    flat.flags.writeable = column.flags.writeable = writeable
    arrays = bind(signature(data("x", 3, 1), data("y", 4, 1)), {"x": flat, "y": column}).arrays
    assert arrays[0] is flat
    assert np.shares_memory(arrays[1], column)


# ------------------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("x", id="name"),
        pytest.param(sp.Symbol("x"), id="symbol"),
        pytest.param(sp.Symbol("x", positive=True), id="assumptions are dropped"),
        pytest.param(sp.MatrixSymbol("x", 2, 1), id="matrix symbol"),
        pytest.param(sp.IndexedBase("x"), id="indexed base"),
        pytest.param(sp.Dummy("x"), id="dummy"),
    ],
)
def test_keys(key: object) -> None:
    binder = Binder(signature(data("x")))
    for _ in range(2):    # looked up by name, then remembered
        assert binder.bind({key: [1.0]}).arrays[0].tolist() == [1.0]


def test_order_is_the_slots_order() -> None:
    bound = bind(signature(data("b"), data("a")), {"a": [1.0], "b": [2.0]})
    assert bound.names == ("b", "a") and [array[0] for array in bound.arrays] == [2.0, 1.0]
    assert bound.by_name()["a"][0] == 1.0


LINE = signature(data("x"), data("y"), parameter("a"), parameter("b"))
X, Y = sp.symbols("x y")


@pytest.mark.parametrize(("values", "error", "words"), [
    pytest.param({"x": [1.0], "a": 0.0},                       MissingValue,  "'y', 'b'", id="all missing ones"),
    pytest.param({"x": [1.0], "a": 0.0, "b": 0.0},             MissingValue,  "y: data, an array of shape (N,)",
                 id="shape wanted"),
    pytest.param({},                                           MissingValue,  "'x', 'y', 'a', 'b'", id="nothing"),
    pytest.param({"x": [1.0], X: [1.0]},                       DuplicateName, "'x' is given twice",
                 id="symbol and name"),
    pytest.param({"x": [1.0], "yy": [1.0]},                    UnknownKey,    "did you mean 'y'?", id="did you mean"),
    pytest.param({"x": [1.0], sp.Symbol("q"): [1.0]},          UnknownKey,    "no symbol 'q'", id="unknown symbol"),
    pytest.param({7: [1.0]},                                   UnknownKey,    "no symbol '7'", id="a number as key"),
    pytest.param([1.0],                                        ArgumentError, "not as list", id="no dict"),
])
def test_keys_refused(values: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        bind(LINE, values)
    assert words in str(caught.value)


def test_roles() -> None:
    everything = {"x": [1.0], "y": [2.0], "a": 0.0, "b": 0.0}
    assert Binder(LINE, roles=("data",)).bind({"x": [1.0], "y": [2.0]}).names == ("x", "y")
    with pytest.raises(UnknownKey, match="'a' does not belong here; it is a parameter"):
        Binder(LINE, roles=("data",)).bind(everything)
    with pytest.raises(UnknownKey, match="'x' does not belong here; it is data"):
        Binder(LINE, roles=("parameter",)).bind(everything)


def test_ignored_names() -> None:
    binder = Binder(signature(data("x")), ignored=("t",))
    assert binder.bind({"x": [1.0], sp.Symbol("t"): "anything"}).names == ("x",)
    assert binder.bind({"x": [1.0]}).names == ("x",)


def test_partial() -> None:
    binder = Binder(LINE, roles=("parameter",), partial=True)
    assert binder.bind({"b": 2.0}).by_name() == {"b": 2.0}
    assert binder.bind({}).arrays == []
    assert binder.bind({"a": 1.0, "b": 2.0}).names == ("a", "b")


# ----------------------------------------------------------------------------------------------------------- sizes


def test_sizes_are_solved() -> None:
    want = {BATCH: 5, "n": 3, "k": 2}
    system = signature(data("x", "n", 1), parameter("W", "k", "n"))
    assert bind(system, {"x": zeros(5, 3), "W": zeros(2, 3)}).sizes == want
    assert Binder(system, roles=("data",)).bind({"x": zeros(5, 3)}).sizes == {BATCH: 5, "n": 3}


def test_sizes_of_another_call() -> None:
    binder = Binder(signature(data("x", "n", 1), parameter("w", "n", 1)), roles=("parameter",))
    assert binder.bind({"w": zeros(3)}, {"n": 3}).sizes == {"n": 3}
    with pytest.raises(ArrayShapeError, match="n cannot be both 4 and 3"):
        binder.bind({"w": zeros(3)}, {"n": 4})


def test_shapes_may_change_between_calls() -> None:
    binder = Binder(signature(data("x", "n", 1)))
    for count in (2, 3, 2):
        for n in range(1, 50):
            assert binder.bind({"x": zeros(count, n, 1)}).sizes == {BATCH: count, "n": n}


def test_a_bound_does_not_share_its_sizes() -> None:
    binder = Binder(signature(data("x")))
    binder.bind({"x": [1.0]}).sizes[BATCH] = 99
    assert binder.bind({"x": [1.0]}).sizes[BATCH] == 1


def test_untold_size() -> None:
    untold = Signature((data("x"),), sizes=(BATCH, "n"))
    with pytest.raises(MissingValue, match=r"sizes=\{n: \.\.\.\}"):
        bind(untold, {"x": [1.0]})
    pinned = Signature((data("x"),), sizes=(BATCH, "n"), pinned={"n": 4})
    assert bind(pinned, {"x": [1.0]}).sizes == {"n": 4, BATCH: 1}


def test_size_as_a_key() -> None:
    with pytest.raises(UnknownKey, match="'n' is a size"):
        bind(signature(data("x", "n", 1)), {"x": zeros(2, 3), sp.Symbol("n"): 3})


@pytest.mark.parametrize(("slots", "values", "error", "words"), [
    pytest.param([data("x"), data("y")], {"x": zeros(5), "y": zeros(4)}, LengthMismatch,
                 ["x, of shape (5,), has 5", "y, of shape (4,), has 4"], id="lengths"),
    pytest.param([data("x")], {"x": zeros(0)}, EmptyData, ["x, of shape (0,), has 0"], id="no example"),
    pytest.param([data("x", 3, 1)], {"x": zeros(5, 4)}, ArrayShapeError,
                 ["x has an array of shape (5, 4)", "x is declared (3, 1)", "(N, 3) or (N, 3, 1) or (N, 1, 3)"],
                 id="vector"),
    pytest.param([data("x", 3, 1)], {"x": zeros(3)}, ArrayShapeError, ["write x[np.newaxis]"], id="one example, flat"),
    pytest.param([data("x", 3, 1)], {"x": zeros(3, 1)}, ArrayShapeError, ["write x[np.newaxis]"], id="one example"),
    pytest.param([data("x", 3, 1)], {"x": zeros(3, 5)}, ArrayShapeError, ["write x.T"], id="features first"),
    pytest.param([data("x", 28, 28)], {"x": zeros(28, 28)}, ArrayShapeError, ["write x[np.newaxis]"], id="one image"),
    pytest.param([data("x")], {"x": 3.0}, ArrayShapeError, ["x is one number", "np.full(N, x)"], id="number for data"),
    pytest.param([data("x")], {"x": zeros(5, 1)}, ArrayShapeError, ["write x[..., 0]"], id="(N, 1) for a scalar"),
    pytest.param([parameter("a")], {"a": zeros(1)}, ArrayShapeError, ["write a[..., 0]"], id="(1,) for a number"),
    pytest.param([parameter("W", 2, 3)], {"W": zeros(3, 2)}, ArrayShapeError, ["W is declared (2, 3)", "write W.T"],
                 id="transposed"),
    pytest.param([parameter("w", 3, 1)], {"w": zeros(1, 3)}, ArrayShapeError, ["write w.T"],
                 id="row for a column parameter"),
    pytest.param([data("x", 28, 28)], {"x": zeros(5, 784)}, ArrayShapeError,
                 ["write x.reshape(-1, 28, 28)"], id="flat"),
    pytest.param([data("x", 784, 1)], {"x": zeros(5, 28, 28)}, ArrayShapeError,
                 ["write x.reshape(-1, 784)"], id="images"),
    pytest.param([parameter("K", "n", "n")], {"K": zeros(3, 4)}, ArrayShapeError, ["must be (n, n)"], id="not square"),
    pytest.param([data("y", "n", 1), parameter("A", "n", "n")], {"y": zeros(9, 5), "A": zeros(4, 4)}, ArrayShapeError,
                 ["n cannot be both 5 and 4", "y, of shape (9, 5)", "A, of shape (4, 4) for (n, n)"],
                 id="two arrays disagree"),
    pytest.param([data("x", 2, 1)], {"x": [[1, 2], [3]]}, ArrayShapeError, ["unequal lengths"], id="ragged"),
])
def test_shapes_refused(slots: list[Slot], values: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        bind(signature(*slots), values)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


def test_pinned_size_against_an_array() -> None:
    with pytest.raises(ArrayShapeError, match="n cannot be both 4 and 3"):
        bind(signature(data("x", "n", 1), pinned={"n": 4}), {"x": zeros(5, 3)})


def test_examples_inside_the_declared_shape() -> None:
    design = Slot("X", "data", ("n", "d"), (BATCH, "d"), batched=True)
    assert bind(signature(design), {"X": zeros(5, 3)}).sizes == {BATCH: 5, "d": 3}


def test_an_impossible_slot_is_our_mistake() -> None:
    with pytest.raises(InternalError, match="slot 'x'"):
        bind(Signature((Slot("x", "data", (3,), (3, 4, 5)),)), {"x": zeros(3)})


# ---------------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(("value", "words"), [
    pytest.param(np.array([1j]),                        "complex numbers", id="complex"),
    pytest.param(["a", "b"],                            "strings", id="strings"),
    pytest.param([b"a"],                                "byte strings", id="bytes"),
    pytest.param([None],                                "Python objects", id="None"),
    pytest.param([sp.Rational(1, 2)],                   "dtype=float", id="SymPy numbers"),
    pytest.param(np.array(["2020-01-01"], "M8[D]"),     "dates", id="dates"),
    pytest.param(np.zeros(2, [("a", float)]),           "records", id="records"),
    pytest.param(np.array([1e300]),                     "too large for float32", id="overflow"),
])
def test_dtypes_refused(value: Any, words: str) -> None:
    with pytest.raises(DtypeError, match=words) as caught:
        bind(signature(data("x"), dtype="float32"), {"x": value})
    assert str(caught.value).startswith("x holds")


def test_infinity_and_nan_pass() -> None:
    array = bind(signature(data("x"), dtype="float32"), {"x": [np.inf, -np.inf, np.nan]}).arrays[0]
    assert array[0] == np.inf and array[1] == -np.inf and np.isnan(array[2])


def test_masked_entries() -> None:
    with pytest.raises(ValuesError, match=r"x\.filled"):
        bind(signature(data("x")), {"x": np.ma.masked_array([1.0, 2.0], [False, True])})


@pytest.mark.parametrize(("value", "error", "words"), [
    pytest.param([0, 9, 3],                             None, "", id="good"),
    pytest.param([0.0, 9.0],                            None, "", id="whole floats"),
    pytest.param(np.array([0, 9], np.uint64),           None, "", id="unsigned"),
    pytest.param([True, False],                         None, "", id="booleans"),
    pytest.param([0, 10, -1],                           IndexOutOfRange, "c holds 10 at [1]; it must lie in 0 … 9",
                 id="too large"),
    pytest.param([0, -1, 10],                           IndexOutOfRange, "c holds -1 at [1]", id="negative"),
    pytest.param(np.array([2**63], np.uint64),          DtypeError, "9223372036854775808 at [0]", id="beyond int64"),
    pytest.param([0.0, 1.5],                            DtypeError, "1.5 at [1]", id="fraction"),
    pytest.param([np.nan],                              DtypeError, "nan at [0]", id="nan"),
    pytest.param([np.inf],                              DtypeError, "inf at [0]", id="infinity"),
    pytest.param(["cat"],                               DtypeError, "np.unique", id="class names"),
])
def test_class_numbers(value: Any, error: type[Exception] | None, words: str) -> None:
    system = signature(data("c", integer=True, limit=10))
    if error is None:
        array = bind(system, {"c": value}).arrays[0]
        assert array.dtype == np.int64 and array.tolist() == [int(v) for v in value]
        return
    with pytest.raises(error) as caught:
        bind(system, {"c": value})
    assert words in str(caught.value)


def test_range_by_a_size() -> None:
    system = signature(data("token", 4, 1, integer=True, limit="V"), parameter("E", "V", 2))
    good = np.array([[0, 1, 2, 4]])
    assert bind(system, {"token": good, "E": zeros(5, 2)}).sizes["V"] == 5
    with pytest.raises(IndexOutOfRange, match=r"token holds 5 at \[0, 3\].*0 … 4 \(V = 5\)"):
        bind(system, {"token": good + 1, "E": zeros(5, 2)})


def test_range_checked_on_every_call() -> None:
    binder = Binder(signature(data("c", integer=True, limit=2)))
    binder.bind({"c": np.array([0, 1])})
    with pytest.raises(IndexOutOfRange):
        binder.bind({"c": np.array([0, 2])})


def test_range_known_later() -> None:
    binder = Binder(signature(data("c", integer=True, limit="V"), parameter("E", "V", 2)), roles=("data",))
    bound = binder.bind({"c": np.array([0, 7])})
    binder.check_ranges(bound, {"V": 8})
    with pytest.raises(IndexOutOfRange, match="c holds 7"):
        binder.check_ranges(bound, {"V": 7})


def test_no_limit_no_check() -> None:
    assert bind(signature(data("k", integer=True)), {"k": [-3]}).arrays[0].tolist() == [-3]
