"""Nouns: nodes, definitions, their normal form, and how they are shown."""
