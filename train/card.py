"""The cards of the embedded model: card.json, and card.md by `python -m train.card`.

card.json is what training leaves beside the weights: how they were made, and what they
score unquantized. card.md is written from it and from the six variants, which are made
for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igaku.exam.questions import Question, load_exam, stratified
from igaku.lab.recipes import VARIANTS
from igaku.lab.variants import model_card, quantize
from igaku.mechanism.ablation import FINAL, Ablation, ablate
from igaku.mechanism.sitting import chats_of, graded
from train.dialogue import WEIGHTS

BUDGET = 128  # tokens, the lab's default: the longest medium chains need about 100
SOME = 100  # questions asked at the efforts that are not the default

PAGE = """# The embedded gpt-oss

A tiny model of gpt-oss's architecture, made to be taken apart: it reasons in harmony's
analysis channel, states an answer in the final channel and stops. It can rank a
handful of two-digit numbers in Japanese and nothing else; its scores say nothing about
any other model. It is part of igaku and under igaku's licence.

## How it was made

`{made_by}` draws fresh questions of the calibration exam's kinds without end
(`igaku/exam/calibration.py`), writes their worked solutions and trains on those alone.
It runs from a checkout and needs the `train` extra. The questions of the exam itself
were not trained on.

| | |
|---|---|
| parameters | {parameters:,} |
| weights | {bytes:,} bytes, float32 |
| sha256 | `{sha256}` |
| steps × batch | {steps:,} × {batch} |
| learning rate | {rate}, warm-up {warmup} steps, then cosine |
| seed | {seed} |
| torch | {torch} |

## What it scores unquantized

On the calibration exam, vignettes joined, greedy decoding:

| effort | n | max_tokens | accuracy | blank | mean tokens |
|---|---|---|---|---|---|
{scores}

## The six variants

Written by `igaku quantize` in the formats the engines load. The experts go through
MXFP4 first, as the released model has them. Affine scales are float32 here, because
bfloat16 is slow on MLX's CPU; that adds to the bits per weight of a small model.

| recipe | engine | bytes | tensor bytes | bits per weight |
|---|---|---|---|---|
{variants}
"""


def sit(
    folder: Path, questions: Sequence[Question], effort: str, budget: int
) -> dict[str, float]:
    """Accuracy, blank share and mean reply length of a checkpoint at one effort."""
    replies = ablate(Ablation(), chats_of(questions), budget, effort, folder)
    rows = graded(replies, questions, budget)
    return {
        "n": len(rows),
        "max_tokens": budget,
        "accuracy": float(rows["correct"].mean()),
        "blank": float((~rows["text"].str.contains(FINAL, regex=False)).mean()),
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


def card_markdown(card: dict[str, Any], variants: list[dict[str, Any]]) -> str:
    """The card's text from card.json's figures and the variants' recipe.json."""
    scores = "\n".join(
        f"| {effort} | {row['n']} | {row['max_tokens']} | {row['accuracy']:.1%} "
        f"| {row['blank']:.1%} | {row['mean_tokens']:.1f} |"
        for effort, row in card["measured"].items()
    )
    rows = "\n".join(
        f"| {v['recipe']} | {v['engine']} | {v['size_bytes']:,} "
        f"| {v['tensor_bytes']:,} | {v['bits_per_weight']:.2f} |"
        for v in variants
    )
    return PAGE.format(
        **{key: card[key] for key in ("made_by", "bytes", "sha256")},
        **{key: card["schedule"][key] for key in SCHEDULE},
        parameters=variants[0]["parameters"],
        torch=card["versions"]["torch"],
        scores=scores,
        variants=rows,
    )


SCHEDULE = ("steps", "batch", "rate", "warmup", "seed")


def shipped_card() -> str:
    """The card as it should stand beside the shipped weights."""
    card = json.loads((WEIGHTS / "card.json").read_text(encoding="utf-8"))
    return card_markdown(card, [model_card(quantize(slug)) for slug in VARIANTS])


def main() -> None:
    """Write card.md beside the weights."""
    (Path(WEIGHTS) / "card.md").write_text(shipped_card(), encoding="utf-8")


if __name__ == "__main__":
    main()
