"""What fewer bits in one component do to the chain, and what the budget makes of that.

Reads the replies of `igaku.mechanism.ablation`, every one generated far beyond the
budget, so that any smaller budget can be looked at afterwards: a reply counts at K
when it had finished within K tokens. Intervals of the claims are simultaneous over the
family of
all component × bits pairs (Bonferroni), so that a claim holds for the whole table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from igaku.errors import IgakuError
from igaku.exam.calibration import EFFORTS
from igaku.exam.questions import Question
from igaku.mechanism.ablation import GRID, Ablation, ablations
from igaku.mechanism.evaluate import chats_of, graded
from igaku.statistics import Interval, PairedDifference, paired_difference

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "reference"
RESAMPLES = 20_000


@dataclass(frozen=True)
class Effect:
    """One component at one precision against the reference, on the same questions.

    `blank` replies state nothing within the budget, `unfinished` ones nothing at all.
    The loss of accuracy is reference − component, in fractions of `n`; `longer` is
    component − reference, in tokens.
    """

    component: str
    bits: int | str
    n: int
    right: int
    unfinished: int
    blank: int
    tokens: float
    loss: float
    loss_interval: Interval
    longer: float
    longer_interval: Interval

    @property
    def breaks(self) -> bool:
        """Whether the loss of accuracy is shown: its whole interval lies above 0."""
        return self.loss_interval[0] > 0

    @property
    def lengthens(self) -> bool:
        """Whether longer chains are shown: the whole interval lies above 0."""
        return self.longer_interval[0] > 0


def ask(
    questions: Sequence[Question],
    cap: int,
    effort: str = "medium",
    grid: Sequence[Ablation] = GRID,
) -> pd.DataFrame:
    """Every question under every ablation, greedily, up to `cap` tokens: the replies.

    One row per (component, bits, problem_id), in the order of `grid`.
    """
    import sys

    import pandas as pd
    from tqdm import tqdm

    done = ablations(chats_of(questions), grid, cap, effort)
    bar = tqdm(done, total=len(grid), file=sys.stdout, mininterval=5, unit="model")
    found = {ablation: graded(replies, questions, cap) for ablation, replies in bar}
    return pd.concat([found[ablation] for ablation in grid], ignore_index=True)


def ask_efforts(
    questions: Sequence[Question], cap: int, grid: Sequence[Ablation]
) -> pd.DataFrame:
    """The same at every reasoning effort; column `effort` says at which."""
    import pandas as pd

    asked = [ask(questions, cap, e, grid).assign(effort=e) for e in EFFORTS]
    return pd.concat(asked, ignore_index=True)


def experts_against_rest(
    replies: pd.DataFrame, bits: int, budget: int
) -> PairedDifference:
    """Accuracy with few bits in the experts alone, less that with few in all else.

    Both sides answer the same questions, so this is the seed's claim put to the test:
    positive means that the non-experts' precision matters more.
    """
    experts = right_within(replies_of(replies, "experts", bits), budget)
    rest = right_within(replies_of(replies, "non-experts", bits), budget)
    return _paired(experts, rest, 0.95)


def blank_difference(a: pd.DataFrame, b: pd.DataFrame, budget: int) -> PairedDifference:
    """Share of replies that state nothing within the budget, a − b, paired."""
    return _paired(~stated_within(a, budget), ~stated_within(b, budget), 0.95)


def effects(replies: pd.DataFrame, budget: int) -> list[Effect]:
    """Every component × bits pair of `replies`, in their order, against the reference.

    `replies` has one row per (component, bits, problem_id) with `tokens`, `correct`,
    `finished` and `reached_final`; component "reference" is the unablated model.
    """
    base = replies_of(replies, REFERENCE)
    pairs = replies.loc[replies["component"] != REFERENCE, ["component", "bits"]]
    family = pairs.drop_duplicates()
    if base.empty or family.empty:
        raise IgakuError("Effects need the reference's replies and at least one other.")
    confidence = 1 - 0.05 / len(family)
    return [
        _effect(base, replies_of(replies, c, b), c, b, budget, confidence)
        for c, b in family.itertuples(index=False)
    ]


def replies_of(
    replies: pd.DataFrame, component: str, bits: int | str | None = None
) -> pd.DataFrame:
    """The replies under one ablation, by problem id."""
    rows = replies[replies["component"] == component]
    if bits is not None:
        rows = rows[rows["bits"] == bits]
    return rows.set_index("problem_id").sort_index()


def _effect(
    base: pd.DataFrame,
    rows: pd.DataFrame,
    component: str,
    bits: int | str,
    budget: int,
    confidence: float,
) -> Effect:
    base = base.loc[rows.index]
    right, before = right_within(rows, budget), right_within(base, budget)
    loss = _paired(before, right, confidence)
    longer, longer_interval = _mean_difference(
        rows["tokens"], base["tokens"], confidence
    )
    return Effect(
        component=component,
        bits=bits,
        n=len(rows),
        right=int(right.sum()),
        unfinished=int((~stated(rows)).sum()),
        blank=int((~stated_within(rows, budget)).sum()),
        tokens=float(rows["tokens"].mean()),
        loss=loss.estimate,
        loss_interval=loss.tango,
        longer=longer,
        longer_interval=longer_interval,
    )


def stated_within(rows: pd.DataFrame, budget: int) -> pd.Series:
    """Which replies would have ended in a final channel had this been the budget."""
    return stated(rows) & (rows["tokens"] <= budget)


def stated(rows: pd.DataFrame) -> pd.Series:
    """Which replies ended in a final channel within the tokens they were given."""
    return rows["finished"] & rows["reached_final"]


def right_within(rows: pd.DataFrame, budget: int) -> pd.Series:
    """Which replies would have been right had this been the budget."""
    return rows["correct"] & stated_within(rows, budget)


def _paired(a: pd.Series, b: pd.Series, confidence: float) -> PairedDifference:
    both, only_a = int((a & b).sum()), int((a & ~b).sum())
    only_b, neither = int((~a & b).sum()), int((~a & ~b).sum())
    return paired_difference(both, only_a, only_b, neither, confidence)


def _mean_difference(
    a: pd.Series, b: pd.Series, confidence: float
) -> tuple[float, Interval]:
    """Mean of the paired differences, with a seeded percentile bootstrap interval."""
    import numpy as np

    differences = (a - b).to_numpy(dtype=float)
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (RESAMPLES, len(differences))).mean(1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(differences.mean()), (float(low), float(high))
