"""What the token budget did: how long replies are, what it cut, what a larger one got.

A reply that the budget cut is right-censored: it would have gone on for longer than was
seen, so the budget is not the length of any reply. Share and median come from the
Kaplan-Meier curve (1958, J Am Stat Assoc 53:457), tests from the log-rank test. All of
it is about tokens: seconds are those of one machine, and no budget is counted in them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from igaku.ask.folder import PROBE, read_rows
from igaku.ask.plan import PROBE_FACTOR
from igaku.statistics import proportion
from igaku.study.families import Study, label_of, unlike
from igaku.study.runs import Run
from igaku.study.scoring import blank
from igaku.words import NO_REPLY

if TYPE_CHECKING:
    import pandas as pd
    from scipy.stats import CensoredData

WITH_ANSWER = ("answered", "wrong_cardinality")
POINTS = 64


# --- how long replies are -------------------------------------------------------------


def spent(run: Run) -> pd.DataFrame:
    """The tokens of each reply of a run, and whether the reply ended by itself.

    `problem_id outcome correct tokens finished`; no rows where the tokens are on record
    for no more than half of the replies. A blank reply whose end is on record nowhere
    is taken for one that was still under way.

    >>> spent(run)["finished"].mean()  # doctest: +SKIP
    0.4347826086956522
    """
    replies = run.rows[~run.rows["outcome"].isin(NO_REPLY)]
    known = replies["completion_tokens"].notna()
    rows = replies[known] if 2 * known.sum() > len(replies) else replies.iloc[:0]
    finished = ~(_is_cut(rows, run.budget) | _end_unknown(rows, run.budget))
    told = rows[["problem_id", "outcome"]].assign(
        correct=rows["correct"].fillna(False).astype(bool),
        tokens=rows["completion_tokens"].astype(float), finished=finished.astype(bool),
    )  # fmt: skip
    return told.reset_index(drop=True)


def kaplan_meier(rows: pd.DataFrame) -> pd.DataFrame:
    """The Kaplan-Meier curve of replies (`spent`), unfinished ones right-censored.

    `x share low high`: the share still unfinished after x tokens, from 0 on, with
    Greenwood's pointwise 95 % band on the log-log scale, missing where it is not
    defined: before the first reply finished, and once all have. Two of five cut at 9:

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"tokens": [3., 5., 7., 9., 9.]})
    >>> curve = kaplan_meier(rows.assign(finished=rows["tokens"] < 9))
    >>> curve["x"].tolist(), curve["share"].round(1).tolist()
    ([0.0, 3.0, 5.0, 7.0, 9.0], [1.0, 0.8, 0.6, 0.4, 0.4])
    """
    import pandas as pd
    from scipy.stats import ecdf

    unfinished = ecdf(_censored(rows)).sf
    with warnings.catch_warnings():  # its warning is of the nan named above
        warnings.simplefilter("ignore", RuntimeWarning)
        band = unfinished.confidence_interval(0.95, method="log-log")
    curve = pd.DataFrame(
        {
            "x": unfinished.quantiles, "share": unfinished.probabilities,
            "low": band.low.probabilities, "high": band.high.probabilities,
        }
    )  # fmt: skip
    if unfinished.quantiles[0] > 0:
        start = pd.DataFrame({"x": [0.0], "share": 1.0, "low": np.nan, "high": np.nan})
        curve = pd.concat([start, curve], ignore_index=True)
    return curve


def median_of(curve: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """The median length on a curve of `kaplan_meier`, with its 95 % interval.

    Where the curve and its band cross one half (Brookmeyer & Crowley 1982, Biometrics
    38:29); None where one does not: more than half are still unfinished at the end.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"tokens": [3., 5., 7., 9., 9.]})
    >>> median_of(kaplan_meier(rows.assign(finished=rows["tokens"] < 9)))
    (7.0, 3.0, None)
    """
    found = []
    for name in ("share", "low", "high"):
        fallen = curve.loc[curve[name] <= 0.5 + 1e-12, "x"]  # nan is not
        found.append(float(fallen.iloc[0]) if len(fallen) else None)
    middle, low, high = found
    return (None, None, None) if middle is None else (middle, low, high)


def logrank(one: pd.DataFrame, other: pd.DataFrame) -> float | None:
    """The p-value of H0: the replies of two parts finish at the same rate throughout.

    Two-sided, cut replies right-censored (Mantel 1966, Cancer Chemother Rep 50:163). It
    takes the parts for independent samples, which answers to one exam are only in part.
    None where no reply finished; 1 where nothing could ever differ.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"tokens": [3.0, 5.0], "finished": True})
    >>> logrank(rows, rows)
    1.0
    """
    from scipy import stats

    if (
        one.empty
        or other.empty
        or not (one["finished"].any() | other["finished"].any())
    ):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        p = float(stats.logrank(_censored(one), _censored(other)).pvalue)
    return 1.0 if math.isnan(p) else p


def smaller_budgets(
    rows: pd.DataFrame, budget: int | None, points: int = POINTS
) -> pd.DataFrame:
    """What every smaller budget would have left of a run, by its own replies (`spent`).

    `max_tokens accuracy low high blank`: a reply counts at a budget when it finished
    within it; `blank` is the share without an answer, still under way or ended without
    one. A cut reply that states its answer all the same counts at the run's own budget
    only, the last, which therefore is what the run scored. It holds as far as the
    engine writes one text at any budget.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"tokens": [2., 4., 8., 8.], "outcome": "answered"})
    >>> rows = rows.assign(correct=True, finished=True)
    >>> rows.loc[3, ["correct", "finished"]] = False
    >>> smaller_budgets(rows, 8, points=3)[["max_tokens", "accuracy", "blank"]].values
    array([[2.  , 0.25, 0.75],
           [4.  , 0.5 , 0.5 ],
           [8.  , 0.75, 0.  ]])
    """
    import pandas as pd

    x, n = _budgets(rows["tokens"], budget, points), len(rows)
    took = np.where(rows["finished"], rows["tokens"], math.inf)
    within = took[:, None] <= x[None, :]
    within[:, -1] = True
    answered = rows["outcome"].isin(WITH_ANSWER).to_numpy()
    right = (within & rows["correct"].to_numpy(bool)[:, None]).sum(0)
    limits = [proportion(int(k), n) for k in right]
    return pd.DataFrame(
        {
            "max_tokens": x, "accuracy": right / n,
            "low": [each.low for each in limits],
            "high": [each.high for each in limits],
            "blank": 1 - (within & answered[:, None]).sum(0) / n,
        }
    )  # fmt: skip


def least_budget(curve: pd.DataFrame, loss: float = 0.01) -> int:
    """The least of `smaller_budgets` whose accuracy is within `loss` of the run's own.

    >>> import pandas as pd
    >>> curve = {"max_tokens": [256, 512, 1024], "accuracy": [0.25, 0.745, 0.75]}
    >>> least_budget(pd.DataFrame(curve))
    512
    """
    enough = curve["accuracy"] >= curve["accuracy"].iloc[-1] - loss - 1e-12
    return int(curve.loc[enough.idxmax(), "max_tokens"])


def _budgets(tokens: pd.Series, budget: int | None, points: int) -> np.ndarray:
    """Budgets to look at, closer together where they are small, the run's own last."""
    last = float(tokens.max() if budget is None else budget)
    spent = tokens[(tokens > 0) & (tokens <= last)]
    if spent.empty:
        return np.array([last]).astype(int)
    x = np.geomspace(min(float(spent.min()), last / points), last, points)
    x[-1] = last  # the root of a product is off by a bit
    return np.unique(np.ceil(x).astype(int))


