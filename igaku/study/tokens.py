"""What the token budget did: how long replies are, what it cut, what a larger one got.

A reply that the budget cut is right-censored: it would have gone on for longer than was
seen, so the budget is not the length of any reply. Share and median come from the
Kaplan-Meier curve (1958, J Am Stat Assoc 53:457). All of it is about tokens: seconds
are those of one machine, and no budget is counted in them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from igaku.ask.folder import PROBE, unfit
from igaku.ask.plan import PROBE_FACTOR
from igaku.statistics import proportion
from igaku.study.answers import columns_of, read_answers, rows_of
from igaku.study.designs import unlike
from igaku.study.families import Source, Study, named, stacked, study_in
from igaku.study.runs import Run
from igaku.study.scoring import blank
from igaku.words import NO_REPLY

WITH_ANSWER = ("answered", "wrong_cardinality")
POINTS = 64  # budgets on a curve
LENGTHS = (
    "run", "label", "unit", "n", "finished", "median", "low", "high", "at_cap",
    "thought", "thought_by",
)  # fmt: skip
SURVIVAL = (
    "run", "label", "max_tokens", "x", "share", "low", "high", "color", "marker",
)  # fmt: skip
BUDGETS = (
    "run", "label", "max_tokens", "accuracy", "low", "high", "blank", "color", "marker",
)  # fmt: skip
RESCUES = (
    "run", "budget", "lost", "rescue", "larger", "asked", "rescued", "share", "low",
    "high", "finished_wrong", "unfinished", "failed", "not_asked", "control",
    "control_asked", "control_rescued", "error_asked", "error_rescued",
)  # fmt: skip


# --- how long replies are -------------------------------------------------------------


def lengths(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run with tokens on record: how long its replies are.

    `run label unit`: tokens, never seconds. `n finished`: replies counted, and those
    that ended by themselves. `median low high`: the Kaplan-Meier median in tokens with
    its 95 % interval, missing where more than half were cut. `at_cap`: the share cut.
    `thought thought_by`: the median share of a reply's tokens that is thought, not
    answer, and by what it was told, as `thought_in` has them; else missing.
    """
    study, found = study_in(outputs_dir), []
    for run, rows in study.once(_counted):
        n, finished = len(rows), int(rows["finished"].sum())
        told = ("tokens", n, finished, *median_of(kaplan_meier(rows)))
        thought = thought_in(run.rows) or (None, None)
        found.append((*named(study, run).values(), *told, (n - finished) / n, *thought))
    frame = pd.DataFrame(found, columns=list(LENGTHS))
    real = ("median", "low", "high", "at_cap", "thought")
    return frame.astype(dict.fromkeys(real, float))


class Thought(NamedTuple):
    """A share of tokens, told by the server's `token` counts or by `character`."""

    share: float
    by: str


def thought_in(replies: pd.DataFrame) -> Thought | None:
    """The median share of a reply's tokens that is thought, replies cut in it included.

    `replies` are rows of `igaku.load_runs`. `character`: the server counted no thought
    in some of them, and their tokens were split as their texts are long. None where it
    is on record for no more than half of the replies that have tokens.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"completion_tokens": [500, 100], "outcome": "answered"})
    >>> thought_in(rows.assign(reasoning_tokens=[250, 100]))
    Thought(share=0.75, by='token')
    """
    if not {"completion_tokens", "reasoning_tokens"} <= {*replies}:
        return None
    is_counted = replies["completion_tokens"].gt(0).fillna(False).astype(bool)
    replies = replies[is_counted & ~replies["outcome"].isin(NO_REPLY)]
    told = replies[replies["reasoning_tokens"].notna()]
    if 2 * len(told) <= len(replies):
        return None
    share = told["reasoning_tokens"].astype(float) / told["completion_tokens"]
    guessed = told.get("reasoning_tokens_estimated", pd.Series(dtype=bool))
    by = "character" if guessed.fillna(False).any() else "token"
    return Thought(float(share.clip(upper=1).median()), by)


def survival(outputs_dir: Source = None) -> pd.DataFrame:
    """The share of each run's replies still unfinished after x tokens.

    `run label max_tokens x share low high`: a step of the Kaplan-Meier curve a row,
    with its pointwise 95 % band. `color marker`: the run's in every figure, as its card
    has them. Runs without tokens on record have no rows.
    """
    study = study_in(outputs_dir)
    parts = [
        kaplan_meier(rows).assign(
            **named(study, run, "color", "marker"), max_tokens=run.budget
        )
        for run, rows in study.once(_counted)
    ]
    return stacked(parts, SURVIVAL)


