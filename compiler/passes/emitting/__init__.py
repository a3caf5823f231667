"""Loops → LLVM IR text: addresses, elements, nests of loops, linear-algebra calls."""
