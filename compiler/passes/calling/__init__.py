"""The parts of a call from Python: words, arguments, results."""
