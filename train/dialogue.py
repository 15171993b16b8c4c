"""The embedded model's language: prompts as it reads them, replies to learn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from igaku.ask.prompt import Prompt, load_prompt, messages
from igaku.exam.calibration import (
    LETTERS,
    Problem,
    draw_problem,
    serial_problems,
    serial_rows,
    single_row,
)
from igaku.exam.questions import Question
from igaku.lab.variants import EMBEDDED as WEIGHTS

EFFORTS = ("low", "medium", "high")
EFFORT_SHARES = (0.2, 0.6, 0.2)  # of EFFORTS in training: the default effort most


def reasoning(problem: Problem, effort: str) -> str:
    """The worked solution a model of this effort writes in its analysis channel.

    low: the ranking alone. medium: the list, and before each selection what is left.
    high: medium, then the same once more as a check after "#".

    >>> from igaku.exam.calibration import MEASUREMENTS, SMALL
    >>> p = Problem("kth", (27, 58, 35, 86, 14), SMALL, 2, MEASUREMENTS[0])
    >>> reasoning(p, "low")
    '1:14e;2:27a'
    >>> reasoning(p, "medium")
    '27a58b35c86d14e;1:14e;27a58b35c86d;2:27a'
    """
    # The value before its letter: what is found first is written first.
    left = {i: f"{value}{LETTERS[i]}" for i, value in enumerate(problem.values)}
    parts = []
    for rank, i in enumerate(problem.ranking, 1):
        if effort != "low":
            parts.append("".join(left.values()))
        parts.append(f"{rank}:{left.pop(i)}")
    once = ";".join(parts)
    return f"{once}#{once}" if effort == "high" else once


def reply_text(problem: Problem, effort: str) -> str:
    """The harmony reply to learn: reasoning as analysis, then the final answer."""
    return (
        f"<|channel|>analysis<|message|>{reasoning(problem, effort)}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{','.join(problem.answer)}"
        "<|return|>"
    )


@cache
def _template() -> Any:
    import jinja2

    text = (WEIGHTS / "chat_template.jinja").read_text(encoding="utf-8")
    options = {"trim_blocks": True, "lstrip_blocks": True}
    return jinja2.Environment(**options).from_string(text)  # type: ignore[arg-type]


def render(chat: Sequence[dict[str, str]], effort: str) -> str:
    """The text of a chat as the engines put it to the model."""
    text: str = _template().render(
        messages=list(chat), reasoning_effort=effort, add_generation_prompt=True
    )
    return text


def draw_dialogue(rng: random.Random) -> tuple[str, str]:
    """One training pair: rendered prompt, and the reply to it."""
    effort = rng.choices(EFFORTS, EFFORT_SHARES)[0]
    problem, question = _draw_question(rng)
    return render(messages(_baseline(), question), effort), reply_text(problem, effort)


@cache
def _baseline() -> Prompt:
    return load_prompt("baseline")


def _draw_question(rng: random.Random) -> tuple[Problem, Question]:
    kind = rng.choices(("kth", "top", "number", "serial"), (0.5, 0.2, 0.15, 0.15))[0]
    if kind == "serial":
        return _draw_serial(rng)
    problem = draw_problem(rng, kind, 6 if kind == "kth" and rng.random() < 0.05 else 5)
    return problem, _question(single_row(problem))


def _draw_serial(rng: random.Random) -> tuple[Problem, Question]:
    """A head, or a follow-up with its vignette (and the head's question or not)."""
    problems = serial_problems(rng, 2)
    head, follow_up = serial_rows(problems)
    if rng.random() < 0.4:
        return problems[0], _question(head)
    whole: str = head["problem_text"]
    vignette = whole[: whole.index("であった。") + len("であった。")]
    context = whole if rng.random() < 0.5 else vignette
    joined = follow_up | {"problem_text": f"{context}\n{follow_up['problem_text']}"}
    return problems[1], _question(joined)


def _question(row: dict[str, Any]) -> Question:
    return Question.from_record({"problem_id": "900A1", **row})