def _is_cut(rows: pd.DataFrame, budget: int | None) -> pd.Series:
    """Which replies the budget ended; the rule of `answer.is_cut`, over a table."""
    cut = (rows["outcome"] == "truncated") | (rows["finish_reason"] == "length")
    if budget is not None:
        cut |= (rows["completion_tokens"] >= budget - 1).fillna(False).astype(bool)
    return cut.astype(bool)


def _end_unknown(rows: pd.DataFrame, budget: int | None) -> pd.Series:
    """Which replies are blank without any record of why."""
    uncounted = rows["completion_tokens"].isna() | (budget is None)
    return blank(rows) & rows["finish_reason"].isna() & uncounted


def _censored(rows: pd.DataFrame) -> CensoredData:
    from scipy.stats import CensoredData

    tokens, finished = rows["tokens"].to_numpy(float), rows["finished"].to_numpy(bool)
    return CensoredData.right_censored(tokens, ~finished)


# --- frames ---------------------------------------------------------------------------

LENGTHS = ("run", "label", "unit", "n", "finished", "median", "low", "high", "at_cap")
SURVIVAL = ("run", "label", "max_tokens", "x", "share", "low", "high")
BUDGETS = ("run", "label", "max_tokens", "accuracy", "low", "high", "blank")
RESCUES = (
    "run", "budget", "lost", "rescue", "larger", "asked", "rescued", "share", "low",
    "high", "finished_wrong", "unfinished", "failed", "not_asked", "control",
    "control_asked", "control_rescued", "error_asked", "error_rescued",
)  # fmt: skip


