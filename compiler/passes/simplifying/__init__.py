"""What the pass `simplify` is made of: rows matched, filled in, recorded; forms found besides."""
