"""The calibration exam: made-up questions whose answer and difficulty are known.

Every question ranks a handful of two-digit measurements, so any reader can check it
and the number of steps it takes is known beforehand. The exam has the shape of the real
one (sections A–F, single and multiple answers, numbers, serial cases with a shared
vignette) and IgakuQA's JSON format: whatever sits the real exam can sit this one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

EXAM = "900"  # the exam number in problem ids: 900A1
SECTIONS = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
SEED = 900
EXAMPLES_SEED = 899
EFFORTS = ("low", "medium", "high")

MEASUREMENTS = (
    ("心拍数", "/分"),
    ("拡張期血圧", "mmHg"),
    ("AST", "U/L"),
    ("ALT", "U/L"),
    ("年齢", "歳"),
    ("体重", "kg"),
    ("尿素窒素", "mg/dL"),
    ("ヘマトクリット", "％"),
)
SMALL, LARGE = "小さい", "大きい"
PATIENTS = "PQRST"
LETTERS = "abcdef"
# Per section: how many serial cases close it, each a head and its follow-ups.
SERIAL = {"A": (), "B": (2, 2), "C": (3, 3, 2), "D": (), "E": (2, 2), "F": (3, 2)}


@dataclass(frozen=True)
class Problem:
    """A ranking task: `steps` selections from `values`, smallest or largest first.

    kind "kth" asks for the value at rank `steps`, "top" for all values up to it,
    "number" for the value at rank `steps` as digits, without choices.
    """

    kind: str
    values: tuple[int, ...]
    direction: str
    steps: int
    measurement: tuple[str, str]

    @property
    def ranking(self) -> tuple[int, ...]:
        """Positions of `values`, best first, as far as the problem needs them."""
        order = sorted(range(len(self.values)), key=lambda i: self.values[i])
        if self.direction == LARGE:
            order.reverse()
        return tuple(order[: self.steps])

    @property
    def answer(self) -> list[str]:
        """The gold answer in IgakuQA's form.

        >>> Problem("kth", (27, 58, 35, 86, 14), SMALL, 2, MEASUREMENTS[0]).answer
        ['a']
        """
        if self.kind == "number":
            return [str(self.values[self.ranking[-1]])]
        picked = self.ranking if self.kind == "top" else self.ranking[-1:]
        return sorted(LETTERS[i] for i in picked)


def draw_problem(rng: random.Random, kind: str, size: int = 5) -> Problem:
    """A random problem of one kind with `size` different values from 10 to 99."""
    steps = rng.choice((2, 3)) if kind == "top" else rng.randint(1, size - 1)
    return Problem(
        kind=kind,
        values=tuple(rng.sample(range(10, 100), size)),
        direction=rng.choice((SMALL, LARGE)),
        steps=steps,
        measurement=rng.choice(MEASUREMENTS),
    )


def reasoning(problem: Problem, effort: str) -> str:
    """The worked solution a model of this effort writes in its analysis channel.

    low: the ranking alone. medium: the list, and before each selection what is left.
    high: medium, then the same once more as a check after "#".

    >>> p = Problem("kth", (27, 58, 35, 86, 14), SMALL, 2, MEASUREMENTS[0])
    >>> reasoning(p, "low")
    '1:14e;2:27a'
    >>> reasoning(p, "medium")
    '27a58b35c86d14e;1:14e;27a58b35c86d;2:27a'
    """
    ranked = [
        (f"{rank}:{_entry(problem, i)}", i) for rank, i in enumerate(problem.ranking, 1)
    ]
    if effort == "low":
        return ";".join(step for step, _ in ranked)
    left = list(range(len(problem.values)))
    parts = []
    for step, i in ranked:
        parts += ["".join(_entry(problem, j) for j in left), step]
        left.remove(i)
    once = ";".join(parts)
    return f"{once}#{once}" if effort == "high" else once


def _entry(problem: Problem, i: int) -> str:
    """The value before its letter: what is found first is written first."""
    return f"{problem.values[i]}{LETTERS[i]}"


def single_row(problem: Problem) -> Row:
    """One question that stands alone, in IgakuQA's format."""
    item, unit = problem.measurement
    n = len(problem.values)
    if problem.kind == "number":
        listed = "、".join(map(str, problem.values))
        text = (
            f"患者{n}人の{item}（{unit}）は{listed}であった。"
            f"{_rank(problem)}の値を求めよ。解答：①②"
        )
        return _row(problem, text, [])
    text = f"患者{n}人の{item}を測定した。{_ask(problem)}"
    return _row(problem, text, [f"{value}{unit}" for value in problem.values])


