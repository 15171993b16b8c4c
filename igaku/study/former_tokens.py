"""What the token budget did: how long replies are, what it cut, what a larger one got.

A reply that the budget cut is right-censored: it would have gone on for longer than was
seen, so the budget is not the length of any reply. Share and median come from the
Kaplan-Meier curve (1958, J Am Stat Assoc 53:457), tests from the log-rank test.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from igaku.ask.asking import PROBE_FACTOR
from igaku.ask.folder import PROBE, read_rows
from igaku.ask.manifest import CONDITION
from igaku.errors import IgakuError
from igaku.statistics import Proportion, proportion
from igaku.study import former_scoring as scoring
from igaku.study.runs import Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.stats import CensoredData

AMOUNTS = {"completion": "completion_tokens", "reasoning": "reasoning_tokens"}
NO_REPLY = ("api_error", "wrong_model", "not_run")
WITH_ANSWER = ("answered", "wrong_cardinality")
POINTS = 64

# A reasoning text loops when it ends in one piece over and over, or when, long as it
# is, most of it has been said before. A check repeats a chain of steps once, so two
# copies are no loop, and neither is a ruled line of a table, which is short. The lab's
# chains repeat numbers, and few of their 12-grams; prose repeats hardly any.
COPIES = 3
LOOP_LENGTH = 60  # characters that the copies fill at least
LITTLE_NEW = 0.35  # share of distinct 12-grams; a chain written twice has about 0.5
LONG = 500  # characters from which on that share is judged
GRAM = 12

Median = tuple[float, float | None, float | None]


# --- what a run spent -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Spending:
    """What each reply of a run cost, and whether the reply ended by itself.

    `rows` has problem_id, outcome, correct, amount (in `unit`, "tokens" or "seconds")
    and finished. `budget` is the run's max_tokens, so in tokens even where seconds
    stand in. `left_out` questions have no reply, or none whose cost is on record. `of`
    says what is counted: the whole "completion", or its "reasoning" alone.
    """

    run: str
    label: str
    unit: str
    budget: int | None
    rows: pd.DataFrame
    left_out: int
    of: str = "completion"


def spending(run: Run, of: str = "completion") -> Spending | None:
    """What the replies of a run cost; None where that was not recorded for most.

    `of` is "completion", or "reasoning" for its part alone. Seconds stand in for the
    tokens of a completion, never for those of its reasoning. A blank reply whose end is
    on record nowhere (no finish_reason, no tokens to hold against the budget) is taken
    for one that was still under way: an assumption, which only asking again can test.

    >>> spending(run).rows["finished"].mean()  # doctest: +SKIP
    0.4347826086956522
    """
    if of not in AMOUNTS:
        raise IgakuError(
            f"What a reply cost is counted of its {' or its '.join(AMOUNTS)}, not of "
            f"{of!r}: give one of these."
        )
    replies = run.rows[~run.rows["outcome"].isin(NO_REPLY)]
    sources = {"tokens": AMOUNTS[of]}
    if of == "completion":
        sources["seconds"] = "seconds"
    for unit, column in sources.items():
        known = replies[column].notna()
        if 2 * known.sum() > len(replies):
            rows = _spent(replies[known], column, run.budget, of)
            left_out = len(run.rows) - len(rows)
            return Spending(run.name, run.label, unit, run.budget, rows, left_out, of)
    return None


def _spent(
    replies: pd.DataFrame, column: str, budget: int | None, of: str
) -> pd.DataFrame:
    import pandas as pd

    finished = ~(_is_cut(replies, budget) | end_unknown(replies, budget))
    if of == "reasoning":  # it was over when the answer began, even a cut one
        finished |= ~scoring.blank(replies)
    return pd.DataFrame(
        {
            "problem_id": replies["problem_id"],
            "outcome": replies["outcome"],
            "correct": _is_right(replies),
            "amount": replies[column].astype(float),
            "finished": finished.astype(bool),
        }
    ).reset_index(drop=True)


def _is_right(rows: pd.DataFrame) -> pd.Series:
    return rows["correct"].fillna(False).astype(bool)


def _is_cut(rows: pd.DataFrame, budget: int | None) -> pd.Series:
    """Which replies the budget ended; the rule of `answer.is_cut`, over a table."""
    cut = (rows["outcome"] == "truncated") | (rows["finish_reason"] == "length")
    if budget is not None:
        cut |= (rows["completion_tokens"] >= budget - 1).fillna(False).astype(bool)
    return cut.astype(bool)


def end_unknown(rows: pd.DataFrame, budget: int | None) -> pd.Series:
    """Which replies are blank without any record of why."""
    uncounted = rows["completion_tokens"].isna() | (budget is None)
    return scoring.blank(rows) & rows["finish_reason"].isna() & uncounted


# --- how long replies are -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curve:
    """The share of replies still unfinished after x, with its 95 % band, pointwise.

    `x` starts at 0. The band is nan where it is not defined: before the first reply
    finished, and once all have. `at_cap` is the share that did not finish.
    """

    run: str
    label: str
    unit: str
    budget: int | None
    x: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int
    finished: int
    median: Median | None
    at_cap: Proportion


def survival(spending: Spending) -> Curve:
    """The Kaplan-Meier curve of a run's replies, unfinished ones right-censored.

    The band is Greenwood's on the log-log scale; the median comes with the interval of
    Brookmeyer & Crowley (1982, Biometrics 38:29): where the band crosses one half, an
    end of it being None where it does not. The median itself is None where more than
    half of the replies are still unfinished at the end. Two of five replies cut at 9:

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"amount": [3., 5., 7., 9., 9.]})
    >>> rows["finished"] = rows["amount"] < 9
    >>> curve = survival(Spending("r", "R", "tokens", 9, rows, 0))
    >>> curve.x.tolist(), curve.share.round(1).tolist()
    ([0.0, 3.0, 5.0, 7.0, 9.0], [1.0, 0.8, 0.6, 0.4, 0.4])
    >>> curve.median, curve.finished, curve.at_cap.estimate
    ((7.0, 3.0, None), 3, 0.4)
    """
    import numpy as np
    from scipy.stats import ecdf

    rows = spending.rows
    unfinished = ecdf(_censored(rows)).sf
    with warnings.catch_warnings():  # its warning is of the nan named above
        warnings.simplefilter("ignore", RuntimeWarning)
        band = unfinished.confidence_interval(0.95, method="log-log")
    x, share = unfinished.quantiles, unfinished.probabilities
    low, high = band.low.probabilities, band.high.probabilities
    if x[0] > 0:
        x, share = np.insert(x, 0, 0.0), np.insert(share, 0, 1.0)
        low, high = np.insert(low, 0, math.nan), np.insert(high, 0, math.nan)
    n, finished = len(rows), int(rows["finished"].sum())
    return Curve(
        spending.run, spending.label, spending.unit, spending.budget,
        x, share, low, high, n, finished,
        _median(x, share, low, high), proportion(n - finished, n),
    )  # fmt: skip


def _median(
    x: np.ndarray, share: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Median | None:
    middle = _first(x, share)
    return None if middle is None else (middle, _first(x, low), _first(x, high))


def _first(x: np.ndarray, share: np.ndarray) -> float | None:
    """Where a share that falls is first at one half or below; None: nowhere."""
    fallen = share <= 0.5 + 1e-12  # nan is not
    return float(x[fallen.argmax()]) if fallen.any() else None


def logrank(a: Spending, b: Spending) -> float | None:
    """The p-value of H0: the replies of two runs finish at the same rate throughout.

    Two-sided, cut replies right-censored (Mantel 1966, Cancer Chemother Rep 50:163). It
    takes the runs for independent samples, which answers to one exam are only in part.
    None where the units differ or no reply finished; 1 where nothing could ever differ.

    >>> import pandas as pd
    >>> def of(*amounts):
    ...     rows = pd.DataFrame({"amount": amounts, "finished": True})
    ...     return Spending("r", "R", "tokens", None, rows, 0)
    >>> logrank(of(3.0, 5.0), of(3.0, 5.0))
    1.0
    """
    return _logrank(a.rows, b.rows) if a.unit == b.unit else None


def _logrank(one: pd.DataFrame, other: pd.DataFrame) -> float | None:
    import numpy as np
    from scipy import stats

    finished = one["finished"].sum() + other["finished"].sum()
    if one.empty or other.empty or not finished:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        p = float(stats.logrank(_censored(one), _censored(other)).pvalue)
    return 1.0 if math.isnan(p) else p


def _censored(rows: pd.DataFrame) -> CensoredData:
    from scipy.stats import CensoredData

    amounts, finished = rows["amount"].to_numpy(float), rows["finished"].to_numpy(bool)
    return CensoredData.right_censored(amounts, ~finished)


def logrank_pairs(spendings: Sequence[Spending]) -> pd.DataFrame:
    """The log-rank test of every pair of runs: a, b, pvalue, and its Holm adjustment.

    The family is all the pairs that can be tested; the others are nan.

    >>> logrank_pairs([]).columns.tolist()
    ['a', 'b', 'pvalue', 'holm']
    """
    import pandas as pd
    from statsmodels.stats.multitest import multipletests

    pairs = [(a.run, b.run, logrank(a, b)) for a, b in combinations(spendings, 2)]
    table = pd.DataFrame(pairs, columns=["a", "b", "pvalue"])
    table["pvalue"] = table["pvalue"].astype(float)
    table["holm"] = math.nan
    tested = table["pvalue"].notna()
    if tested.any():
        adjusted = multipletests(table.loc[tested, "pvalue"], method="holm")[1]
        table.loc[tested, "holm"] = adjusted
    return table


@dataclass(frozen=True)
class RightWrong:
    """How long right replies are, and all others, with log-rank p-values.

    A reply that was cut is not right, so `pvalue` is partly about the budget itself;
    `finished_pvalue` is over finished replies alone, which the budget has selected.
    """

    right: Curve
    wrong: Curve
    pvalue: float | None
    finished_pvalue: float | None


def right_against_wrong(spending: Spending) -> RightWrong | None:
    """The length of right replies against that of the others; None without both.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"amount": [3., 4., 7., 9.], "correct": [1, 1, 0, 0]})
    >>> rows = rows.assign(finished=rows["amount"] < 9, correct=rows["correct"] == 1)
    >>> found = right_against_wrong(Spending("r", "R", "tokens", 9, rows, 0))
    >>> found.right.median[0], found.wrong.median[0], found.wrong.finished
    (3.0, 7.0, 1)
    """
    rows = spending.rows
    right, wrong = rows[rows["correct"]], rows[~rows["correct"]]
    if right.empty or wrong.empty:
        return None
    ended = (part[part["finished"]] for part in (right, wrong))
    return RightWrong(
        survival(replace(spending, rows=right)),
        survival(replace(spending, rows=wrong)),
        _logrank(right, wrong),
        _logrank(*ended),
    )


# --- a smaller budget -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BudgetCurve:
    """The accuracy of `n` replies had the budget been x, with Wilson's 95 % interval.

    `blank` is the share without an answer at x: still under way, or ended without one.
    """

    run: str
    label: str
    unit: str
    budget: int | None
    x: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    blank: np.ndarray
    n: int


def budget_curve(spending: Spending, points: int = POINTS) -> BudgetCurve:
    """What every smaller budget would have left of a run, by its own replies.

    A reply counts at x when it finished within x. A cut reply that states its answer
    all the same counts at the run's own budget only, the last x, which therefore is
    what the run scored. It holds as far as the engine writes one text at any budget.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"amount": [2., 4., 8., 8.]}).assign(outcome="answered")
    >>> rows["correct"] = rows["finished"] = [True, True, True, False]
    >>> curve = budget_curve(Spending("r", "R", "tokens", 8, rows, 0), points=3)
    >>> curve.x.tolist(), curve.accuracy.tolist(), curve.blank.tolist()
    ([2, 4, 8], [0.25, 0.5, 0.75], [0.75, 0.5, 0.0])
    """
    import numpy as np

    rows, n = spending.rows, len(spending.rows)
    x = _budgets(spending, points)
    amount = np.where(rows["finished"], rows["amount"], math.inf)
    within = amount[:, None] <= x[None, :]
    within[:, -1] = True
    answered = rows["outcome"].isin(WITH_ANSWER).to_numpy()
    right = (within & rows["correct"].to_numpy(bool)[:, None]).sum(0)
    limits = [proportion(int(k), n) for k in right]
    return BudgetCurve(
        spending.run, spending.label, spending.unit, spending.budget, x, right / n,
        np.array([each.low for each in limits]),
        np.array([each.high for each in limits]),
        1 - (within & answered[:, None]).sum(0) / n, n,
    )  # fmt: skip


def _budgets(spending: Spending, points: int) -> np.ndarray:
    """Budgets to look at, closer together where they are small, the run's own last."""
    import numpy as np

    amounts = spending.rows["amount"]
    is_told = spending.unit == "tokens" and spending.budget is not None
    last = float(spending.budget if is_told else amounts.max())  # type: ignore[arg-type]
    spent = amounts[(amounts > 0) & (amounts <= last)]
    if spent.empty:
        x = np.array([last])
    else:
        x = np.geomspace(min(float(spent.min()), last / points), last, points)
        x[-1] = last  # the root of a product is off by a bit
    return np.unique(np.ceil(x).astype(int)) if spending.unit == "tokens" else x


