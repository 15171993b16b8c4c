"""Strata: where a model is right and where it is not, each share with its n."""

from __future__ import annotations

import pandas as pd

from igaku.study.families import Source, named, role, stacked, study_in
from igaku.study.lines import COMPULSORY
from igaku.study.runs import Run
from igaku.study.scoring import with_share

BANDS = (0, 60, 80, 90, float("inf"))  # percent of examinees who were right
BAND_NAMES = ("0–59%", "60–79%", "80–89%", "90–100%")
# The order of the levels where the alphabet has none; the others follow.
ORDER = (
    "compulsory", "general", "1", "2", "3", "numeric", "text", "image", "none", "head",
    "joined", "missing", *BAND_NAMES,
)  # fmt: skip
STRATA = (
    "section", "part", "answers", "image", "vignette", "human_accuracy", "kinki",
    "speciality",
)  # fmt: skip
COLUMNS = (
    "run", "label", "stratum", "level", "n", "right", "accuracy", "low", "high",
    "color", "marker",
)  # fmt: skip


def strata(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run, stratum and level that was met; follow-ups are left out.

    `run label`; `stratum`: section, part, answers (how many options are right), image,
    vignette, human_accuracy (bands), kinki or speciality, and `level` in it. `n right`:
    questions. `accuracy low high`: right/n with Wilson's 95 % interval (fractions).
    `color marker`: the run's in every figure, as its card has them.
    """
    study = study_in(outputs_dir)
    parts = [
        strata_of(run).assign(**named(study, run, "color", "marker"))
        for run in study.runs
        if run.asked and role(run) != "follow-up"
    ]
    return stacked(parts, COLUMNS)


def strata_of(run: Run) -> pd.DataFrame:
    """One run's replies counted by stratum and level; a question may be in no level."""
    right = run.rows["correct"].fillna(False).astype(int)
    levels = levels_of(run).assign(right=right)
    long = levels.melt("right", var_name="stratum", value_name="level").dropna()
    counts = long.groupby(["stratum", "level"])["right"].agg(n="size", right="sum")
    order = counts.reset_index().sort_values(
        ["stratum", "level"], key=_place, kind="stable"
    )
    return with_share(order, "n")


def _place(column: pd.Series) -> pd.Series:
    known = STRATA if column.name == "stratum" else ORDER
    places = {name: place for place, name in enumerate(known)}
    return column.map(lambda name: (places.get(name, len(places)), name))


def levels_of(run: Run) -> pd.DataFrame:
    """The level of every question of a run in each stratum; missing: it has none."""
    rows = run.rows
    compulsory = rows["section"].isin(COMPULSORY)
    part = compulsory.map({True: "compulsory", False: "general"})
    human = rows["human_accuracy"].astype(float)
    bands = pd.cut(human, list(BANDS), right=False, labels=list(BAND_NAMES))
    joined = run.settings.get("serial_context") == "joined"
    follow_up = pd.Series("joined" if joined else "missing", index=rows.index)
    case = follow_up.mask(rows["stem"] == rows["problem_id"], "head")
    options = rows["gold"].str.len().astype("Int64").astype("str")
    levels = {
        "section": rows["section"],
        # The calibration exam has neither a compulsory part nor specialities.
        "part": None if run.is_lab else part,
        "answers": options.mask(rows["kind"] == "numeric", "numeric"),
        "image": rows["text_only"].map({True: "text", False: "image"}),
        "vignette": case.mask(rows["stem"].isna(), "none"),
        "human_accuracy": bands,
        "kinki": rows["kinki"].notna().map({True: "kinki"}),
        "speciality": None if run.is_lab else rows["category"],
    }
    return pd.DataFrame(levels, index=rows.index, dtype=object)
