"""Symbols with a fixed meaning: in learning rates `step` and `epoch`, in update rules `gradient` and `parameter`."""

from __future__ import annotations

import sympy as sp

step = sp.Symbol("step")  # counts updates, from 0
epoch = sp.Symbol("epoch")  # counts passes over the data, from 0
gradient = sp.Symbol("gradient")  # the gradient of the objective by the parameter that is updated
parameter = sp.Symbol("parameter")  # the parameter that is updated
