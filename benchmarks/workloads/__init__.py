"""One file a workload: the data, the peers, ours. `NAMES` is the order in which they run."""

NAMES = ("line", "curve", "logistic", "mlp_digits")
