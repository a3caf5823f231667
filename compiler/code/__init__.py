"""Writing LLVM IR as text: targets, functions and loops, arithmetic on lanes."""
