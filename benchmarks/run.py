"""Races sympile against the tools that are installed: `python benchmarks/run.py [workload …] [--peers]`."""

from __future__ import annotations

import environment

environment.settle()    # before NumPy and the others read the environment

import argparse  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402

import first_result  # noqa: E402
from harness import OURS, Contender, Run, Workload, best_peer, disagreements, race, ratios, table  # noqa: E402
from peers import missing  # noqa: E402
from workloads import NAMES, workload  # noqa: E402

ALL = (*NAMES, "first_result")


def main() -> int:
    arguments = parse()
    load = os.getloadavg()[0]
    print(f"one thread, float64 unless said, {os.cpu_count()} cores, load {load:.1f}; medians of {arguments.rounds}")
    if missing():
        print(f"not installed, and so left out: {', '.join(missing())}")
    return max([report(name, arguments) for name in arguments.names], default=0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="workload", help=f"of {', '.join(ALL)}; default: all")
    parser.add_argument("--peers", action="store_true", help="without sympile")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--patience", type=float, default=0.5, help="who needs more seconds runs twice (default 0.5)")
    parser.add_argument("--compiled", action="store_true", help="with torch.compile, which takes a minute a network")
    arguments = parser.parse_args()
    if arguments.compiled:
        os.environ["BENCHMARK_COMPILED"] = "1"
    arguments.names = [name.replace("-", "_") for name in arguments.names] or list(ALL)
    unknown = [name for name in arguments.names if name not in ALL]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(ALL)}")
    return arguments


def report(name: str, arguments: argparse.Namespace) -> int:
    """Prints one workload's table; 1 if a contender failed or reached another loss."""
    if name == "first_result":
        return report_first_results(arguments)
    race_of: Workload = workload(name)
    print(f"\n{race_of.TITLE}", flush=True)
    data = race_of.make_data()
    runs = race_of.peers(data)
    failed = False
    if not arguments.peers:
        own = own_run(race_of, data)
        failed = own is None
        runs = {OURS: own, **runs} if own else runs
    contenders = race(
        runs,
        lambda parameters: race_of.final_loss(data, parameters),
        rounds=arguments.rounds,
        patience=arguments.patience,
    )
    print(table(contenders))
    wrong = disagreements(contenders, race_of.RTOL)
    for line in [*verdict(contenders, race_of), *(f"  WRONG: {line}" for line in wrong)]:
        print(line, flush=True)
    return int(failed or bool(wrong))


def report_first_results(arguments: argparse.Namespace) -> int:
    print(f"\n{first_result.TITLE}", flush=True)
    contenders = first_result.contenders(arguments.rounds, arguments.patience)
    wrong = disagreements(contenders, 1e-10)
    print("\n".join([*first_result.verdict(contenders), *(f"  WRONG: {line}" for line in wrong)]), flush=True)
    return int(bool(wrong))


def own_run(workload: Workload, data: object) -> Run | None:
    """Ours, tried once; its failure is shown, and the peers still race."""
    try:
        run = workload.ours(data)
        run()
    except Exception:
        print("  sympile FAILED:\n" + traceback.format_exc(limit=-3))
        return None
    return run


def verdict(contenders: list[Contender], workload: Workload) -> list[str]:
    """Ours against the best peer; the goal is only judged against a peer as good as the one it was set against."""
    own = next((each for each in contenders if each.name == OURS), None)
    if own is None:
        return []
    peer = best_peer(contenders)
    middle = ratios(own, peer)[0]
    lines = [f"  {OURS} / {peer.name} = {middle:.3g}{judged(middle, contenders, workload)}"]
    by_c = next((each for each in contenders if each.name == "C by hand"), None)
    return lines + ([f"  {OURS} / {by_c.name} = {ratios(own, by_c)[0]:.3g}"] if by_c else [])


def judged(middle: float, contenders: list[Contender], workload: Workload) -> str:
    if workload.GOAL is None:
        return "; no goal was set"
    if any(each.name.startswith(workload.GOAL_PEER) for each in contenders):
        word = "reached" if middle <= workload.GOAL else "not reached"
    else:
        word = f"against {workload.GOAL_PEER}, which is not installed"
    return f"; the goal of {workload.GOAL} is {word}"


if __name__ == "__main__":
    sys.exit(main())
