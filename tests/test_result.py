"""What a fit returns, and what is kept of it in a file."""

from __future__ import annotations

import copy
import html
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

from sympile.compiler.errors import ArgumentError, DtypeError, DuplicateName, UnknownKey
from sympile.runtime.byname import ByName, Keys, shown
from sympile.runtime.result import Result, _escaped
from sympile.runtime.storage import load_parameters, save_arrays

# fmt: off: the tables below are aligned by hand

W, a = sp.MatrixSymbol("W", 2, 3), sp.Symbol("a")


def echo(data: Mapping[Any, Any], parameters: Mapping[Any, Any]) -> tuple[Any, Any]:
    return data, parameters


def result(**changes: Any) -> Result:
    parts: dict[str, Any] = {
        "parameters": ByName({W: np.arange(6.0).reshape(2, 3), a: np.array(0.5)}),
        "history": {"loss": np.array([2.5, 0.125]), "seconds": np.array([0.25, 0.5])},
        "stopped": "all epochs are done",
        "epochs": 2,
        "steps": 16,
        "predictor": echo,
    }
    return Result(**parts | changes)


# ----------------------------------------------------------------------------------------------------------- ByName

VALUES = ByName({W: 1.0, a: 2.0})


@pytest.mark.parametrize(("key", "want"), [
    pytest.param(W,                             1.0, id="symbol"),
    pytest.param("W",                           1.0, id="name"),
    pytest.param(sp.Symbol("a", real=True),     2.0, id="assumptions"),
    pytest.param(sp.MatrixSymbol("W", 9, 9),    1.0, id="by its name alone"),
])
def test_lookup(key: object, want: float) -> None:
    assert VALUES[key] == want == VALUES.get(key)
    assert key in VALUES


def test_it_is_a_mapping_of_symbols() -> None:
    assert isinstance(VALUES, Mapping)
    assert list(VALUES) == [W, a] == list(VALUES.keys())
    assert dict(VALUES) == {W: 1.0, a: 2.0} == {**VALUES} == dict(VALUES.items())
    assert VALUES.by_name() == {"W": 1.0, "a": 2.0}
    assert list(VALUES.values()) == [1.0, 2.0] and len(VALUES) == 2


def test_unknown_name() -> None:
    with pytest.raises(UnknownKey) as caught:
        ByName({"alpha": 1.0})["alhpa"]
    assert str(caught.value) == "there is no 'alhpa' here (did you mean 'alpha'?); there is 'alpha'"
    with pytest.raises(KeyError):
        VALUES[sp.Symbol("q")]
    assert "q" not in VALUES and 7 not in VALUES and VALUES.get("q", 5.0) == 5.0


def test_shared_keys() -> None:
    keys = Keys((W, a))
    assert ByName([1.0, 2.0], keys) == VALUES
    with pytest.raises(DuplicateName, match="'a'"):
        Keys((a, sp.Symbol("a", real=True)))


def test_it_does_not_change() -> None:
    with pytest.raises(TypeError):
        VALUES["W"] = 3.0  # type: ignore[index]


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies(twin: Any) -> None:
    assert twin(VALUES) == VALUES and twin(VALUES)["a"] == 2.0
    assert np.array_equal(twin(result()).parameters["W"], result().parameters["W"])


@pytest.mark.parametrize(("value", "want"), [
    pytest.param(np.float64(1 / 3),               "0.333333",                      id="number"),
    pytest.param(np.float32(0.1),                 "0.1",                           id="float32"),
    pytest.param(np.array(2.0),                   "2.",                            id="0-d"),
    pytest.param(np.eye(2),                       "[[1., 0.], [0., 1.]]",          id="small, on one line"),
    pytest.param(np.zeros((30, 2)),               "array(30, 2)",                  id="large"),
])
def test_shown(value: Any, want: str) -> None:
    assert shown(value) == want


# ----------------------------------------------------------------------------------------------------------- Result


def test_fields() -> None:
    assert result().loss == 0.125
    assert result().success and result().message == "all epochs are done"
    assert np.isnan(result(history={}, epochs=0).loss)


