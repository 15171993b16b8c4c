"""How often whole studies claim what is not so: simulated, minutes.

usage: python bench/bench_claims.py [--studies N]

Each question's chance to be answered is drawn from a Beta(0.386, 0.158), which gives
71 % right and 14.5 % flips between two equal variants, as the recorded pair has them;
every study draws 400 questions anew. Variants are compared pair by pair with the
package's own tests and adjusted by Holm over the family, as `igaku.pairs` does. The
errors are those of a study, at least one false claim among all of its pairs, with twice
the standard error of the simulation behind ±. Behind it stand two variants that were
asked again and pooled, whose loss all questions bear alike, or a few alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from igaku import statistics
from igaku.words import LEVEL

QUESTIONS, MARGIN, SEED = 400, 0.025, 116
ABILITY = (0.386, 0.158)


@dataclass(frozen=True)
class Scenario:
    """Variants of a study, each with its true loss against the first (fraction)."""

    name: str
    losses: tuple[float, ...]


SCENARIOS = (
    Scenario("3 equal variants", (0.0,) * 3),
    Scenario("6 equal variants", (0.0,) * 6),
    Scenario("3, two of them 2.5 points worse", (0.0, *(MARGIN,) * 2)),
    Scenario("6, five of them 2.5 points worse", (0.0, *(MARGIN,) * 5)),
)


# Questions and askings of two variants that are pooled.
POOLED = ((400, 2), (400, 5), (400, 10), (75, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    print("| study | difference | not worse | 95 % interval covers |")
    print("|---|---|---|---|")
    for place, scenario in enumerate(SCENARIOS):
        drawn = np.random.default_rng([SEED, place])
        row(scenario.name, [claims(drawn, scenario) for _ in range(studies)])
    print("\n| questions, askings | loss | difference | not worse | interval covers |")
    print("|---|---|---|---|---|")
    for place, (asked, times) in enumerate(POOLED):
        for loss in ("none", "all", "few"):
            drawn = np.random.default_rng([SEED, place])
            found = [pooled(drawn, asked, times, loss) for _ in range(studies)]
            row(f"{asked}, {times} | {loss}", found)


def row(name: str, found: list[tuple[float, ...]]) -> None:
    """Print what the studies of one kind claimed."""
    told = (share(column) for column in np.array(found, dtype=float).T)
    print(f"| {name} | {' | '.join(told)} |", flush=True)


def pooled(
    drawn: np.random.Generator, questions: int, askings: int, loss: str
) -> tuple[float, ...]:
    """Of two variants asked again: the same three, where the second lost the margin.

    The loss is drawn with the questions: of those asked, `few` that lose it whole are
    a sample as well.
    """
    chance = drawn.beta(*ABILITY, questions)
    mean = ABILITY[0] / sum(ABILITY)
    own = {
        "none": chance,
        "all": chance * (1 - MARGIN / mean),
        "few": np.where(drawn.random(questions) < MARGIN / mean, 0.0, chance),
    }[loss]
    base, other = (drawn.binomial(askings, p) for p in (chance, own))
    made = np.full(questions, askings)
    found = statistics.mean_difference(base, made, other, made, MARGIN)
    truth = 0.0 if loss == "none" else MARGIN
    return (
        found.pvalue < LEVEL if loss == "none" else np.nan,
        np.nan if loss == "none" else found.not_worse_p < LEVEL / 2,
        found.low <= truth <= found.high,
    )


def share(found: np.ndarray) -> str:
    """A share in per cent with twice its error; – where the claim cannot be false."""
    if np.isnan(found).all():
        return "–"
    mean = found.mean()
    error = 2 * (found.std() / len(found) ** 0.5)
    return f"{100 * mean:.1f} ± {100 * error:.1f} %"


def claims(drawn: np.random.Generator, scenario: Scenario) -> tuple[float, ...]:
    """Of one study: a false "difference", a false "not worse", and the coverage."""
    losses = np.array(scenario.losses)
    right = answered(drawn, losses)
    first, second = np.array(list(combinations(range(len(losses)), 2))).T
    lost = (right[first] & ~right[second]).sum(axis=1)
    won = (~right[first] & right[second]).sum(axis=1)
    both = (right[first] & right[second]).sum(axis=1)
    neither = QUESTIONS - both - lost - won
    truth = losses[first] - losses[second]
    told = np.array(statistics.holm(statistics.mcnemar(lost, won).midp)) < LEVEL
    p = statistics.noninferiority(both, lost, won, neither, MARGIN)
    fine = np.array(statistics.holm(p)) < LEVEL / 2
    low, high = statistics.paired_difference(both, won, lost, neither).tango
    covers = (low <= truth) & (truth <= high)
    equal, worse = truth == 0, truth <= -MARGIN
    return (
        told[equal].any() if equal.any() else np.nan,
        fine[worse].any() if worse.any() else np.nan,
        covers.mean(),
    )


def answered(drawn: np.random.Generator, losses: np.ndarray) -> np.ndarray:
    """Who is right on which question: variants by questions, losses kept on average."""
    chance = drawn.beta(*ABILITY, QUESTIONS)
    mean = ABILITY[0] / sum(ABILITY)
    own = chance * (1 - losses[:, None] / mean)
    return drawn.random(own.shape) < own


if __name__ == "__main__":
    main()
