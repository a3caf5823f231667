"""No search for garbage while a large graph grows: nearly all of it is alive, and each search would walk all of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 20_000  # new containers that are worth more than one of Python's own searches among the youngest


@contextmanager
def collection_paused() -> Iterator[None]:
    """Python's cyclic garbage collection rests; where it was off already, it stays off.

    Afterwards a large graph counts as old: it is walked when Python next looks at everything, not three times at once.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if gc.get_count()[0] > MANY and not gc.get_freeze_count():  # what somebody has frozen stays frozen
                gc.freeze()
                gc.unfreeze()  # into the oldest generation, without a walk
            gc.enable()
