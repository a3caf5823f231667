"""Locks of a whole process that a fork waits for, so that no thread that the child lacks holds one there."""

from __future__ import annotations

import os
import threading


def process_lock() -> threading.RLock:
    """A new lock for module state; a thread that has it may take it again."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
