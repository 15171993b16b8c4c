"""What a million answers cost: seconds and memory of loading and comparing them all.

usage: python bench/bench_analysis.py [--runs N] [--questions M] [--small]

Writes N runs of M questions into a temporary folder (some 3 GB by default), then reads
them in a fresh process and builds the table of all pairs, as the analysis does: counts
on the common questions, equal answers, mid-p and exact McNemar, Tango's and Newcombe's
intervals, non-inferiority, equivalence, cluster-robust errors, Holm and Cochran's Q.
Exit status 1: a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from igaku.ask.folder import ANSWERS, MANIFEST, encoded

ROOT = Path(__file__).resolve().parents[1]
SECONDS, MEGABYTES = 60, 2000
SMALL = 20, 200  # runs and questions of a quick look
SECTIONS = "ABCDEF"
REASONING = (
    "The patient has had a dry cough for three weeks and takes an ACE inhibitor. "
    "選択肢を順に検討する。aは喘息で夜間に増悪する。bは心不全で起坐呼吸を伴う。"
    "Option c fits: bradykinin accumulates, and the cough ends when the drug does.\n"
    "「禁忌」はdで、妊娠中には投与しない。 So we should weigh c against e again. "
)

ANALYSE = """
import json, sys, time
began = time.perf_counter()
import pandas, scipy.stats, statsmodels.stats.multitest
from igaku.study.pairs import gates, pair_table
from igaku.study.runs import find_runs
from igaku.study.study import study_of
imported = time.perf_counter()
study = study_of(find_runs(sys.argv[1], texts=False))
loaded = time.perf_counter()
pairs, first = pair_table(study), gates(study)
done = time.perf_counter()
print(json.dumps({
    "answers": sum(run.asked for run in study.runs), "pairs": len(pairs),
    "imports": imported - began, "loading": loaded - imported, "tests": done - loaded,
}))
"""


@dataclass(frozen=True)
class Figure:
    """One line of the report."""

    what: str
    value: float
    limit: float
    unit: str
    detail: str

    def __str__(self) -> str:
        mark = "ok  " if self.value <= self.limit else "OVER"
        number = f"{self.value:.1f} {self.unit}"
        return (
            f"{mark} {self.what:<28}{number:>12}  limit {self.limit:g}  ({self.detail})"
        )


def main() -> int:
    """Write, measure, print, and say by the exit status whether both limits hold."""
    given = arguments()
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        size = write_runs(Path(name), given.runs, given.questions)
        wrote = time.perf_counter() - began
        about = f"{given.runs} runs of {given.questions} questions"
        print(f"wrote {about}: {size:.2f} GB in {wrote:.0f} s")
        figures = analysing(Path(name), given.runs * given.questions)
    print(*figures, sep="\n")
    return int(any(figure.value > figure.limit for figure in figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--small", action="store_true", help="a quick look")
    given = parser.parse_args()
    if given.small:
        given.runs, given.questions = SMALL
    return given


def analysing(folder: Path, answers: int) -> list[Figure]:
    """Seconds and peak memory of a fresh process that loads and tests everything."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-c", ANALYSE, str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit("the analysis failed")
        output.seek(0)
        told = json.load(output)
    assert told["answers"] == answers, f"{told['answers']} answers were read"
    steps = ", ".join(f"{told[k]:.1f} {k}" for k in ("imports", "loading", "tests"))
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = usage.ru_maxrss / unit * 2**20 / 1e6
    return [
        Figure("load and test all pairs", wall, SECONDS, "s", steps),
        Figure("peak memory", peak, MEGABYTES, "MB", f"{told['pairs']} pairs"),
    ]


# --- runs to read ---------------------------------------------------------------------


def write_runs(folder: Path, runs: int, questions: int) -> float:
    """Runs as `run.ipynb` leaves them, from a seed; their size in GB."""
    rng = random.Random(0)
    plan = [question(rng, i) for i in range(questions)]
    ease = [rng.uniform(0.3, 1.0) for _ in plan]
    size = 0
    for number in range(runs):
        place = folder / f"run-{number:03}"
        place.mkdir()
        settings = {"model": f"model-{number:03}", "exam": 2022, "max_tokens": 4096}
        manifest = {"settings": settings, "questions": plan, "status": "OK"}
        text = json.dumps(manifest, ensure_ascii=False)
        (place / MANIFEST).write_text(text, encoding="utf-8")
        data = b"".join(encoded(row) for row in answers(rng, plan, ease, number))
        (place / ANSWERS).write_bytes(data)
        size += len(data)
    return size / 1e9


def question(rng: random.Random, number: int) -> dict[str, object]:
    section = SECTIONS[number % len(SECTIONS)]
    return {
        "problem_id": f"{100 + number // 400}{section}{number}",
        "section": section,
        "kind": "choice",
        "gold": [rng.choice("abcde")],
        "points": 1,
        "text_only": True,
        "stem": None,
        "category": "cardiology",
        "kinki": [],
        "human_accuracy": round(rng.uniform(20, 99), 1),
    }


def answers(
    rng: random.Random, plan: list[dict[str, object]], ease: list[float], run: int
) -> Iterator[dict[str, object]]:
    for asked, share in zip(plan, ease, strict=True):
        gold = asked["gold"][0]
        is_right = rng.random() < share
        letter = gold if is_right else rng.choice("abcde".replace(gold, ""))
        start = rng.randrange(len(REASONING))
        reasoning = (REASONING * 4)[start : start + rng.randrange(500, 700)]
        tokens = rng.randrange(150, 400)
        yield {
            "problem_id": asked["problem_id"],
            "section": asked["section"],
            "outcome": "answered",
            "answer": [letter],
            "correct": is_right,
            "content": letter,
            "reasoning": reasoning,
            "finish_reason": "stop",
            "prompt_tokens": 600,
            "completion_tokens": tokens,
            "reasoning_tokens": tokens - 8,
            "reasoning_tokens_estimated": False,
            "seconds": round(tokens / 61.3, 4),
            "tokens_per_second": 61.3,
            "served_model": f"model-{run:03}",
            "attempts": 1,
            "prompt_sha256": f"{rng.getrandbits(256):064x}",
            "error": None,
            "raw": body(letter, reasoning, tokens, run),
            "asked_at": f"2026-02-07T{run % 24:02}:10:{tokens % 60:02}.125+00:00",
        }


def body(letter: str, reasoning: str, tokens: int, run: int) -> dict[str, object]:
    """A server's reply, which repeats what was read out of it."""
    message = {"role": "assistant", "content": letter, "reasoning": reasoning}
    details = {"reasoning_tokens": tokens - 8}
    counts = {"prompt_tokens": 600, "completion_tokens": tokens}
    return {
        "id": f"chatcmpl-{tokens}",
        "object": "chat.completion",
        "created": 1770480000,
        "model": f"model-{run:03}",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": counts | {"completion_tokens_details": details},
        "stats": {},
    }


if __name__ == "__main__":
    sys.exit(main())