def smallest_budget(curve: BudgetCurve, loss: float = 0.01) -> float:
    """The smallest budget of a curve whose accuracy is within `loss` of the run's own.

    It is one of the curve's points and in its unit; `loss` is a fraction.

    >>> import numpy as np
    >>> x, share = np.array([256, 512, 1024]), np.array([0.25, 0.745, 0.75])
    >>> rest = [np.zeros(3)] * 3
    >>> smallest_budget(BudgetCurve("r", "R", "tokens", 1024, x, share, *rest, n=400))
    512.0
    """
    enough = curve.accuracy >= curve.accuracy[-1] - loss - 1e-12
    return float(curve.x[enough.argmax()])


# --- loops ----------------------------------------------------------------------------


def loops(run: Run) -> pd.DataFrame | None:
    """How far each reasoning text of a run repeats itself; None where none is whole.

    Per reply with reasoning: problem_id, outcome, characters, repeated_suffix (the
    longest end of the text that also occurs earlier in it, in characters),
    distinct_share (of its 12-grams of characters; missing below 12) and looping, see
    `is_looping`. A text that the record clipped tells nothing of how it ended.
    """
    import pandas as pd

    clipped = run.manifest.get("clipped")
    if isinstance(clipped, dict) and clipped.get("reasoning"):
        return None
    kept = run.rows["reasoning"].fillna("").str.strip() != ""
    replies = run.rows.loc[kept, ["problem_id", "outcome", "reasoning"]]
    if replies.empty:
        return None
    texts = replies.pop("reasoning").tolist()
    suffixes = [repeated_suffix(text) for text in texts]
    shares = [distinct_share(text) for text in texts]
    told = zip(texts, suffixes, shares, strict=True)
    return replies.reset_index(drop=True).assign(
        characters=[len(text) for text in texts],
        repeated_suffix=suffixes,
        distinct_share=pd.array(shares, dtype="Float64"),
        looping=[_loops(text, length, share) for text, length, share in told],
    )


