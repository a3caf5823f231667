"""Our cheap data classes beside the standard library's: what one can do with an instance is the same."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest

from sympile.compiler.graph.node import Node, const
from sympile.compiler.records import dataclass

ROOT = Path(__file__).resolve().parent.parent


def point(decorator: Callable[..., Any], **options: Any) -> Any:
    """One class with all kinds of fields, made by one of the two decorators."""

    @decorator(slots=True, **options)
    class Point:
        """A place."""

        x: int
        y: Any
        name: str = "p"
        near: list[int] = field(default_factory=list)
        secret: int = field(default=7, repr=False)

        @property
        def total(self) -> int:
            return self.x + 1

    return Point


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "frozen": {"frozen": True},
    "by identity": {"eq": False},
    "frozen, by identity": {"frozen": True, "eq": False},
    "not shown": {"repr": False, "frozen": True},
    "weakly referenced": {"frozen": True, "weakref_slot": True},
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return point(dataclass, **request.param), point(dataclasses.dataclass, **request.param)


def outcome(action: Callable[[], Any]) -> Any:
    """What it gives, or the class of its error."""
    try:
        return action()
    except Exception as error:
        return type(error)


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "positions": lambda c: [getattr(c(1, 2, "q", [3], 4), n) for n in ("x", "y", "name", "near", "secret", "total")],
    "keywords": lambda c: [getattr(c(y=2, x=1), n) for n in ("x", "y", "name", "near", "secret")],
    "too few": lambda c: c(1),
    "too many": lambda c: c(1, 2, "q", [], 4, 5),
    "a strange keyword": lambda c: c(1, 2, z=3),
    "the same argument twice": lambda c: c(1, 2, x=3),
    "factories make new ones": lambda c: c(1, 2).near is c(1, 2).near,
    "equal": lambda c: (c(1, 2) == c(1, 2), c(1, 2) != c(1, 2), c(1, 2) == c(1, 3), c(1, 2) == (1, 2, "p", [], 7)),
    "unlike another class": lambda c: c(1, 2) == 1,
    "hash of equals": lambda c: len({*[c(1, 2, near=()) for _ in range(3)]}),
    "hash of lists": lambda c: type(hash(c(1, 2))),
    "shown": lambda c: repr(c(1, "a")).rpartition(" at ")[0] or repr(c(1, "a")),
    "shown in a circle": lambda c: in_circle(c),
    "set": lambda c: setattr(c(1, 2), "x", 3),
    "delete": lambda c: delattr(c(1, 2), "x"),
    "a new attribute": lambda c: isinstance(outcome(lambda: setattr(c(1, 2), "other", 3)), type),
    "no dict": lambda c: c(1, 2).__dict__,
    "replace": lambda c: [getattr(dataclasses.replace(c(1, 2), y=5, near=[1]), n) for n in ("x", "y", "name", "near")],
    "replace what is not there": lambda c: dataclasses.replace(c(1, 2), z=5),
    "fields": lambda c: [f.name for f in dataclasses.fields(c)],
    "is a data class": lambda c: (dataclasses.is_dataclass(c), dataclasses.is_dataclass(c(1, 2))),
    "as a dict": lambda c: dataclasses.asdict(c(1, 2)),
    "copy": lambda c: [getattr(copy.deepcopy(c(1, 2, near=[3])), n) for n in ("x", "y", "name", "near", "secret")],
    "matched": lambda c: matched(c, c(1, 2)),
    "signature": lambda c: [(p.name, p.kind) for p in inspect.signature(c).parameters.values()],
    "annotations": lambda c: list(c.__init__.__annotations__),
    "documented": lambda c: (c.__doc__, c.__name__, c.__qualname__, c.__module__),
    "weak reference": lambda c: type(weakref.ref(c(1, 2))),
}  # fmt: skip


def in_circle(cls: Any) -> str:
    one = cls(1, [])
    one.y.append(one)
    return repr(one).split(" at ")[0]


def matched(cls: Any, one: Any) -> Any:
    match one:
        case cls(x, y, name):
            return x, y, name


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_as_the_standard_data_class(action: Callable[[Any], Any], pair: tuple[Any, Any]) -> None:
    ours, standard = pair
    assert outcome(lambda: action(ours)) == outcome(lambda: action(standard))


def test_the_comparison_can_fail() -> None:
    assert outcome(lambda: ACTIONS["set"](point(dataclass))) != outcome(
        lambda: ACTIONS["set"](point(dataclasses.dataclass, frozen=True))
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """At the top of a module, where pickle finds it."""

    one: int
    many: tuple[int, ...] = ()


def test_frozen_ones_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(1, (2, 3)))) == Kept(1, (2, 3))
    assert {Kept(1): "a"}[pickle.loads(pickle.dumps(Kept(1)))] == "a"


def test_what_follows_init() -> None:
    @dataclass(slots=True)
    class Both:
        a: int
        b: int = field(init=False)
        c: int = 3

        def __post_init__(self) -> None:
            self.b = self.a + self.c

    assert (Both(1).b, Both(1, 5).b, Both(a=1, c=2).c) == (4, 6, 2)


def test_methods_of_the_class_stay() -> None:
    @dataclass(frozen=True, slots=True)
    class Own:
        a: int

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

    assert repr(Own(1)) == "mine" and Own(1) == 2


def test_of_an_abstract_class() -> None:
    class Shape(ABC):
        @abstractmethod
        def area(self) -> int: ...

    @dataclass(frozen=True, slots=True)
    class Square(Shape):
        side: int

        def area(self) -> int:
            return self.side**2

    assert Square(3).area() == 9 and isinstance(Square(3), Shape)


def test_no_field_and_one_field() -> None:
    @dataclass(frozen=True, slots=True)
    class Nothing:
        pass

    assert Nothing() == Nothing() and hash(Nothing()) == hash(Nothing()) and repr(Nothing()).endswith("Nothing()")
    assert Kept(1) != Kept(2) and hash(Kept(1)) != hash(Kept(2))


def test_a_field_without_a_default_behind_one_with() -> None:
    with pytest.raises(TypeError, match="without a default"):

        @dataclass(slots=True)
        class Wrong:
            a: int = 1
            b: int  # type: ignore[misc]


def test_the_package_uses_them() -> None:
    """Each class of the standard decorator adds a third of a millisecond to `import sympile`."""
    files = [path for folder in ("compiler", "runtime") for path in (ROOT / folder).rglob("*.py")]
    wrong = [
        str(path) for path in files if re.search(r"^from dataclasses import .*\bdataclass\b", path.read_text(), re.M)
    ]
    assert len(files) > 200 and not wrong


def test_nodes_stay_as_they_are() -> None:
    assert dataclasses.is_dataclass(Node)
    with pytest.raises(dataclasses.FrozenInstanceError):
        const(3).op = "add"  # type: ignore[misc]
