"""Locks of a whole process that a fork waits for, so that no thread that the child lacks holds one there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar


def process_lock() -> threading.RLock:
    """A new lock for module state; a thread that has it may take it again."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


Value = TypeVar("Value")


class once(Generic[Value]):
    """A property computed at its first use, as `functools.cached_property`, without a lock.

    Python 3.11 holds one lock for all instances of a class while it computes: threads would wait for each other's
    compilations, and a child forked meanwhile for ever. Two threads that come at once both compute; the first one's
    value stays.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Value:
        if instance is None:
            return self  # type: ignore[return-value]   # seen from the class, for documentation
        found: Value = instance.__dict__.setdefault(self._name, self._compute(instance))
        return found
