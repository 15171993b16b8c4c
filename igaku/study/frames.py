"""The study as frames: what a notebook begins with.

Every function takes the folder of the runs, or a `Study` that is open already, and
gives a DataFrame whose columns its docstring lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from igaku.study.families import MARGIN, Study, open_study, study_of

if TYPE_CHECKING:
    import pandas as pd

Source = str | Path | Study | None


def study_in(
    source: Source, reference: str | None = None, margin: float | None = None
) -> Study:
    """The study that is given, or the one in a folder, as a call declares it."""
    if not isinstance(source, Study):
        return open_study(source, reference, None, MARGIN if margin is None else margin)
    if reference is None and margin in (None, source.margin):
        return source
    return study_of(
        source.runs, reference or source.reference, source.declared,
        source.margin if margin is None else margin, source.lang, source.folder,
    )  # fmt: skip


def runs(source: Source = None) -> pd.DataFrame:
    """One row per run, the reference first: what it is, what it scored, what it lost.

    `run label status cause role origin exam`: its folder and display name; OK,
    INCOMPLETE or BROKEN with a cause; finished, stopped, reference or follow-up;
    measured, recorded or lab. `planned asked right`: questions. `accuracy low high`:
    right/asked with Wilson's 95 % interval (fractions). `blank lost api_error`: replies
    without text; cut, blank or failed ones; failed requests. `verdict short`: PASS or
    FAIL at 75 % of a whole exam, and the questions missing to it. `identity`: verified,
    unverified or wrong_model. `counted same_as`: False for a run that is shown to be
    wrong or is the same replies as the run `same_as`. `format quantization size_gb
    hf_downloads`: its card. `max_tokens reasoning_effort`: as asked. `seconds
    completion_tokens`: medians of its replies. `started`: the first request.

    >>> shown = ["label", "right", "asked", "accuracy", "low", "high"]
    >>> igaku.runs("outputs")[shown].head(2).round(3)  # doctest: +SKIP
               label  right  asked  accuracy    low   high
    0   openai @8bit    286    400     0.715  0.669  0.757
    1  openai @mxfp4    284    400     0.710  0.664  0.752
    """
    from igaku.study.audits import wrong_runs
    from igaku.study.overview import runs_frame

    study = study_in(source)
    return runs_frame(study, wrong_runs(study))


def pairs(
    source: Source = None, reference: str | None = None, margin: float | None = None
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
    one of the runs is shown to be wrong, or is the same replies as another. `clusters
    cluster_se naive_se cluster_low cluster_high`: vignettes met, and the standard
    errors of the difference with and without them (missing without a flip).

    >>> igaku.pairs("outputs").query("~tainted")[["candidate", "difference", "pvalue"]]
    ... # doctest: +SKIP
    """
    from igaku.study.pairs import pairs_frame

    return pairs_frame(study_in(source, reference, margin))


def flips(source: Source, reference: str, candidate: str) -> pd.DataFrame:
    """One row per common question on which two runs part, in exam order.

    `problem_id flip section`: the question and who alone was right, only_reference or
    only_candidate. `lost`: whether the reply that was not right was cut, blank or
    failed. `reference_outcome reference_answer reference_content`, and the same of the
    candidate: what became of each reply. `gold`: the answer that counts as right.

    >>> igaku.flips("outputs", "openai-8bit", "openai-mxfp4").groupby("flip").size()
    ... # doctest: +SKIP
    """
    from igaku.study.pairs import flips_frame

    return flips_frame(study_in(source), reference, candidate)


def audit(source: Source = None) -> pd.DataFrame:
    """One row per alarm: what must be known before any number is read.

    `kind`: see `igaku.study.audits.AUDITS`. `grave`: it can turn a conclusion round.
    `overturns`: the study cannot be read before it is understood; these come first.
    `runs`: the names of the runs it taints. `text`: the sentence in the study's
    language. `facts`: the numbers and names in it.

    >>> igaku.audit("outputs").query("overturns")["text"]  # doctest: +SKIP
    """
    from igaku.study.audits import audit_frame

    return audit_frame(study_in(source))


def walls(source: Source = None) -> pd.DataFrame:
    """One row per wall: a time at which many blank replies of a run ended.

    `run max_tokens`: the run and its token budget. `seconds`: the median time of the
    `replies` blank ones within 5 % of it, of `blank` in all. `tokens_per_second`: the
    speed at which the wall would be the budget: inferred, not counted.

    >>> igaku.walls("outputs")  # doctest: +SKIP
    """
    from igaku.study.walls import walls_frame

    return walls_frame(study_in(source))


def gates(source: Source = None) -> pd.DataFrame:
    """One row per family of three or more finished, or stopped, runs: Cochran's Q.

    `family exam runs`: which runs (names). `n`: questions that all of them were asked.
    `q df pvalue`: the statistic, its degrees of freedom and its chi-squared p.
    """
    from igaku.study.pairs import gates_frame

    return gates_frame(study_in(source))


