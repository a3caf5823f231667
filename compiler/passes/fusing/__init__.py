"""What the pass `fuse` is made of: which values are stored, in which form, and which share their loops."""
