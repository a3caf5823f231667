"""Runs what the compiler made: arrays checked once, native calls, the native training loop."""

if __name__ == "runtime":
    raise ImportError("import sympile.runtime, not runtime: a second copy of its classes would not match the first")
