"""The official lines: compulsory part, general and clinical part, 禁忌 choices.

The ministry passes an examinee who reaches both lines in points and chose no more than
a few 禁忌 options. Sections B and E are the compulsory part (必修). Points and 禁忌
options come from IgakuQA, whose struck questions have 0 points.
"""

from __future__ import annotations

import math

import pandas as pd

from igaku.study.families import Source, named, stacked, study_in
from igaku.study.runs import Run

COMPULSORY = ("B", "E")
MOST_KINKI = 3
# Year → (必修, 一般・臨床) in points. Exam 116: the ministry's announcement of
# 2022-03-16 as quoted by doctor.mynavi.jp/column/kokushi2022; 112: savingdoctor.com,
# 113: jmedj.co.jp 11988, 114: ishiyaku-k.com; 115 is known from a range only.
LINES = {
    "2018": (160, 208),
    "2019": (160, 209),
    "2020": (158, 217),
    "2021": (160, 209),
    "2022": (158, 214),
}
VERIFIED = ("2022",)
# Any answer counts to 116A71, which has several official ones that IgakuQA rewrote.
CREDITED = ("116A71",)
# Said to count when right and to be struck when wrong; that could not be verified.
UNSURE = ("116B6", "116E16")
COMPULSORY_SHARE = 0.8
OFFICIAL = (
    "run", "label", "part", "points", "possible", "line", "passed", "verified", "kinki",
    "hinges",
)  # fmt: skip


def official(outputs_dir: Source = None) -> pd.DataFrame:
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
    study = study_in(outputs_dir)
    judged = ((run, official_of(run)) for run in study.runs)
    parts = [
        each.assign(**named(study, run)) for run, each in judged if each is not None
    ]
    return stacked(parts, OFFICIAL)


def official_of(run: Run) -> pd.DataFrame | None:
    """The official verdict of a complete run of a year's exam; None for any other.

    A broken run gets its verdict too when all questions were asked: it is a fact about
    the score. Unfinished runs and the lab's exam have none.
    """
    lines, is_sat = LINES.get(str(run.exam)), run.is_whole_exam and run.is_complete
    if lines is None or not is_sat or run.plan is None or run.is_lab:
        return None
    rows = run.rows
    chosen = kinki_choices(rows)
    worth = rows["points"].fillna(0).astype(int)
    is_earned, is_first = credited(rows), rows["section"].isin(COMPULSORY)
    possible = [int(worth[part].sum()) for part in (is_first, ~is_first)]
    earned = [int(worth[part & is_earned].sum()) for part in (is_first, ~is_first)]
    passed = [*(e >= line for e, line in zip(earned, lines, strict=True))]
    passed.append(len(chosen) <= MOST_KINKI)
    hinges: tuple[str, ...] = ()
    if passed == [False, True, True]:
        hinges = _hinges(rows, earned[0], possible[0])
    return pd.DataFrame(
        {
            "part": ["compulsory", "rest", "kinki", "total"],
            "points": [*earned, len(chosen), sum(earned)],
            "possible": [*possible, int(rows["kinki"].notna().sum()), sum(possible)],
            "line": pd.array([*lines, MOST_KINKI, None], dtype="Int64"),
            "passed": [*passed, all(passed)],
            "verified": str(run.exam) in VERIFIED,
            "kinki": [(), (), chosen, ()],
            "hinges": [hinges, (), (), hinges],
        }
    )


def credited(rows: pd.DataFrame) -> pd.Series:
    """Which replies earn their points: the right ones, and any answer to 116A71."""
    right = rows["correct"].fillna(False).astype(bool)
    return right | (rows["problem_id"].isin(CREDITED) & rows["answer"].notna())


def kinki_choices(rows: pd.DataFrame) -> tuple[str, ...]:
    """The questions to which a 禁忌 option was chosen."""
    both = zip(rows["answer"], rows["kinki"], strict=True)
    chosen = [not {*(answer or ())}.isdisjoint(kinki or ()) for answer, kinki in both]
    return tuple(rows["problem_id"][chosen])


def _hinges(rows: pd.DataFrame, earned: int, possible: int) -> tuple[str, ...]:
    """The unsure questions without which, if they are struck, the line is reached."""
    wrong = rows[rows["problem_id"].isin(UNSURE) & ~credited(rows)]
    line = math.ceil(COMPULSORY_SHARE * (possible - int(wrong["points"].sum())))
    return tuple(wrong["problem_id"]) if earned >= line else ()
