"""The official verdict: compulsory part, general and clinical part, and 禁忌 choices.

The ministry passes an examinee who reaches both lines in points and chose no more than
a few 禁忌 options. Sections B and E are the compulsory part (必修). Points and 禁忌
options come from IgakuQA, whose struck questions have 0 points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku.study.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from igaku.study.families import Study

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


@dataclass(frozen=True)
class Part:
    """Points of one part of the exam, and the line they are held against."""

    points: int
    possible: int
    line: int

    @property
    def short(self) -> int:
        """Points missing to the line; 0 when it is reached."""
        return max(0, self.line - self.points)


@dataclass(frozen=True)
class Official:
    """The official verdict of a complete run, in its three parts.

    `kinki` are the questions whose 禁忌 option was chosen. `is_verified` says whether
    the lines of this year come from the announcement itself. `hinges` lists questions
    of unsure treatment that would change the verdict.
    """

    compulsory: Part
    rest: Part
    kinki: tuple[str, ...]
    is_verified: bool
    hinges: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """Points of both parts together."""
        return self.compulsory.points + self.rest.points

    @property
    def possible(self) -> int:
        """The most points there are: 494 in exam 116."""
        return self.compulsory.possible + self.rest.possible

    @property
    def passed(self) -> bool:
        """Whether all three parts are passed."""
        few = len(self.kinki) <= MOST_KINKI
        return few and not self.compulsory.short and not self.rest.short


@dataclass(frozen=True)
class Bounds:
    """The lowest and the highest score that a run could still end with.

    Of the `planned` questions, `right` are right already and `unasked` are open. `cut`
    counts replies that the budget, or something unrecorded, ended before an answer.
    """

    right: int
    unasked: int
    cut: int
    planned: int

    @property
    def highest(self) -> int:
        """The score if every question that was not asked came out right."""
        return self.right + self.unasked

    @property
    def highest_uncut(self) -> int:
        """The score if, besides, every lost reply had been right."""
        return self.highest + self.cut


def official(run: Run) -> Official | None:
    """The official verdict of a complete run of a year's exam; None for any other.

    A broken run gets its verdict too when all questions were asked: it is a fact about
    the score. Unfinished runs and the lab's exam have none.
    """
    lines = LINES.get(str(run.exam))
    if lines is None or not (run.is_whole_exam and run.is_complete):
        return None
    if run.plan is None or run.is_lab:
        return None
    rows = run.rows.assign(right=credited(run.rows))
    is_compulsory = rows["section"].isin(COMPULSORY)
    compulsory = _part(rows[is_compulsory], lines[0])
    rest = _part(rows[~is_compulsory], lines[1])
    found = Official(
        compulsory, rest, kinki_choices(run.rows), str(run.exam) in VERIFIED
    )
    return _hinged(found, rows)


OFFICIAL = (
    "run", "part", "points", "possible", "line", "passed", "verified", "kinki",
    "hinges",
)  # fmt: skip


def official_frame(study: Study) -> pd.DataFrame:
    """One row per complete run and part; see `igaku.study.official`."""
    import pandas as pd

    rows = [row for run in study.runs for row in _official_rows(run)]
    frame = pd.DataFrame(rows, columns=list(OFFICIAL))
    whole = ["points", "possible", "line"]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _official_rows(run: Run) -> Iterator[tuple[Any, ...]]:
    found = official(run)
    if found is None:
        return
    n, few = len(found.kinki), len(found.kinki) <= MOST_KINKI
    asked = int(run.rows["kinki"].notna().sum())
    for part in ("compulsory", "rest"):
        told: Part = getattr(found, part)
        figures = (told.points, told.possible, told.line, not told.short)
        yield run.name, part, *figures, found.is_verified, (), found.hinges
    kinki = (n, asked, MOST_KINKI, few)
    yield run.name, "kinki", *kinki, found.is_verified, found.kinki, ()
    total = (found.points, found.possible, None, found.passed)
    yield run.name, "total", *total, found.is_verified, (), found.hinges


def credited(rows: pd.DataFrame) -> pd.Series:
    """Which replies earn their points: the right ones, and any answer to 116A71."""
    right = rows["correct"].fillna(False).astype(bool)
    return right | (rows["problem_id"].isin(CREDITED) & rows["answer"].notna())


def kinki_choices(rows: pd.DataFrame) -> tuple[str, ...]:
    """The questions to which a 禁忌 option was chosen."""
    chosen = [
        _is_kinki(answer, kinki)
        for answer, kinki in zip(rows["answer"], rows["kinki"], strict=True)
    ]
    return tuple(rows["problem_id"][chosen])


def bounds(run: Run) -> Bounds | None:
    """What an unfinished run could still reach; None where the plan is not known.

    17 right of 125 asked leaves 275 open: at most 292, so 300 is out of reach.
    """
    if run.planned is None:
        return None
    from igaku.study.former_scoring import correct, is_lost

    lost = int(is_lost(run.rows).sum())
    return Bounds(correct(run.rows), run.planned - run.asked, lost, run.planned)


def _is_kinki(answer: Sequence[str] | None, kinki: Sequence[str] | None) -> bool:
    return bool(isinstance(answer, tuple) and kinki and set(answer) & set(kinki))


def _part(rows: pd.DataFrame, line: int) -> Part:
    points = rows["points"].fillna(0).astype(int)
    return Part(int(points[rows["right"]].sum()), int(points.sum()), line)


def _hinged(found: Official, rows: pd.DataFrame) -> Official:
    """The verdict, with the questions that would turn it if struck when wrong."""
    wrong = rows[rows["problem_id"].isin(UNSURE) & ~rows["right"]]
    if not len(wrong) or not found.compulsory.short:
        return found
    from dataclasses import replace

    possible = found.compulsory.possible - int(wrong["points"].sum())
    line = math.ceil(COMPULSORY_SHARE * possible)
    other = replace(found, compulsory=replace(found.compulsory, line=line))
    if other.passed == found.passed:
        return found
    return replace(found, hinges=tuple(wrong["problem_id"]))
