"""Ctrl-C while native code runs: a flag instead of an exception."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

Flag = npt.NDArray[np.int32]
INTERRUPT = int(signal.SIGINT)
_plain: Any = sys.modules.get("_signal", signal)  # without the enumerations of signal: 7 µs less


class _Handler:
    """Counts Ctrl-C in its flag, and in the flags of the fits around it."""

    __slots__ = ("flag", "outer")

    def __init__(self, flag: Flag, outer: Any) -> None:
        self.flag, self.outer = flag, outer

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.flag[0] += 1
        if isinstance(self.outer, _Handler):
            self.outer(number, frame)


class interrupt_flag:
    """Gives a flag that counts how often Ctrl-C was pressed; raises nothing, and restores the handler at the end.

    Python runs signal handlers when native code has returned to it, so the native loop must return now and then.
    Away from the main thread, or where Ctrl-C is ignored or handled outside Python, the flag stays 0 and the handler
    is left as it is. Of nested uses, all see the Ctrl-C.

    Args:
        flag: one number that nobody else uses, which is set to 0; a new one by default.

    Example:
        >>> with interrupt_flag() as flag:
        ...     signal.raise_signal(signal.SIGINT)
        ...     int(flag[0])
        1
    """

    __slots__ = ("_flag", "_outer")

    def __init__(self, flag: Flag | None = None) -> None:
        self._flag = np.zeros(1, np.int32) if flag is None else flag

    def __enter__(self) -> Flag:
        flag = self._flag
        flag[0] = 0
        outer = _plain.getsignal(INTERRUPT)
        away = threading.current_thread() is not threading.main_thread()
        self._outer = None if away or outer == signal.SIG_IGN else outer
        if self._outer is not None:
            _plain.signal(INTERRUPT, _Handler(flag, outer))
        return flag

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._outer is not None:
            _plain.signal(INTERRUPT, self._outer)