def lengths_frame(study: Study) -> pd.DataFrame:
    """One row per run with tokens on record; see `igaku.study.lengths`."""
    import pandas as pd

    found = []
    for run, rows in _counted(study):
        n, finished = len(rows), int(rows["finished"].sum())
        middle = median_of(kaplan_meier(rows))
        told = (n, finished, *middle, (n - finished) / n)
        found.append((run.name, label_of(run, study.lang), "tokens", *told))
    frame = pd.DataFrame(found, columns=list(LENGTHS))
    return frame.astype(dict.fromkeys(("median", "low", "high", "at_cap"), float))


def survival_frame(study: Study) -> pd.DataFrame:
    """The curves of all runs, one below the other; see `igaku.study.survival`."""
    parts = [
        kaplan_meier(rows).assign(**_about(study, run), max_tokens=run.budget)
        for run, rows in _counted(study)
    ]
    return _stacked(parts, SURVIVAL)


def budgets_frame(study: Study) -> pd.DataFrame:
    """The budget curves of all runs; see `igaku.study.budget_curves`."""
    parts = [
        smaller_budgets(rows, run.budget).assign(**_about(study, run))
        for run, rows in _counted(study)
    ]
    return _stacked(parts, BUDGETS)


def rescues_frame(study: Study) -> pd.DataFrame:
    """One row per second asking of lost questions; see `igaku.study.rescues`."""
    import pandas as pd

    found = [row for run in study.runs for row in _rescues(run, study.runs)]
    return pd.DataFrame(found, columns=list(RESCUES))


def _counted(study: Study) -> Iterator[tuple[Run, pd.DataFrame]]:
    """The runs whose tokens are on record, with what they spent."""
    for run in study.runs:
        if len(rows := spent(run)):
            yield run, rows


def _about(study: Study, run: Run) -> dict[str, str]:
    return {"run": run.name, "label": label_of(run, study.lang)}


