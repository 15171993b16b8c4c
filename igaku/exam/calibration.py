"""The calibration exam: made-up questions whose answer and difficulty are known.

Every question ranks a handful of two-digit measurements, so any reader can check it
and the number of steps it takes is known beforehand. The exam has the shape of the real
one (sections A–F, single and multiple answers, numbers, serial cases with a shared
vignette) and IgakuQA's JSON format: whatever sits the real exam can sit this one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Row = dict[str, Any]

EXAM = "900"  # the exam number in problem ids: 900A1
SECTIONS = {"A": 75, "B": 50, "C": 75, "D": 75, "E": 50, "F": 75}
SEED = 900
EXAMPLES_SEED = 899

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
    rng = random.Random(seed)
    records = []
    for section, size in SECTIONS.items():
        for n, (problem, row, back) in enumerate(_section(rng, section, size), 1):
            number = f"{EXAM}{section}{n}"
            serial = {"serial": f"{EXAM}{section}{n - back + 1}"} if back else {}
            about = {
                "problem_id": number,
                "category": problem.measurement[0],
                "kinki": [],
                "reason": "",
                "steps": problem.steps,
            }
            records.append(({"problem_id": number, **row, **serial}, about))
    return records


def _section(
    rng: random.Random, section: str, size: int
) -> Iterator[tuple[Problem, Row, int]]:
    """Problem, question, and its place in a serial case (0: in none)."""
    for place in range(size - sum(SERIAL[section])):
        kind, values = "top" if place % 6 == 5 else "kth", 5
        if place % 10 == 9:
            kind = "number"
        if section == "F" and place == 0:
            values = 6
        problem = draw_problem(rng, kind, values)
        yield problem, single_row(problem), 0
    for length in SERIAL[section]:
        problems = serial_problems(rng, length)
        rows = serial_rows(problems)
        yield from zip(problems, rows, range(1, length + 1), strict=True)


def calibration_examples() -> list[Row]:
    """Three worked examples: one answer, two answers, one answer."""
    rng = random.Random(EXAMPLES_SEED)
    problems = [draw_problem(rng, kind) for kind in ("kth", "top", "kth")]
    return [
        {"problem_id": f"899A{number}", **single_row(problem)}
        for number, problem in enumerate(problems, 1)
    ]


def serial_problems(rng: random.Random, length: int) -> list[Problem]:
    """Problems about the same five values, for one serial case."""
    first = draw_problem(rng, "kth")
    rest = [
        replace(first, direction=rng.choice((SMALL, LARGE)), steps=rng.randint(1, 4))
        for _ in range(length - 1)
    ]
    return [first, *rest]
