"""What runs in a fit besides the step: what is computed once, the update, the loops."""
