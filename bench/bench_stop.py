"""The early stop's true error rates: exact, over all looks, by the share lost.

usage: python bench/bench_stop.py [--replies N]

For each true share: the chance that a run is stopped at all, by question 20 and by
question 75, and after how many questions half of the runs are stopped.
"""

from __future__ import annotations

import argparse

import numpy as np

from igaku.ask import health

SHARES = (0.10, 0.15, 0.18, 0.20, 0.25, 0.30, 0.40, 0.50, 0.60, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replies", type=int, default=400)
    replies = parser.parse_args().replies
    print("| lost | stopped | by 20 | by 75 | median |\n|---|---|---|---|---|")
    for share in SHARES:
        found = stopped(share, replies)
        half = np.flatnonzero(found >= 0.5)
        median = str(half[0]) if len(half) else "–"
        told = (f"{100 * found[n]:.2f} %" for n in (replies, 20, min(75, replies)))
        print(f"| {100 * share:.0f} % | {' | '.join(told)} | {median} |")


def stopped(share: float, replies: int) -> np.ndarray:
    """The probability that the rule has stopped a run after each reply, by induction.

    `going[k]` is the probability of k lost replies in a run that was not stopped.
    """
    going, found = np.ones(1), [0.0]
    for n in range(1, replies + 1):
        going = np.append(going * (1 - share), 0) + np.append(0, going * share)
        if n >= health.FEWEST:
            going[health.fewest_lost(n) :] = 0
        found.append(1 - going.sum())
    return np.array(found)


if __name__ == "__main__":
    main()
