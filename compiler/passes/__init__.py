"""Verbs: one pass a file, a program in and a program out; pipeline.py says in which order and why."""
