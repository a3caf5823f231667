"""Data classes that cost little to make: as `dataclasses.dataclass`, whose classes took half of the time of an import.

The standard decorator writes some six functions for each class as text, and compiles them. Here all classes share
functions that look up what fields there are, and `__init__` is compiled once for as many fields of the same kinds;
other names are put in. What reads data classes (`dataclasses.replace`, `fields`, `is_dataclass`) finds what it needs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from operator import attrgetter
from reprlib import recursive_repr
from types import CodeType, FunctionType
from typing import Any, TypeVar, dataclass_transform

Class = TypeVar("Class", bound=type)
Fields = Mapping[str, "dataclasses.Field[Any]"]

_ORDINARY: Any = getattr(dataclasses, "_FIELD", None)  # how the standard functions know a field from a class variable
_MISSING: Any = dataclasses.MISSING
_FRESH = object()  # the default of an argument that a factory makes
_assign: Callable[[Any, str, Any], None] = object.__setattr__


@dataclass_transform(field_specifiers=(dataclasses.field,))
def dataclass(
    *, slots: bool, frozen: bool = False, eq: bool = True, repr: bool = True, weakref_slot: bool = False
) -> Callable[[Class], Class]:
    """A class with slots for its annotated fields and the usual functions; arguments as of the standard decorator."""
    assert slots, "every data class has slots"

    def made(plain: Class) -> Class:
        own = _own_fields(plain)
        fields: Fields = {**getattr(plain, "__dataclass_fields__", {}), **own}
        content = {k: v for k, v in vars(plain).items() if k not in own and k not in ("__dict__", "__weakref__")}
        names = tuple(fields)
        initializer = _initializer(plain, fields, frozen)
        shared = {
            "__init__": initializer,
            **(_SHOWN if repr else {}),
            **(_COMPARED if eq else {}),
            **(_FROZEN if frozen else {}),
            **(_HASHED if frozen and eq else {}),
        }
        for name, function in shared.items():
            content.setdefault(name, function)
        content |= {
            "__qualname__": plain.__qualname__,
            "__slots__": (*own, "__weakref__") if weakref_slot else tuple(own),
            "__dataclass_fields__": fields,
            "__match_args__": names,
            "_values": attrgetter(*names, *names[:1]) if names else attrgetter("__class__"),  # a tuple, also of one
        }
        cls: Class = type(plain)(plain.__name__, plain.__bases__, content)
        if frozen:
            initializer.__globals__.update({f"put{k}": getattr(cls, name).__set__ for k, name in enumerate(names)})
        return cls

    return made


def _own_fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields that the class itself adds, in order."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for name, kind in vars(cls).get("__annotations__", {}).items():
        default = vars(cls).get(name, _MISSING)
        one: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        one.name, one.type, one._field_type = name, kind, _ORDINARY
        found[name] = one
    return found


# ------------------------------------------------------------------------------------------------ __init__


def _initializer(cls: type, fields: Fields, frozen: bool) -> FunctionType:
    """`__init__` for these fields: the compiled function for as many of the same kinds, with their names in it.

    A frozen class's calls put0, put1, …, which write to its slots; they are to be had when the class is made.
    """
    kinds = "".join(map(_kind, fields.values()))
    code = _template(kinds, frozen, hasattr(cls, "__post_init__"))
    names = {f"field{k}": name for k, name in enumerate(fields)}
    code = code.replace(
        co_varnames=tuple([names.get(name, name) for name in code.co_varnames]),
        co_names=tuple([names.get(name, name) for name in code.co_names]),
        co_qualname=f"{cls.__qualname__}.__init__",
    )
    factories = {f"make{k}": field.default_factory for k, field in enumerate(fields.values()) if kinds[k] == "m"}
    made = FunctionType(code, {"__name__": cls.__module__, "fresh": _FRESH, **factories})
    defaults = [_default(field) for field in fields.values() if field.init]
    required = defaults.count(_MISSING)
    if _MISSING in defaults[required:]:
        raise TypeError(f"{cls.__qualname__}: a field without a default stands behind one with a default")
    made.__defaults__ = tuple(defaults[required:])
    made.__annotations__ = {name: field.type for name, field in fields.items() if field.init} | {"return": None}
    return made


def _kind(field: dataclasses.Field[Any]) -> str:
    """g: a given value; m: given, or made by a factory; n: no argument."""
    if not field.init:
        return "n"
    return "g" if field.default_factory is _MISSING else "m"


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is _MISSING else _FRESH


@functools.cache
def _template(kinds: str, frozen: bool, hook: bool) -> CodeType:
    """The code of an `__init__` whose fields are called field0, field1, …"""
    lines = []
    for k, kind in enumerate(kinds):
        if kind != "n":
            value = f"make{k}() if field{k} is fresh else field{k}" if kind == "m" else f"field{k}"
            lines.append(f"put{k}(self, {value})" if frozen else f"self.field{k} = {value}")
    lines.append("self.__post_init__()" if hook else "return None")
    listed = "".join(f", field{k}" for k, kind in enumerate(kinds) if kind != "n")
    space: dict[str, Any] = {}
    exec(f"def __init__(self{listed}):\n " + "\n ".join(lines), space)
    code: CodeType = space["__init__"].__code__
    return code


# ------------------------------------------------------------------------------------------------ what all share


def _equal(self: Any, other: Any) -> Any:
    return self._values(self) == self._values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._values(self))


@recursive_repr()
def _shown(self: Any) -> str:
    parts = [f"{name}={getattr(self, name)!r}" for name, field in self.__dataclass_fields__.items() if field.repr]
    return f"{self.__class__.__qualname__}({', '.join(parts)})"


def _refused(self: Any, name: str, value: Any = None) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _restored(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        _assign(self, name, value)


_COMPARED: dict[str, Any] = {"__eq__": _equal, "__hash__": None}
_HASHED: dict[str, Any] = {"__hash__": _hash}
_SHOWN: dict[str, Any] = {"__repr__": _shown}
_FROZEN: dict[str, Any] = {
    "__setattr__": _refused,
    "__delattr__": _refused,
    "__getstate__": _state,
    "__setstate__": _restored,
}
