"""Showing: one example of a program, with names, as formulas in the notation in which they were asked for."""
