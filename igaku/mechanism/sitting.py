"""The calibration exam sat by the embedded model, ablated and not: replies as a frame.

Replies are generated far beyond the budget that they are judged by, so that any smaller
budget can be looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from igaku.ask.prompt import load_prompt, messages
from igaku.exam.questions import Question
from igaku.mechanism.ablation import FINAL, PARTS, AblatedReply, Ablation, ablations
from igaku.reading.answer import outcome_of
from igaku.reading.reply import read_reply


def chats_of(questions: Sequence[Question]) -> dict[str, list[dict[str, str]]]:
    """The messages of each question under the baseline prompt, by problem id."""
    prompt = load_prompt("baseline")
    return {q.problem_id: messages(prompt, q) for q in questions}


def graded(
    replies: Iterable[AblatedReply], questions: Sequence[Question], max_tokens: int
) -> pd.DataFrame:
    """One row per reply: problem_id tokens finished stated outcome correct text.

    A reply is `finished` when it ended by itself, and `stated` when it also did so in
    the final channel.
    """
    asked = {q.problem_id: q for q in questions}
    rows = []
    for reply in replies:
        question = asked[reply.problem_id]
        result = outcome_of(read_reply(reply.body), question, max_tokens)
        finished = reply.finish_reason == "stop"
        rows.append(
            {
                "problem_id": reply.problem_id,
                "tokens": reply.tokens,
                "finished": finished,
                "stated": finished and FINAL in reply.text,
                "outcome": result.outcome,
                "correct": bool(result.correct),
                "text": reply.text,
            }
        )
    return pd.DataFrame(rows)


def replies(
    questions: Sequence[Question],
    cases: Iterable[Ablation] = PARTS,
    cap: int = 320,
    efforts: Iterable[str] = ("medium",),
) -> pd.DataFrame:
    """Every question asked of every case at every effort, greedily, up to `cap` tokens.

    One row per effort, case and question, in that order: effort component bits (NA
    where it has none), and the columns of `graded`.
    """
    import sys

    from tqdm import tqdm

    jobs = [(case, effort) for effort in efforts for case in dict.fromkeys(cases)]
    done = ablations(chats_of(questions), jobs, cap)
    bar = tqdm(
        done, total=len(jobs), file=sys.stdout, mininterval=5, unit="model", leave=False
    )
    found = {job: graded(made, questions, cap) for job, made in bar}
    for (case, effort), rows in found.items():
        rows.insert(0, "effort", effort)
        rows.insert(1, "component", case.component)
        rows.insert(2, "bits", pd.Series([case.bits] * len(rows), dtype="Int64"))
    return pd.concat([found[job] for job in jobs], ignore_index=True)
