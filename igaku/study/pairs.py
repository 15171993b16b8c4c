"""Two models on the questions they share: the counts first, then tests and intervals.

Everything is over the common questions of a pair, and every difference is candidate −
reference. A reply that was lost (cut, blank, failed) counts as not right, and how many
flips are due to such replies stands beside the flips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from igaku import statistics
from igaku.study.audits import wrong_runs
from igaku.study.families import Source, Study, role, stacked, study_in
from igaku.study.grids import Askings, Grid, askings_of, grid_of, sound_variants
from igaku.study.pooling import Family

SMALL = 0.005  # the difference between the study's first two rows: half a point

PAIRS = (
    "reference", "candidate", "family", "exam", "n", "both", "only_reference",
    "only_candidate", "neither", "flips", "lost_candidate", "lost_reference",
    "same_answer", "difference", "low", "high", "newcombe_low", "newcombe_high",
    "pvalue", "exact", "adjusted", "not_worse_p", "not_worse_adjusted", "equivalent_p",
    "margin", "level", "tainted", "compared", "askings_reference", "askings_candidate",
    "accuracy_reference", "accuracy_candidate",
    "clusters", "cluster_se", "naive_se",
    "cluster_low", "cluster_high",
)  # fmt: skip
COUNTS = PAIRS[PAIRS.index("n") : PAIRS.index("difference")]
GATES = ("family", "exam", "runs", "n", "q", "df", "q_pvalue", "method")
PLANNING = (
    "flip_budget", "power_small", "detectable", "detectable_low", "detectable_high",
    "needed", "needed_low", "needed_high", "power_margin",
)  # fmt: skip


def pairs(
    outputs_dir: Source = None,
    reference: str | None = None,
    margin: float | None = None,
) -> pd.DataFrame:
    """One row per pair of each family: candidate against reference.

    `reference` names the run the others are compared with: by default as the study
    declares, else the largest finished one. `margin` is that of "not worse", a fraction
    (0.025 by default). Runs that do not exist are an `IgakuError`.

    `reference candidate family exam`: see `igaku.study.families.Family`. `n both
    only_reference only_candidate neither flips`: common questions and who was right.
    `lost_candidate` of the only_reference questions were lost by the candidate,
    `lost_reference` of the others by the reference. `same_answer`: questions with one
    answer. `difference low high`: candidate − reference (fractions) with Tango's 95 %
    interval; `newcombe_low newcombe_high`: Newcombe's. `pvalue exact`: McNemar's mid-p
    and exact p. `not_worse_p`: one-sided p that the candidate is worse by the `margin`
    or more, to be held against 0.025; `equivalent_p`: of both sides. `adjusted
    not_worse_adjusted`: by Holm over the family, missing where the pair is `tainted`:
    one of the runs is shown to be wrong, or is the same replies as another; `compared`:
    how many pairs were adjusted together; `level`: two-sided, of the verdict, half of
    it is that of "not worse". `askings_reference askings_candidate
    accuracy_reference accuracy_candidate`: how often each was asked every question at
    least, and the share of right askings. Asked more than once, the counts are those of
    the first asking, and the difference, its interval and p-values are of paired t
    tests of the questions' shares of right askings, by exam. `clusters
    cluster_se naive_se cluster_low cluster_high`: vignettes met, and the standard
    errors of the difference with and without them (missing without a flip).

    >>> igaku.pairs("outputs").query("~tainted")[["candidate", "difference", "pvalue"]]
    ... # doctest: +SKIP
    """
    return study_in(outputs_dir, reference, margin).once(_pairs).copy()


def _pairs(study: Study) -> pd.DataFrame:
    found = stacked([_of_family(study, family) for family in study.families], PAIRS)
    numbers = [name for name in PAIRS[PAIRS.index("difference") :] if name != "tainted"]
    whole = (*COUNTS, "compared", "askings_reference", "askings_candidate")
    kinds = dict.fromkeys(numbers, float) | dict.fromkeys(whole, int)
    return found.astype(kinds | {"tainted": bool})


def flips(outputs_dir: Source, reference: str, candidate: str) -> pd.DataFrame:
    """One row per common question on which two runs part, in exam order.

    `problem_id flip section`: the question and who alone was right, only_reference or
    only_candidate. `lost`: whether the reply that was not right was cut, blank or
    failed. `reference_outcome reference_answer reference_content`, and the same of the
    candidate: what became of each reply. `gold`: the answer that counts as right.

    >>> igaku.flips("outputs", "openai-8bit", "openai-mxfp4").groupby("flip").size()
    ... # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    runs = [study.run(name) for name in (reference, candidate)]
    grid = grid_of(runs)
    is_flip = grid.asked.all(axis=0) & (grid.right[0] != grid.right[1])
    ways = np.where(grid.right[0], "only_reference", "only_candidate")
    lost = (grid.lost & ~grid.right).any(axis=0)
    told = {"problem_id": grid.questions, "flip": ways, "lost": lost}
    found = pd.DataFrame(told)[is_flip].reset_index(drop=True)
    first, second = (run.rows.set_index("problem_id") for run in runs)
    found.insert(2, "section", first["section"].reindex(found["problem_id"]).array)
    for name, rows in (("reference", first), ("candidate", second)):
        replies = rows.reindex(columns=["outcome", "answer", "content"])
        found = found.join(replies.add_prefix(f"{name}_"), on="problem_id")
    return found.join(first["gold"], on="problem_id")


def gates(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per family of three or more finished, or stopped, runs: Cochran's Q.

    `family exam runs`: which runs (names), without those shown to be wrong. `n`:
    questions that all of them were asked. `q df q_pvalue`: the statistic, its degrees
    of freedom and its p; `method` says whether that is "exact", over all permutations,
    or that of "chi2", where there are too many.
    """
    study, rows = study_in(outputs_dir), []
    for family in study.families:
        names = sound_variants(study, family)
        if len(names) < 3 or family.kind not in ("finished", "stopped"):
            continue
        row = family.places
        own = [row[name] for name in names]
        grid = askings_of(study, family).first
        right = grid.right[own][:, grid.asked[own].all(axis=0)].T
        if len(right):
            q = statistics.cochran_q(right)
            about = (family.kind, family.exam, tuple(names), len(right))
            told = (q.pvalue, "chi2") if q.exact is None else (q.exact, "exact")
            rows.append((*about, q.statistic, q.df, *told))
    return pd.DataFrame(rows, columns=list(GATES))


def planning(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of `igaku.pairs` with what their questions and flips let one see.

    All at the level of the verdict: Holm's first step, the level / `compared`. Added:
    `flip_budget`, the flips up to which "not worse" would hold at this net difference;
    `power_small`, the chance to notice a true difference of half a point; `detectable`,
    the smallest difference (fraction) seen with 80 % power; `needed`, the questions for
    80 % power at half a point; `power_margin`, the chance to show "not worse" were
    there no difference. `detectable_low detectable_high needed_low needed_high`: over
    the 95 % interval of the share of flips. Missing where the flips allow no answer.
    """
    net = pairs["only_reference"] - pairs["only_candidate"]
    level = pairs["level"] / pairs["compared"]
    about = [pairs["n"], pairs["flips"], net, pairs["margin"], level]
    told = list(zip(*about, strict=True))
    known = {key: _planned(*key) for key in dict.fromkeys(told)}
    rows = [known[key] for key in told]
    found = pd.DataFrame(rows, columns=list(PLANNING), index=pairs.index)
    return pd.concat([pairs, found], axis=1)


def patterns(outputs_dir: Source = None) -> pd.DataFrame:
    """Who got what right: a column of truths per finished run, and `questions`.

    Over the questions that all of them were asked, the most frequent pattern first;
    without the runs that are shown to be wrong.
    """
    study = study_in(outputs_dir)
    wrong = wrong_runs(study)
    runs = [
        run
        for run in study.variants
        if role(run) == "finished" and run.name not in wrong
        if str(run.exam) == study.exams[0]
    ]
    if not runs:
        return pd.DataFrame({"questions": []})
    grid, names = grid_of(runs), [run.name for run in runs]
    marks = pd.DataFrame(grid.right[:, grid.asked.all(axis=0)].T, columns=names)
    return marks.value_counts().rename("questions").reset_index()


# --- one family -----------------------------------------------------------------------


def _of_family(study: Study, family: Family) -> pd.DataFrame:
    """The pairs of one family, counted, tested and adjusted together.

    The adjustment is over the pairs that no wrong run taints; it is missing elsewhere,
    and a wrong run does not choose the questions of those that stopped.
    """
    row = family.places
    sound = sound_variants(study, family)
    wrong, shared = row.keys() - sound, None
    if family.kind == "stopped":
        rows = [study.run(name).rows for name in sound or row]
        shared = set.intersection(*({*each["problem_id"]} for each in rows))
    askings = askings_of(study, family, shared)
    first, second = np.array([(row[x], row[y]) for x, y in family.pairs]).T
    names = list(zip(*family.pairs, strict=True))
    table = _counted(askings.first, first, second).assign(
        reference=names[0], candidate=names[1], family=family.kind, exam=family.exam,
        margin=study.margin, level=study.level, first=first, second=second,
        tainted=[not wrong.isdisjoint(pair) for pair in family.pairs],
    )  # fmt: skip
    table = _tested(table[table["n"] > 0], study.margin)
    _ask_again(table, askings, study.margin)
    kept = ~table["tainted"] & (family.kind != "exams")
    table["compared"] = max(1, kept.sum())
    for name, own in (("adjusted", "pvalue"), ("not_worse_adjusted", "not_worse_p")):
        table[name] = np.nan
        table.loc[kept, name] = statistics.holm(table.loc[kept, own].to_numpy())
    return table


def _ask_again(table: pd.DataFrame, askings: Askings, margin: float) -> None:
    """Puts in the numbers of all askings where a pair was asked more than once.

    A question's share of right askings stands for it. Where no question's difference
    deviates from another's, there is nothing to test by: the first askings stay.
    """
    table[["askings_reference", "askings_candidate"]] = 1
    for side in ("reference", "candidate"):
        table[f"accuracy_{side}"] = (table["both"] + table[f"only_{side}"]) / table["n"]
    often = askings.asked.max(axis=1) > 1
    chosen = table[often[table["first"]] | often[table["second"]]]
    for i, *two in chosen[["first", "second"]].itertuples():
        met = askings.first.asked[two].all(axis=0)
        k, right = askings.asked[two][:, met], askings.right[two][:, met]
        share = right / k
        table.loc[i, ["askings_reference", "askings_candidate"]] = k.min(axis=1)
        table.loc[i, ["accuracy_reference", "accuracy_candidate"]] = share.mean(axis=1)
        if k.max() == 1:
            continue
        exam, cluster = askings.exam[met], askings.first.cluster[met]
        test = statistics.mean_difference(right[0], k[0], right[1], k[1], margin, exam)
        if np.isnan(test.error):
            continue
        error = statistics.clustered_error(share[1] - share[0], cluster)
        told = _errors(error) | {
            "difference": -test.estimate + 0.0, "low": -test.high, "high": -test.low,
            "newcombe_low": np.nan, "newcombe_high": np.nan, "pvalue": test.pvalue,
            "exact": np.nan, "not_worse_p": test.not_worse_p,
            "equivalent_p": test.equivalent_p,
        }  # fmt: skip
        table.loc[i, list(told)] = list(told.values())


def _counted(grid: Grid, first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """The counts of the pairs (first[i], second[i]) of rows, and their errors."""
    asked, right, lost = (m.astype("f4") for m in (grid.asked, grid.right, grid.lost))
    ahead, beaten = right @ (asked - right).T, right @ lost.T
    pair, back = (first, second), (second, first)
    counts = {
        "n": (asked @ asked.T)[pair], "both": (right @ right.T)[pair],
        "only_reference": ahead[pair], "only_candidate": ahead[back],
        "lost_candidate": beaten[pair], "lost_reference": beaten[back],
    }  # fmt: skip
    table = pd.DataFrame(counts).astype(int)
    table["flips"] = table["only_reference"] + table["only_candidate"]
    table["neither"] = table["n"] - table["both"] - table["flips"]
    table["same_answer"] = _equal(grid.answer, first, second)
    clusters, *products = (part[pair] for part in _cluster_sums(grid))
    net = (table["only_candidate"] - table["only_reference"]).to_numpy()
    n, flips = table["n"].to_numpy(), table["flips"].to_numpy()
    told = _errors(statistics.clustered_sums(n, net, flips, clusters, products))
    # Without a flip the error would be 0, which is no knowledge.
    missing = {k: np.where(flips > 0, v, np.nan) for k, v in told.items()}
    return table.assign(clusters=clusters.astype(int), **missing)


def _errors(error: statistics.ClusteredError) -> dict[str, Any]:
    return {
        "cluster_se": error.corrected, "naive_se": error.naive,
        "cluster_low": error.low, "cluster_high": error.high,
    }  # fmt: skip


def _equal(answer: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """On how many questions two runs say the same, for each pair of rows."""
    found = np.zeros(len(first), dtype=int)
    for row in np.unique(first):
        at = first == row
        found[at] = np.count_nonzero(answer[second[at]] == answer[row], axis=1)
    return found


def _cluster_sums(grid: Grid) -> list[np.ndarray]:
    """For every two rows: clusters shared, and over them Σs², Σsm and Σm².

    s is the second row's lead in a cluster, m the questions that both were asked there.
    Clusters of one question are summed at once.
    """
    _, cluster, size = np.unique(grid.cluster, return_inverse=True, return_counts=True)
    alone = size[cluster] == 1
    asked, right = grid.asked.astype("f4"), grid.right.astype("f4")
    m, ahead = _shared(asked[:, alone], right[:, alone])
    flips = right[:, alone] @ (asked - right)[:, alone].T
    sums = [m, flips + flips.T, ahead, m]
    for members in (cluster == i for i in np.flatnonzero(size > 1)):
        m, ahead = _shared(asked[:, members], right[:, members])
        sums = [
            old + new
            for old, new in zip(sums, (m > 0, ahead**2, ahead * m, m**2), strict=True)
        ]
    return [each.astype(float) for each in sums]


def _shared(asked: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many questions every two rows share, and by how many the second leads."""
    won = right @ asked.T
    return asked @ asked.T, won.T - won


def _tested(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Counted pairs with their tests and intervals."""
    both, lost, won, neither = (
        table[k].to_numpy()
        for k in ("both", "only_reference", "only_candidate", "neither")
    )
    test = statistics.mcnemar(lost, won)
    found = statistics.paired_difference(both, won, lost, neither)
    return table.assign(  # +0.0: no −0.0
        difference=found.estimate + 0.0, low=found.tango[0] + 0.0,
        high=found.tango[1] + 0.0,
        newcombe_low=found.newcombe[0], newcombe_high=found.newcombe[1],
        pvalue=test.midp, exact=test.exact,
        not_worse_p=statistics.noninferiority(both, lost, won, neither, margin),
        equivalent_p=statistics.equivalence(both, lost, won, neither, margin),
    )  # fmt: skip


def _planned(
    n: int, flips: int, net: int, margin: float, level: float
) -> tuple[Any, ...]:
    """What `planning` adds to a pair."""
    share, one_sided = flips / n, level / 2
    budget = statistics.flip_budget(net, n, margin, one_sided)
    if share == 0:
        return (budget, *[None] * (len(PLANNING) - 1))
    limits = statistics.proportion(flips, n)
    shares = (share, limits.low, limits.high)
    seen = [statistics.detectable_difference(n, x, alpha=level) for x in shares]
    needed = [
        statistics.required_questions(SMALL, x, alpha=level) if x >= SMALL else None
        for x in shares
    ]
    if share < SMALL:
        return (budget, None, *seen, *needed, None)
    small = statistics.mcnemar_power(n, share, SMALL, level)
    power = statistics.noninferiority_power(n, share, margin, alpha=one_sided)
    return (budget, small, *seen, *needed, power)