def _stacked(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    if not parts:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(parts, ignore_index=True)[list(columns)]


# --- a larger budget ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Again:
    """One asking: its name, its budget and its rows."""

    name: str
    budget: int
    rows: pd.DataFrame


def _rescues(base: Run, runs: tuple[Run, ...]) -> Iterator[dict[str, Any]]:
    """What other runs with a larger budget made of a run's lost questions."""
    lost, errors = _lost(base), _named(base.rows, base.rows["outcome"] == "api_error")
    if not lost or base.budget is None:
        return
    again = [
        _Again(run.name, run.budget, run.rows)
        for run in runs
        if run.budget is not None and _is_pair(base, run)
    ]
    again = [each for each in [*again, *_probe(base)] if _became(each, lost)["asked"]]
    controls = [each for each in again if each.budget == base.budget]
    control = max(controls, key=lambda c: _became(c, lost)["asked"], default=None)
    once_more = _became(control, lost) if control else {"asked": None, "rescued": None}
    for each in sorted(again, key=lambda each: (each.budget, each.name)):
        if each.budget > base.budget:
            counts, failed = _became(each, lost), _became(each, errors)
            share = proportion(counts["rescued"], counts["asked"])
            yield {
                "run": base.name, "budget": base.budget, "lost": len(lost),
                "rescue": each.name, "larger": each.budget, **counts,
                "share": share.estimate, "low": share.low, "high": share.high,
                "control": control.name if control else None,
                "control_asked": once_more["asked"],
                "control_rescued": once_more["rescued"],
                "error_asked": failed["asked"], "error_rescued": failed["rescued"],
            }  # fmt: skip


def _lost(run: Run) -> set[str]:
    """Questions whose reply the budget cut, or may have."""
    cut = run.rows["outcome"] == "truncated"
    empty = (run.rows["outcome"] == "empty") & _end_unknown(run.rows, run.budget)
    return _named(run.rows, cut | empty)


def _named(rows: pd.DataFrame, which: pd.Series) -> set[str]:
    return set(rows.loc[which, "problem_id"])


def _became(again: _Again, questions: set[str]) -> dict[str, int]:
    """What became of the questions of a set when they were asked again."""
    rows = again.rows
    rows = rows[rows["problem_id"].isin(questions) & (rows["outcome"] != "not_run")]
    failed = rows["outcome"].isin(NO_REPLY)
    unfinished = ~failed & (_is_cut(rows, again.budget) | blank(rows))
    finished = ~failed & ~unfinished
    right = rows["correct"].fillna(False).astype(bool)
    return {
        "asked": len(rows), "rescued": int((finished & right).sum()),
        "finished_wrong": int((finished & ~right).sum()),
        "unfinished": int(unfinished.sum()), "failed": int(failed.sum()),
        "not_asked": len(questions) - len(rows),
    }  # fmt: skip


def _is_pair(base: Run, other: Run) -> bool:
    """Whether a run asks a base's questions again with nothing changed but the budget.

    The slug says which model it is, else the model's name. What a recorded run does not
    tell is not known, and no difference.
    """
    if other.name == base.name:
        return False
    if base.settings.get("lost_of") or other.settings.get("lost_of"):
        return other.settings.get("lost_of") == base.name
    slugs = base.settings.get("slug"), other.settings.get("slug")
    models = slugs if all(slugs) else (base.model, other.model)
    if models[0] is None or models[0] != models[1] or base.exam != other.exam:
        return False
    hashes = {run.manifest.get("prompt_sha256") for run in (base, other)} - {None}
    return len(hashes) < 2 and not set(unlike(base, other)) - {"max_tokens"}


def _probe(run: Run) -> list[_Again]:
    """The probe of a broken run: a few lost questions at four times its budget."""
    import pandas as pd

    rows = read_rows(run.folder / PROBE)
    if not rows or run.budget is None:
        return []
    types = {
        "problem_id": "str", "outcome": "str", "content": "str",
        "finish_reason": "str", "completion_tokens": "Int64", "correct": "boolean",
    }  # fmt: skip
    table = pd.DataFrame(rows).reindex(columns=list(types)).astype(types)
    table = table[table["outcome"] != "wrong_model"]  # asked once more by the run
    silent = table["content"].fillna("").str.strip() == ""
    table = table.assign(blank=silent & (table["outcome"] != "api_error"))
    return [_Again(f"{run.name}/probe", PROBE_FACTOR * run.budget, table)]