def planning(pairs: pd.DataFrame) -> pd.DataFrame:
    """Rows of `igaku.pairs` with what their questions and flips let one see.

    Added: `flip_budget`, the flips up to which "not worse" would hold at this net
    difference; `power_small`, the chance to notice a true difference of half a point;
    `detectable`, the smallest difference (fraction) seen with 80 % power; `needed`, the
    questions for 80 % power at half a point; `power_margin`, the chance to show "not
    worse" were there no difference. Missing where the flips allow no answer.
    """
    from igaku.study.pairs import planning

    return planning(pairs)


def patterns(source: Source = None) -> pd.DataFrame:
    """Who got what right: a column of truths per finished run, and `questions`.

    Over the questions that all of them were asked, the most frequent pattern first.
    """
    from igaku.study.pairs import patterns_frame

    return patterns_frame(study_in(source))


def lengths(source: Source = None) -> pd.DataFrame:
    """One row per run with tokens on record: how long its replies are.

    `run label unit`: tokens, never seconds. `n finished`: replies counted, and those
    that ended by themselves. `median low high`: the Kaplan-Meier median in tokens with
    its 95 % interval, missing where more than half were cut. `at_cap`: the share cut.
    """
    from igaku.study.tokens import lengths_frame

    return lengths_frame(study_in(source))


def survival(source: Source = None) -> pd.DataFrame:
    """The share of each run's replies still unfinished after x tokens.

    `run label max_tokens x share low high`: a step of the Kaplan-Meier curve a row,
    with its pointwise 95 % band. Runs without tokens on record have no rows.
    """
    from igaku.study.tokens import survival_frame

    return survival_frame(study_in(source))


def budget_curves(source: Source = None) -> pd.DataFrame:
    """What smaller budgets would have left of each run, by its own replies.

    `run label max_tokens`: a budget, the run's own last. `accuracy low high blank`: the
    fraction right with Wilson's 95 % interval, and the fraction without an answer. Runs
    without tokens on record have no rows.
    """
    from igaku.study.tokens import budgets_frame

    return budgets_frame(study_in(source))


def rescues(source: Source = None) -> pd.DataFrame:
    """One row per second asking of a run's lost questions with a larger budget.

    `run budget lost`: questions that `run` lost at `budget`, the budget being or maybe
    being the cause. `rescue larger`: the run that asked them again, and its budget.
    `asked rescued share low high`: how many it asked, and got right (with Wilson's 95 %
    interval). `finished_wrong unfinished failed not_asked`: what became of the others.
    `control control_asked control_rescued`: a second asking at the same budget; only
    what the rescue has over it is the budget's doing. `error_asked error_rescued`:
    questions whose request had failed, so that no budget had cut them.
    """
    from igaku.study.tokens import rescues_frame

    return rescues_frame(study_in(source))


def loops(source: Source = None) -> pd.DataFrame:
    """One row per reply whose reasoning is on record, whole: does it repeat itself?

    `run problem_id outcome characters`; `repeated_suffix`, the longest end of the text
    that also occurs earlier in it; `distinct_share` of its 12-grams of characters;
    `looping`, see `igaku.study.looping.is_looping`.
    """
    from igaku.study.looping import loops_frame

    return loops_frame(study_in(source))


def sections(source: Source = None) -> pd.DataFrame:
    """One row per run and section A-F, also where nothing was asked.

    `run label section`; `planned asked right blank api_error`: questions (`planned` is
    missing where no manifest tells it). `accuracy low high`: right/asked with Wilson's
    95 % interval (fractions, missing where nothing was asked).
    """
    from igaku.study.overview import sections_frame

    return sections_frame(study_in(source))


def strata(source: Source = None) -> pd.DataFrame:
    """One row per run, stratum and level that was met; follow-ups are left out.

    `run label`; `stratum`: section, part, answers (how many options are right), image,
    vignette, human_accuracy (bands), kinki or speciality, and `level` in it. `n right`:
    questions. `accuracy low high`: right/n with Wilson's 95 % interval (fractions).
    """
    from igaku.study.levels import strata_frame

    return study_in(source).once(strata_frame).copy()


def official(source: Source = None) -> pd.DataFrame:
    """One row per run of a whole exam and part of the ministry's verdict.

    `run label part`: compulsory and rest, in points; kinki, questions whose prohibited
    option was chosen, named in `kinki`; total. `points possible line passed`: the line
    of kinki is the most that pass, the total has none and passes if all three do.
    `verified`: the lines are those announced. `hinges`: questions whose unsure
    treatment would turn the verdict.

    >>> official("outputs").query("part == 'compulsory'")  # doctest: +SKIP
          run label        part  points  possible  line  passed  ...
    0  gpt4-… GPT-4  compulsory     164       197   158    True  ...
    """
    from igaku.study.lines import official_frame

    return official_frame(study_in(source))


def published(source: Source = None) -> pd.DataFrame:
    """One row per figure printed elsewhere of a run, beside the one counted here.

    `run section measure`: A-F or total; correct, accuracy (percent), blank, api_errors.
    `published`: as printed, "60+" included; `counted`; `agrees`: missing where the
    section was not asked whole, or was asked with another budget.
    """
    from igaku.study.overview import published_frame

    return published_frame(study_in(source))


def cards(source: Source = None) -> pd.DataFrame:
    """The models' cards in the study's language: a row per item, a column per run."""
    from igaku.study.overview import cards_frame

    return cards_frame(study_in(source))
