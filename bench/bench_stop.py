"""The early stop's true error rates: exact, over all looks, by the share lost.

usage: python bench/bench_stop.py [--replies N]

For each true share: the chance that a run is stopped at all, by question 20 and by
question 75, and after how many questions half of the runs are stopped. Then the same
where section A alone loses more than the rest, asked in exam order and as runs are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import repeat

import numpy as np

from igaku.ask import health
from igaku.ask.plan import ORDER, in_asking_order
from igaku.exam.questions import Question

SHARES = (0.10, 0.15, 0.18, 0.20, 0.25, 0.30, 0.40, 0.50, 0.60, 0.75)
SIZES = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
LOSSY = ((0.10, 0.20), (0.10, 0.30), (0.10, 0.40))  # of all, of section A


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replies", type=int, default=400)
    replies = parser.parse_args().replies
    print("| lost | stopped | by 20 | by 75 | median |\n|---|---|---|---|---|")
    for share in SHARES:
        tell(f"{100 * share:.0f} %", stopped(repeat(share, replies)))
    for mean, in_a in LOSSY:
        for name, sections in (("exam order", exam_order()), ("asked", asked_order())):
            told = f"{100 * mean:.0f} %, A {100 * in_a:.0f} %, {name}"
            tell(told, stopped(shares_of(sections, mean, in_a)))


def tell(name: str, found: np.ndarray) -> None:
    half = np.flatnonzero(found >= 0.5)
    median = str(half[0]) if len(half) else "–"
    last = len(found) - 1
    told = (f"{100 * found[min(n, last)]:.2f} %" for n in (last, 20, 75))
    print(f"| {name} | {' | '.join(told)} | {median} |")


def stopped(shares: Iterable[float]) -> np.ndarray:
    """The probability that the rule has stopped a run after each reply, by induction.

    `shares` is the chance of each reply in turn to be lost; `going[k]` the probability
    of k lost replies in a run that was not stopped.
    """
    going, found = np.ones(1), [0.0]
    for n, share in enumerate(shares, 1):
        going = np.append(going * (1 - share), 0) + np.append(0, going * share)
        if n >= health.FEWEST:
            going[health.fewest_lost(n) :] = 0
        found.append(1 - going.sum())
    return np.array(found)


def exam_order() -> list[str]:
    """The sections of exam 116, question by question."""
    return [section for section, size in SIZES.items() for _ in range(size)]


def asked_order() -> list[str]:
    """The sections of exam 116, question by question, as a run asks them."""
    numbers = [f"116{s}{i}" for s, size in SIZES.items() for i in range(1, size + 1)]
    rows = ({"problem_id": n, "problem_text": "", "answer": ["1"]} for n in numbers)
    asked = in_asking_order(list(map(Question.from_record, rows)), ORDER)
    return [question.section for question in asked]


def shares_of(sections: Iterable[str], mean: float, in_a: float) -> list[float]:
    """Each reply's chance to be lost, where section A's differs from the others'."""
    whole = sum(SIZES.values())
    others = (whole * mean - SIZES["A"] * in_a) / (whole - SIZES["A"])
    return [in_a if section == "A" else others for section in sections]


if __name__ == "__main__":
    main()
