"""What the pass `schedule` is made of: tiles, packing, bounds of loops, chunks for threads, lifetimes."""
