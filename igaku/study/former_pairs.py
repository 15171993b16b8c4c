"""Two models on the questions they share: the counts first, then tests and intervals.

Everything is over the common questions of a pair. A is the reference: a positive
difference means that B is worse. A reply that was lost (cut, blank, failed) counts as
not right, and how many flips are due to such replies stands beside the flips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku import statistics
from igaku.study.families import Family, Study
from igaku.study.former_scoring import blank, is_lost
from igaku.study.runs import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SMALL = 0.005  # the difference between the study's first two rows: half a point


@dataclass(frozen=True, eq=False)
class Grid:
    """Questions in rows and runs in columns: what was asked, right, lost and answered.

    `answer` holds one number for one answer, or for one text that holds no answer; a
    blank reply is like no other. `cluster` numbers the vignettes, a
    question outside of one being a cluster of its own.
    """

    runs: tuple[str, ...]
    questions: tuple[str, ...]
    asked: np.ndarray
    right: np.ndarray
    lost: np.ndarray
    answer: np.ndarray
    cluster: np.ndarray


@dataclass(frozen=True)
class Gate:
    """Cochran's Q of a family, on the `n` questions that all its runs were asked."""

    family: Family
    n: int
    q: statistics.CochranQ


def pair_table(study: Study) -> pd.DataFrame:
    """One row for each pair of each family, with `COLUMNS`; fractions, not percent.

    `holm` is the mid-p adjusted over the family. `lost_b` of the `only_a` questions
    were lost by B, `lost_a` of the `only_b` questions by A.
    """
    from igaku.study.pairs import pairs_frame

    names = {
        "family": "kind", "reference": "a", "candidate": "b",
        "only_reference": "only_a", "only_candidate": "only_b",
        "lost_candidate": "lost_b", "lost_reference": "lost_a", "pvalue": "midp",
        "not_worse_p": "noninferior", "equivalent_p": "equivalent",
    }  # fmt: skip
    new = pairs_frame(study)
    old = new.rename(columns=names)
    old["difference"] = -new["difference"]
    for one in ("newcombe", "cluster"):
        old[f"{one}_low"], old[f"{one}_high"] = -new[f"{one}_high"], -new[f"{one}_low"]
    old["tango_low"], old["tango_high"] = -new["high"], -new["low"]
    old["holm"] = math.nan
    if len(old):
        counts = ("both", "only_a", "only_b", "neither")
        a, b, c, d = (old[k].to_numpy() for k in counts)
        narrow = statistics.paired_difference(a, b, c, d, 0.90)
        old["tango90_low"], old["tango90_high"] = narrow.tango
        for _, each in old.groupby(["kind", "exam"]):
            old.loc[each.index, "holm"] = statistics.holm(each["midp"].to_numpy())
    return old.reindex(columns=list(COLUMNS))


COLUMNS = (
    "kind", "exam", "a", "b", "n", "both", "only_a", "only_b", "neither", "flips",
    "lost_b", "lost_a", "same_answer", "difference", "tango_low", "tango_high",
    "tango90_low", "tango90_high", "newcombe_low", "newcombe_high", "midp", "exact",
    "holm", "noninferior", "equivalent", "clusters", "cluster_se", "naive_se",
    "cluster_low", "cluster_high",
)  # fmt: skip


def gates(study: Study) -> list[Gate]:
    """Cochran's Q of each family of three or more finished, or stopped, runs."""
    found = []
    for family in study.of_kind("finished") + study.of_kind("stopped"):
        grid = grid_of([study.run(name) for name in family.runs], family.questions)
        whole = grid.asked.all(axis=1)
        matrix = grid.right[whole].astype(int)
        if len(matrix) and len(family.runs) > 2:
            found.append(Gate(family, len(matrix), statistics.cochran_q(matrix)))
    return found


