"""The study as frames: what a notebook begins with.

Every function takes the folder of the runs, or a `Study` that is open already, and
gives a DataFrame whose columns its docstring lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from igaku.study.families import MARGIN, Study, open_study

if TYPE_CHECKING:
    import pandas as pd

Source = str | Path | Study | None


def study_in(
    outputs_dir: Source, reference: str | None = None, margin: float | None = None
) -> Study:
    """The study that is given, or the one in a folder."""
    if isinstance(outputs_dir, Study):
        return outputs_dir
    return open_study(outputs_dir, reference, None, margin or MARGIN)


def runs(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run: run, label, status, asked, right, accuracy, low, high, …"""
    from igaku.study.scoring import runs_frame

    return runs_frame(study_in(outputs_dir))


def pairs(
    outputs_dir: Source = None,
    reference: str | None = None,
    margin: float | None = None,
) -> pd.DataFrame:
    """One row per pair, candidate against reference, with counts, tests, intervals."""
    from igaku.study.pairs import pairs_frame

    return pairs_frame(study_in(outputs_dir, reference, margin))


def flips(outputs_dir: Source, reference: str, candidate: str) -> pd.DataFrame:
    """One row per question on which two runs part."""
    from igaku.study.pairs import flips_frame

    return flips_frame(study_in(outputs_dir), reference, candidate)


def audit(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per alarm: kind, grave, runs."""
    from igaku.study.audits import audit_frame

    return audit_frame(study_in(outputs_dir))


def walls(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per wall: where blank replies pile up in time."""
    from igaku.study.walls import walls_frame

    return walls_frame(study_in(outputs_dir))


def sections(source: Source = None) -> pd.DataFrame:
    """One row per run and section A-F: planned, asked, right and lost replies.

    The columns are run, label, section, planned, asked, right, accuracy with its 95 %
    limits low and high (fractions, missing where nothing was asked), blank, api_error.
    """
    from igaku.study.scoring import sections_frame

    return sections_frame(study_in(source))


def strata(source: Source = None) -> pd.DataFrame:
    """One row per run, stratum and level: n, right, accuracy, low, high (fractions)."""
    from igaku.study.levels import strata_frame

    return strata_frame(study_in(source))


def official(source: Source = None) -> pd.DataFrame:
    """One row per complete run and part of the official verdict.

    The parts are compulsory, rest (both in points), kinki (questions whose prohibited
    option was chosen, named in `kinki`; `line` is the most that pass) and total. The
    columns are run, part, points, possible, line, passed, verified (whether the lines
    are those of the announcement itself), kinki, hinges (the questions whose unsure
    treatment would turn the verdict).
    """
    from igaku.study.lines import official_frame

    return official_frame(study_in(source))


def published(source: Source = None) -> pd.DataFrame:
    """Figures printed elsewhere of each run, beside those counted here.

    The columns are run, section (A-F or total), measure (correct, accuracy in percent,
    blank, api_errors), published (as printed, "60+" included), counted, agrees. The
    last is missing where the section was not asked whole, or at another budget.
    """
    from igaku.study.scoring import published_frame

    return published_frame(study_in(source))


def cards(source: Source = None) -> pd.DataFrame:
    """The models' cards in the study's language: a row per item, a column per run."""
    from igaku.study.scoring import cards_frame

    return cards_frame(study_in(source))
