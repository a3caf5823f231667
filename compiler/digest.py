"""Digests without OpenSSL, which `hashlib` loads and nothing here needs."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # a Python without that module of its own
    from hashlib import blake2b

__all__ = ["blake2b"]
