"""SymPy expressions → definitions: one file a notation, one engine."""