def budget_curves(outputs_dir: Source = None) -> pd.DataFrame:
    """What smaller budgets would have left of each run, by its own replies.

    `run label max_tokens`: a budget, the run's own last. `accuracy low high blank`: the
    fraction right with Wilson's 95 % interval, and the fraction without an answer.
    `color marker`: the run's in every figure, as its card has them. Runs without tokens
    on record have no rows.
    """
    study = study_in(outputs_dir)
    parts = [
        smaller_budgets(rows, run.budget).assign(**named(study, run, "color", "marker"))
        for run, rows in study.once(_counted)
    ]
    return stacked(parts, BUDGETS)


def _counted(study: Study) -> list[tuple[Run, pd.DataFrame]]:
    """The runs whose tokens are on record, with what they spent."""
    return [(run, rows) for run in study.runs if len(rows := spent(run))]


def spent(run: Run) -> pd.DataFrame:
    """The tokens of each reply of a run, and whether the reply ended by itself.

    `problem_id outcome correct tokens finished`; no rows where the tokens are on record
    for no more than half of the replies. A blank reply whose end is on record nowhere
    is taken for one that was still under way.

    >>> spent(run)["finished"].mean()  # doctest: +SKIP
    0.4347826086956522
    """
    rows = run.rows
    is_reply = ~rows["outcome"].isin(NO_REPLY)
    known = is_reply & rows["completion_tokens"].notna()
    found = rows[["problem_id", "outcome"]].assign(
        correct=rows["correct"].fillna(False).astype(bool),
        tokens=rows["completion_tokens"].astype(float),
        finished=~(_is_cut(rows, run.budget) | _end_unknown(rows, run.budget)),
    )
    is_told = 2 * known.sum() > is_reply.sum()
    return found[known & is_told].reset_index(drop=True)


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
    from scipy.stats import CensoredData, ecdf

    tokens, finished = rows["tokens"].to_numpy(float), rows["finished"].to_numpy(bool)
    unfinished = ecdf(CensoredData.right_censored(tokens, ~finished)).sf
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
    x, n = _budgets(rows["tokens"], budget, points), len(rows)
    took = np.where(rows["finished"], rows["tokens"], math.inf)
    within = took[:, None] <= x[None, :]
    within[:, -1] = True
    answered = rows["outcome"].isin(WITH_ANSWER).to_numpy()
    right = (within & rows["correct"].to_numpy(bool)[:, None]).sum(0)
    limits = proportion(right, n)
    return pd.DataFrame(
        {
            "max_tokens": x, "accuracy": right / n,
            "low": limits.low, "high": limits.high,
            "blank": 1 - (within & answered[:, None]).sum(0) / n,
        }
    )  # fmt: skip


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


# --- a larger budget ------------------------------------------------------------------


def rescues(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per second asking of a run's lost questions with a larger budget.

    `run budget lost`: questions that `run` lost at `budget`, the budget being or maybe
    being the cause. `rescue larger`: the run that asked them again, and its budget.
    `asked rescued share low high`: how many it asked, and got right (with Wilson's 95 %
    interval). `finished_wrong unfinished failed not_asked`: what became of the others.
    `control control_asked control_rescued`: a second asking at the same budget; only
    what the rescue has over it is the budget's doing. `error_asked error_rescued`:
    questions whose request had failed, so that no budget had cut them.
    """
    runs = study_in(outputs_dir).runs
    found = [row for run in runs for row in _rescues(run, runs)]
    return pd.DataFrame(found, columns=list(RESCUES))


class _Again(NamedTuple):
    """One asking: its name, its budget and its rows."""

    name: str
    budget: int
    rows: pd.DataFrame


def _rescues(base: Run, runs: tuple[Run, ...]) -> Iterator[dict[str, Any]]:
    """What other runs with a larger budget made of a run's lost questions."""
    outcome, problems = base.rows["outcome"], base.rows["problem_id"]
    silent = (outcome == "empty") & _end_unknown(base.rows, base.budget)
    lost = {*problems[(outcome == "truncated") | silent]}
    errors = {*problems[outcome == "api_error"]}
    if not lost or base.budget is None:
        return
    again = [
        _Again(run.name, run.budget, run.rows)
        for run in runs
        if run.budget is not None and is_pair(base, run)
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


def is_pair(base: Run, other: Run) -> bool:
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
    path = run.folder / PROBE
    if run.budget is None or unfit(path):
        return []
    columns = columns_of(raw=False, texts=True)
    rows = rows_of(read_answers(path, {}, columns)[0], {}, None, columns)
    rows = rows[rows["outcome"] != "wrong_model"]  # asked once more by the run
    return [_Again(f"{run.name}/probe", PROBE_FACTOR * run.budget, rows)]
