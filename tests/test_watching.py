"""Ctrl-C as a flag, and the progress bar: what a person at the terminal does and sees."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sympile.compiler.errors import ArgumentError
from sympile.runtime.interrupts import interrupt_flag
from sympile.runtime.progress import Progress

# fmt: off: the table below is aligned by hand


def press() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _handler_is_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert after is before


def test_flag_counts_and_nothing_is_raised() -> None:
    with interrupt_flag() as flag:
        assert flag.tolist() == [0] and flag.dtype == "int32"
        press()
        press()
    assert flag.tolist() == [2]


def test_afterwards_an_interrupt_is_an_exception_again() -> None:
    with interrupt_flag():
        pass
    with pytest.raises(KeyboardInterrupt):
        press()


def test_an_error_inside_restores_too() -> None:
    with pytest.raises(ZeroDivisionError), interrupt_flag():
        raise ZeroDivisionError


def test_nested_fits_all_hear_it() -> None:
    with interrupt_flag() as outer:
        with interrupt_flag() as inner:
            press()
        assert (outer[0], inner[0]) == (1, 1)
        press()
        assert (outer[0], inner[0]) == (2, 1)


def test_away_from_the_main_thread() -> None:
    flags = []

    def work() -> None:
        with interrupt_flag() as flag:
            flags.append(flag)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert flags[0].tolist() == [0]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "the user's own"])
def test_other_handlers_come_back(handler: Any) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupt_flag() as flag:
            press()
        assert flag[0] == (0 if handler is signal.SIG_IGN else 1)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


# --------------------------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen(
    monkeypatch: pytest.MonkeyPatch, verbose: bool | int | None, stream: Callable[[], io.StringIO] = io.StringIO
) -> str:
    """What a fit of 2 epochs of 5 steps writes to standard error."""
    out = stream()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr("sympile.runtime.progress.PATIENCE", 0.0)
    with Progress(epochs=2, steps=10, verbose=verbose) as progress:
        assert progress.active is bool(verbose or (verbose is None and out.isatty()))
        progress.report(0, 3, 1.5)
        progress.report(1, 10, 0.25)
    assert not progress.active
    return out.getvalue()


@pytest.mark.parametrize(("verbose", "stream", "shows"), [
    pytest.param(None,  io.StringIO, False, id="no terminal"),
    pytest.param(None,  Terminal,    True,  id="terminal"),
    pytest.param(False, Terminal,    False, id="unwanted"),
    pytest.param(0,     Terminal,    False, id="0"),
    pytest.param(True,  io.StringIO, True,  id="wanted"),
    pytest.param(1,     io.StringIO, True,  id="1"),
])
def test_who_sees_the_bar(monkeypatch: pytest.MonkeyPatch, verbose: Any, stream: Any, shows: bool) -> None:
    assert bool(seen(monkeypatch, verbose, stream)) is shows


def test_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    last = seen(monkeypatch, True).rstrip().split("\r")[-1]
    for word in ("epoch 2/2", "loss 0.25", "100%", "steps/s", "00:00 left"):
        assert word in last


def test_quick_fits_stay_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    with Progress(epochs=1, steps=10) as progress:
        progress.report(0, 5, 1.0)
        progress.report(0, 10, 1.0)
    assert "epoch" not in out.getvalue()


def test_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Progress(epochs=1, steps=10).report(0, 5, 1.0)
    Progress(epochs=1, steps=10, verbose=True).close()


@pytest.mark.parametrize("verbose", [2, -1, "auto"])
def test_verbose_refused(verbose: Any) -> None:
    with pytest.raises(ArgumentError, match="verbose must be"):
        Progress(1, 1, verbose)
