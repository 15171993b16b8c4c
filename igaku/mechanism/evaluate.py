"""What a checkpoint of the embedded model scores unquantized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku.ask.prompt import load_prompt, messages
from igaku.exam.questions import Question, load_exam, stratified
from igaku.mechanism.ablation import AblatedReply, ablate
from igaku.reading.answer import outcome_of
from igaku.server.reply import read_reply

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 128  # tokens, the lab's default: the longest medium chains need about 100
SOME = 100  # questions asked at the efforts that are not the default


def chats_of(questions: Sequence[Question]) -> dict[str, list[dict[str, str]]]:
    """The messages of each question under the baseline prompt, by problem id."""
    prompt = load_prompt("baseline")
    return {q.problem_id: messages(prompt, q) for q in questions}


def graded(
    replies: Iterable[AblatedReply], questions: Sequence[Question], max_tokens: int
) -> pd.DataFrame:
    """One row per reply: which, its tokens, whether it ended, and if it is right."""
    import pandas as pd

    asked = {q.problem_id: q for q in questions}
    rows = []
    for reply in replies:
        question = asked[reply.problem_id]
        result = outcome_of(read_reply(reply.body), question, max_tokens)
        rows.append(
            {
                "component": reply.component,
                "bits": reply.bits,
                "problem_id": reply.problem_id,
                "tokens": reply.tokens,
                "reached_final": reply.reached_final,
                "finished": reply.finish_reason == "stop",
                "outcome": result.outcome,
                "correct": bool(result.correct),
                "text": reply.text,
            }
        )
    return pd.DataFrame(rows)


def sit(
    folder: Path, questions: Sequence[Question], effort: str, budget: int
) -> dict[str, float]:
    """Accuracy, blank share and mean reply length of a checkpoint at one effort."""
    replies = ablate("reference", None, chats_of(questions), budget, effort, folder)
    rows = graded(replies, questions, budget)
    return {
        "n": len(rows),
        "max_tokens": budget,
        "accuracy": float(rows["correct"].mean()),
        "blank": float((~rows["reached_final"]).mean()),
        "mean_tokens": float(rows["tokens"].mean()),
    }


def make_card(folder: Path, plan: Any, versions: dict[str, str]) -> dict[str, Any]:
    """Write card.json: how the weights were made, their hash, and what they score."""
    questions = load_exam("calibration", serial_context="joined")
    some = stratified(questions, SOME)
    weights = folder / "model.safetensors"
    card = {
        "made_by": "python -m train.train",
        "schedule": asdict(plan),
        "versions": versions,
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "exam": "calibration, vignettes joined; its questions were not trained on",
        "measured": {
            "low": sit(folder, some, "low", BUDGET),
            "medium": sit(folder, questions, "medium", BUDGET),
            "high": sit(folder, some, "high", 2 * BUDGET),
        },
    }
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / "card.json").write_text(text + "\n")
    return card
