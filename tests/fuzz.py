"""Random graphs through interpreter and engine, for as long as one likes: ``python -m tests.fuzz --count 20000``.

The bits must be the same on every instruction set and with 1, 2 and 3 threads. Exit status 1 names the first seed with
a difference; ``--start SEED --count 1`` repeats it alone.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from tests.engine.build import ISAS, check
from tests.graphs import random_graph, random_inputs

from onebit.cli.output import progress


def one(seed: int) -> None:
    """One random graph, run twice as its state moves on, everywhere; ``AssertionError`` says what differs."""
    rng = np.random.default_rng([20, seed])
    graph, inputs = random_graph(rng, batch_norm=False)
    again = random_inputs(rng, graph)
    for number, isa in enumerate(ISAS):
        check(graph, inputs, again, isas=[isa], threads=(1 + (seed + number) % 3,))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many graphs")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    with progress("random graphs", options.count) as advance:
        for seed in range(options.start, options.start + options.count):
            try:
                one(seed)
            except Exception as error:
                print(f"seed {seed}: {type(error).__name__}: {error}", file=sys.stderr)
                return 1
            advance()
    print(f"{options.count} random graphs: engine ({', '.join(ISAS)}) and interpreter give the same bits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