def serial_rows(problems: list[Problem]) -> list[Row]:
    """A serial case: the head carries the vignette, the follow-ups do not.

    All problems must share the values and the measurement of the first.
    """
    item, unit = problems[0].measurement
    named = zip(PATIENTS, problems[0].values, strict=True)
    listed = "、".join(f"{name}が{value}" for name, value in named)
    case = f"患者5人の{item}（{unit}）は、{listed}であった。"
    vignette = f"次の文を読み、以下の問いに答えよ。{case}"
    choices = [f"患者{name}" for name in PATIENTS]
    head, *rest = problems
    rows = [_row(head, vignette + _ask(head), choices)]
    return rows + [_row(p, f"この5人のうち、{_ask(p)}", choices) for p in rest]


def _ask(problem: Problem) -> str:
    if problem.kind == "top":
        return f"値の{problem.direction}方から{problem.steps}つ選べ。"
    return f"{_rank(problem)}はどれか。"


def _rank(problem: Problem) -> str:
    return f"値の{problem.direction}方から{problem.steps}番目"


def _row(problem: Problem, text: str, choices: list[str]) -> Row:
    return {
        "problem_text": text,
        "choices": choices,
        "text_only": True,
        "answer": problem.answer,
        "points": "1",
    }


def calibration_records(seed: int = SEED) -> list[tuple[Row, Row]]:
    """The 400 questions, each with its metadata row; one seed makes one exam."""
    return [pair for row_meta in _sections(seed) for pair in row_meta]


def calibration_examples() -> list[Row]:
    """Three worked examples: one answer, two answers, one answer."""
    rng = random.Random(EXAMPLES_SEED)
    problems = [draw_problem(rng, kind) for kind in ("kth", "top", "kth")]
    return [
        {"problem_id": f"899A{number}", **single_row(problem)}
        for number, problem in enumerate(problems, 1)
    ]


def _sections(seed: int) -> Iterator[list[tuple[Row, Row]]]:
    rng = random.Random(seed)
    for section, size in SECTIONS.items():
        rows = _section_rows(rng, section, size)
        yield [_identified(section, n, *row) for n, row in enumerate(rows, 1)]


def _section_rows(
    rng: random.Random, section: str, size: int
) -> list[tuple[Problem, Row, int]]:
    """Problem, question and the distance back to the head of its case (0: none)."""
    cases = SERIAL[section]
    rows = []
    for place in range(size - sum(cases)):
        problem = draw_problem(rng, *_kind(section, place))
        rows.append((problem, single_row(problem), 0))
    for length in cases:
        problems = serial_problems(rng, length)
        back = enumerate(zip(problems, serial_rows(problems), strict=True), 1)
        rows += [(problem, row, n) for n, (problem, row) in back]
    return rows


def serial_problems(rng: random.Random, length: int) -> list[Problem]:
    """Problems about the same five values, for one serial case."""
    first = draw_problem(rng, "kth")
    rest = [
        Problem(
            kind="kth",
            values=first.values,
            direction=rng.choice((SMALL, LARGE)),
            steps=rng.randint(1, 4),
            measurement=first.measurement,
        )
        for _ in range(length - 1)
    ]
    return [first, *rest]


def _kind(section: str, place: int) -> tuple[str, int]:
    """Kind and number of values by place, so that every section has every kind."""
    if section == "F" and place == 0:
        return "kth", 6
    if place % 10 == 9:
        return "number", 5
    return ("top", 5) if place % 6 == 5 else ("kth", 5)


def _identified(
    section: str, number: int, problem: Problem, row: Row, place: int
) -> tuple[Row, Row]:
    problem_id = f"{EXAM}{section}{number}"
    serial = {"serial": f"{EXAM}{section}{number - place + 1}"} if place else {}
    about = {
        "problem_id": problem_id,
        "category": problem.measurement[0],
        "kinki": [],
        "reason": "",
        "steps": problem.steps,
    }
    return {"problem_id": problem_id, **row, **serial}, about