def with_power(pairs: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Pairs with what their number of questions and flips lets one see.

    `flip_budget`: flips up to which "not worse by the margin" would hold at this net
    difference. `power_small`: the chance to notice a true difference of half a point.
    `detectable`: the smallest difference seen with 80 % power. `needed`: questions for
    80 % power at half a point. `power_margin`: the chance to show "not worse by the
    margin" were there no difference. Missing where the flips allow no answer.
    """
    import pandas as pd

    rows = [_power(row, margin) for _, row in pairs.iterrows()]
    names = ("flip_budget", "power_small", "detectable", "needed", "power_margin")
    found = pd.DataFrame(rows, columns=list(names), index=pairs.index)
    return pd.concat([pairs, found], axis=1)


def patterns(runs: Sequence[Run]) -> pd.DataFrame:
    """Who got what right: a column of truths per run, and how many questions each.

    Over the questions that all of the runs were asked, most frequent first.
    """
    import pandas as pd

    if not runs:
        return pd.DataFrame({"questions": []})
    grid = grid_of(runs)
    whole = grid.asked.all(axis=1)
    marks = pd.DataFrame(grid.right[whole], columns=list(grid.runs))
    counts = marks.value_counts().rename("questions").reset_index()
    return counts.sort_values("questions", ascending=False, kind="stable")


def flips(a: Run, b: Run) -> pd.DataFrame:
    """The common questions of two runs in exam order, and which way each of them went.

    `flip` is "only_a", "only_b", "both" or "neither"; `lost` says that the reply that
    was not right was cut, blank or failed.
    """
    import numpy as np
    import pandas as pd

    grid = grid_of([a, b])
    common = grid.asked.all(axis=1)
    right, lost = grid.right[common], grid.lost[common]
    ways = np.select(
        [right.all(axis=1), right[:, 0], right[:, 1]],
        ["both", "only_a", "only_b"],
        "neither",
    )
    found = pd.DataFrame({"problem_id": np.array(grid.questions)[common], "flip": ways})
    found["section"] = found["problem_id"].str.extract(r"([A-F])\d+$")[0]
    return found.assign(lost=(lost & ~right).any(axis=1))


def grid_of(runs: Sequence[Run], questions: frozenset[str] | None = None) -> Grid:
    """The replies of several runs, question by question, in exam order."""
    import numpy as np

    places = _places(runs, questions)
    shape = (len(places), len(runs))
    asked, right, lost = (np.zeros(shape, dtype=bool) for _ in range(3))
    answer = np.full(shape, -1, dtype=np.int64)
    codes: dict[Any, int] = {}
    cluster = np.arange(len(places))
    for column, run in enumerate(runs):
        rows = run.rows
        at = rows["problem_id"].map(places)
        kept = at.notna().to_numpy()
        where = at[kept].to_numpy(dtype=int)
        asked[where, column] = True
        right[where, column] = rows["correct"].fillna(False).to_numpy(bool)[kept]
        lost[where, column] = is_lost(rows).to_numpy()[kept]
        answer[where, column] = [
            codes.setdefault(key, len(codes)) if key else -1 - column
            for key in _said(rows[kept.tolist()])
        ]
        stems = rows["stem"].map(places)[kept]
        known = stems.notna().to_numpy()
        cluster[where[known]] = stems[known].to_numpy(dtype=int)
    return Grid(
        tuple(run.name for run in runs), tuple(places), asked, right, lost, answer,
        cluster,
    )  # fmt: skip


def _said(rows: pd.DataFrame) -> list[Any]:
    """What each reply says: its answer, else its text, else None where it is blank."""
    is_silent = blank(rows) | (rows["outcome"] == "api_error")
    told = zip(rows["answer"], rows["reply_sha256"], is_silent, strict=True)
    return [
        answer if isinstance(answer, tuple) else None if silent else sha
        for answer, sha, silent in told
    ]


def _places(runs: Sequence[Run], questions: frozenset[str] | None) -> dict[str, int]:
    """Question → its row, in exam order as the plans of the runs have it."""
    order: dict[str, None] = {}
    for run in runs:
        for frame in (run.plan, run.rows):
            if frame is not None:
                order.update(dict.fromkeys(frame["problem_id"]))
    asked = set().union(*(run.rows["problem_id"] for run in runs)) if runs else set()
    kept = asked if questions is None else asked & questions
    return {name: i for i, name in enumerate(n for n in order if n in kept)}


def _power(row: pd.Series, margin: float) -> tuple[Any, ...]:
    n, share = int(row["n"]), row["flips"] / row["n"]
    net = int(row["only_a"] - row["only_b"])
    budget = statistics.flip_budget(net, n, margin)
    if share == 0:
        return (budget, None, None, None, None)
    visible = statistics.detectable_difference(n, share)
    if share < SMALL:
        return (budget, None, visible, None, None)
    return (
        budget,
        statistics.mcnemar_power(n, share, SMALL),
        visible,
        statistics.required_questions(SMALL, share),
        statistics.noninferiority_power(n, share, margin),
    )
