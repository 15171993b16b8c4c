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