def is_looping(text: str) -> bool:
    """Whether a text ends in one piece over and over, or says little that is new.

    >>> is_looping("Let me check. " + "So the answer is c. Wait, " * 5)
    True
    >>> is_looping("27a58b35c86d14e;1:14e;27a58b35c86d;2:27a#" * 2)
    False
    """
    return _loops(text, repeated_suffix(text), distinct_share(text))


def _loops(text: str, length: int, share: float | None) -> bool:
    """Whether a text loops, by its repeated end and its share of distinct 12-grams."""
    if len(text) >= LONG and (share or 0) < LITTLE_NEW:
        return True
    if length == 0:
        return False
    end = len(text) - length
    period = end - text.rfind(text[end:], 0, len(text) - 1)
    # Beside its repetition the first copy stands, so `period` more belong to the loop.
    copied = length + period
    return copied >= COPIES * period and copied >= LOOP_LENGTH


def repeated_suffix(text: str) -> int:
    """The length of the longest end of a text that also occurs earlier in it.

    The two may overlap: three copies of a piece give twice its length. Whatever is
    repeated at one length is so at any smaller one, so the search halves.

    >>> repeated_suffix("abc" * 3), repeated_suffix("no loop here?")
    (6, 0)
    """
    shortest, longest = 0, len(text) - 1
    while shortest < longest:
        length = (shortest + longest + 1) // 2
        if text.find(text[-length:]) < len(text) - length:
            shortest = length
        else:
            longest = length - 1
    return max(shortest, 0)