@pytest.mark.parametrize(("changes", "message"), [
    pytest.param({"interrupted": True, "stopped": "Ctrl-C"},       "Ctrl-C", id="interrupted"),
    pytest.param({"parameters": ByName({a: np.array(np.nan)})}, "all epochs are done; some parameters are not finite",
                 id="nan"),
])
def test_no_success(changes: dict[str, Any], message: str) -> None:
    assert not result(**changes).success
    assert result(**changes).message == message


def test_predict_is_the_models() -> None:
    data, parameters = result().predict({"x": 1})
    assert data == {"x": 1} and parameters["a"] == 0.5


def test_repr() -> None:
    assert repr(result()).splitlines() == [
        "Result of 2 epochs, 16 steps, 0.75 s: loss 2.5 → 0.125; all epochs are done",
        "  W: [[0., 1., 2.], [3., 4., 5.]]",
        "  a: 0.5",
    ]
    history = {"loss": np.array([1.0]), "validation_loss": np.array([3.0])}
    assert "validation loss 3;" in repr(result(history=history, epochs=1))
    assert "0 epochs" in repr(result(history={"loss": np.array([])}, epochs=0))


def test_letters_are_escaped_as_html_escapes_them() -> None:
    text = """a < b & 'c' > "d" &amp; é"""
    assert _escaped(text) == html.escape(text) != text


def test_html_is_escaped() -> None:
    text = result(parameters=ByName({"<b>": np.zeros((3, 4)), "a": np.array(1.0)}), stopped="<i>")._repr_html_()
    assert "&lt;b&gt;</td><td>3×4</td><td>mean 0, standard deviation 0" in text
    assert "<td>a</td><td>number</td><td>1.<" in text
    assert "<b>" not in text and "<i>" not in text


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["fit.npz", "fit", "fit.v2"])
def test_save_and_load(tmp_path: Path, name: str) -> None:
    path = result().save(tmp_path / name)
    assert path.name == name.removesuffix(".npz") + ".npz" and path.exists()
    loaded = load_parameters(tmp_path / name)
    assert list(loaded) == ["W", "a"]
    assert np.array_equal(loaded[W], result().parameters[W]) and loaded[a].shape == ()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "arr_0", r"\theta_1", "θ", "W[1, 2]"])
def test_any_name(tmp_path: Path, name: str) -> None:
    loaded = load_parameters(save_arrays(tmp_path / "a", {name: np.array([1.0, np.nan], np.float32)}))
    assert list(loaded) == [name] and loaded[name].dtype == np.float32


def test_numpy_reads_and_writes_it_too(tmp_path: Path) -> None:
    with np.load(result().save(tmp_path / "fit")) as archive:
        assert sorted(archive.files) == ["W", "a"]
    np.savez(tmp_path / "theirs", b=np.ones(2))
    assert load_parameters(tmp_path / "theirs")["b"].tolist() == [1.0, 1.0]


class Trap:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code in a file was run",))


def test_no_pickle_runs(tmp_path: Path) -> None:
    np.savez(tmp_path / "trap", w=np.array([Trap()], dtype=object))
    with pytest.raises(DtypeError, match=r"'w' in .* could run code"):
        load_parameters(tmp_path / "trap")
    (tmp_path / "plain").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArgumentError, match="no npz file"):
        load_parameters(tmp_path / "plain")
    with pytest.raises(DtypeError, match="w holds Python objects"):
        save_arrays(tmp_path / "mine", {"w": np.array([None])})


def test_not_such_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_parameters(tmp_path / "nothing")
    np.save(tmp_path / "one.npy", np.ones(2))
    with pytest.raises(ArgumentError, match="no npz file"):
        load_parameters(tmp_path / "one.npy")
    whole = result().save(tmp_path / "fit").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArgumentError, match="damaged"):
        load_parameters(tmp_path / "half")
    middle = bytearray(whole)
    middle[whole.index(b"\x93NUMPY") + 130] ^= 1
    (tmp_path / "flipped.npz").write_bytes(middle)
    with pytest.raises(ArgumentError, match="is damaged"):
        load_parameters(tmp_path / "flipped")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(ArgumentError, match="no npz file"):
        load_parameters(tmp_path / "empty")
