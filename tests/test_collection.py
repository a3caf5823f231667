"""Python's garbage collector around the growth of large graphs: what is paused goes on, and what is garbage goes."""

from __future__ import annotations

import gc
import weakref

import pytest

from sympile.compiler.collection import MANY, collection_paused


class Thing:
    """Something that can be referred to weakly."""


def in_circle() -> weakref.ref[Thing]:
    one = Thing()
    one.self = one  # type: ignore[attr-defined]
    return weakref.ref(one)


def youngest() -> int:
    return len(gc.get_objects(generation=0))


def test_a_large_graph_counts_as_old() -> None:
    with collection_paused():
        assert not gc.isenabled()
        graph = [[k] for k in range(2 * MANY)]
    assert gc.isenabled() and youngest() < MANY / 4 and gc.get_freeze_count() == 0
    assert len(graph) == 2 * MANY


def test_a_small_one_does_not() -> None:
    gc.collect()
    with collection_paused():
        graph = [[k] for k in range(200)]
        counted = gc.get_count()[0]
    assert counted >= 200 and any(one is graph[7] for one in gc.get_objects(generation=0))


def test_garbage_among_it_is_found_later() -> None:
    with collection_paused():
        lost = in_circle()
        graph = [[k] for k in range(2 * MANY)]
    assert lost() is not None
    gc.collect()
    assert lost() is None and graph


def test_what_somebody_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with collection_paused():
            graph = [[k] for k in range(2 * MANY)]
        assert gc.get_freeze_count() >= frozen * 0.9 and graph
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("on", [True, False])
def test_it_goes_on_as_it_was(on: bool) -> None:
    try:
        if not on:
            gc.disable()
        with pytest.raises(KeyError), collection_paused():
            raise KeyError
        assert gc.isenabled() is on
    finally:
        gc.enable()