def distinct_share(text: str) -> float | None:
    """The share of a text's 12-grams of characters that are different ones.

    >>> distinct_share("a" * 21), distinct_share("too short")
    (0.1, None)
    """
    count = len(text) - GRAM + 1
    if count < 1:
        return None
    return len({text[i : i + GRAM] for i in range(count)}) / count


# --- a larger budget ------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """What became of the questions of a set when they were asked again.

    `rescued` finished and are right, `finished_wrong` finished and are not,
    `unfinished` were cut or blank again, `failed` got no reply.
    """

    rescued: int
    finished_wrong: int
    unfinished: int
    failed: int
    not_asked: int

    @property
    def asked(self) -> int:
        """How many of the questions were asked again."""
        return self.rescued + self.finished_wrong + self.unfinished + self.failed

    @property
    def share(self) -> Proportion:
        """The rescued share of those asked again, with Wilson's 95 % interval.

        >>> share = Counts(26, 10, 3, 0, 0).share
        >>> round(share.estimate, 3), round(share.low, 3), round(share.high, 3)
        (0.667, 0.51, 0.794)
        """
        return proportion(self.rescued, self.asked)


@dataclass(frozen=True)
class Rescue:
    """A run's lost questions, asked again by another run with a larger budget.

    `run` lost `lost` questions at `budget`; `rescue` asked them at `larger`, and
    `control`, where there is one, at `budget` once more. Only what the rescue has over
    its control is the budget's doing. `errors` counts the questions whose request had
    failed in `run`: no budget had cut them.
    """

    run: str
    budget: int
    lost: int
    rescue: str
    larger: int
    counts: Counts
    control: str | None
    control_counts: Counts | None
    errors: Counts


@dataclass(frozen=True, eq=False)
class _Again:
    """One asking: its name, its budget and its rows."""

    name: str
    budget: int
    rows: pd.DataFrame


def rescues(runs: Sequence[Run]) -> list[Rescue]:
    """Every asking of one run's lost questions by another with a larger budget.

    Lost are truncated replies, and blank ones whose end is on record nowhere. Runs
    pair when they are of one model (the slug decides, else the name) and exam and no
    known setting but the budget differs; a run made with `lost_of` pairs with that run
    alone. The probe of a broken run, see `igaku.ask.run`, is a rescue of a few.

    >>> rescues([])
    []
    """
    return [found for run in runs for found in _rescues(run, runs)]


def _rescues(base: Run, runs: Sequence[Run]) -> Iterator[Rescue]:
    lost, errors = _lost(base), _named(base.rows, base.rows["outcome"] == "api_error")
    if not lost or base.budget is None:
        return
    again = [
        _Again(run.name, run.budget, run.rows)
        for run in runs
        if run.budget is not None and _is_pair(base, run)
    ]
    again += _probe(base)
    again = [each for each in again if _counts(each, lost).asked]
    controls = [each for each in again if each.budget == base.budget]
    control = max(controls, key=lambda c: _counts(c, lost).asked, default=None)
    for each in sorted(again, key=lambda each: (each.budget, each.name)):
        if each.budget > base.budget:
            yield Rescue(
                base.name, base.budget, len(lost),
                each.name, each.budget, _counts(each, lost),
                control.name if control else None,
                _counts(control, lost) if control else None,
                _counts(each, errors),
            )  # fmt: skip


def _lost(run: Run) -> set[str]:
    """Questions whose reply the budget cut, or may have."""
    cut = run.rows["outcome"] == "truncated"
    empty = (run.rows["outcome"] == "empty") & end_unknown(run.rows, run.budget)
    return _named(run.rows, cut | empty)


def _named(rows: pd.DataFrame, which: pd.Series) -> set[str]:
    return set(rows.loc[which, "problem_id"])


def _counts(again: _Again, questions: set[str]) -> Counts:
    rows = again.rows
    rows = rows[rows["problem_id"].isin(questions) & (rows["outcome"] != "not_run")]
    failed = rows["outcome"].isin(NO_REPLY)
    unfinished = ~failed & (_is_cut(rows, again.budget) | scoring.blank(rows))
    finished = ~failed & ~unfinished
    right = _is_right(rows)
    return Counts(
        rescued=int((finished & right).sum()),
        finished_wrong=int((finished & ~right).sum()),
        unfinished=int(unfinished.sum()),
        failed=int(failed.sum()),
        not_asked=len(questions) - len(rows),
    )


def _is_pair(base: Run, other: Run) -> bool:
    """Whether a run asks a base's questions again with nothing changed but the budget.

    What is None in a recorded run's settings is unknown; in one made here it is a
    choice, the server's own default.
    """
    if other.name == base.name:
        return False
    if base.settings.get("lost_of") or other.settings.get("lost_of"):
        return other.settings.get("lost_of") == base.name
    if not _is_one_model(base, other) or base.exam != other.exam:
        return False
    one, another = _condition(base), _condition(other)
    return all(one[name] == another[name] for name in one.keys() & another.keys())


def _is_one_model(base: Run, other: Run) -> bool:
    slugs = base.settings.get("slug"), other.settings.get("slug")
    if all(slugs):
        return slugs[0] == slugs[1]
    return base.model is not None and base.model == other.model


def _condition(run: Run) -> dict[str, Any]:
    """What is known of the conditions under which a run asked, but for its budget."""
    free = ("model", "exam", "max_tokens", "lost_of")
    names = [name for name in (*CONDITION, "prompt") if name not in free]
    told = {name: run.settings[name] for name in names if name in run.settings}
    told["prompt_sha256"] = run.manifest.get("prompt_sha256")
    is_recorded = run.origin == "recorded"
    unknown = names if is_recorded else ["prompt_sha256"]
    return {k: v for k, v in told.items() if v is not None or k not in unknown}


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
