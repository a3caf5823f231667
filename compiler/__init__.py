"""From SymPy formulas to machine code: read, simplify, derive, simplify, fuse, schedule, emit (see pipeline.py)."""

if __name__ == "compiler":
    raise ImportError("import sympile.compiler, not compiler: a second copy of its classes would not match the first")
