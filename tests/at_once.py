"""Work in several threads at once, of which each may disturb the others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable


def at_once(work: Callable[[int], object], count: int) -> None:
    """work(0), …, work(count - 1), each in a thread of its own; they take turns as often as they can.

    Raises what the first of them raised that failed: a thread that ends by an error would end unnoticed.
    """
    failed: list[BaseException] = []

    def noticed(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=noticed, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if failed:
        raise failed[0]
