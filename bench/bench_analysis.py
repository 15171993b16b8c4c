"""What a million answers cost: seconds and memory of loading and comparing them all.

usage: python bench/bench_analysis.py [--runs N] [--questions M] [--before CHECKOUT]

Writes N runs of M questions into a temporary folder (2.6 GB by default), then reads
them in a fresh process and builds the table of all pairs, as the analysis does: counts
on the common questions, equal answers, mid-p and exact McNemar, Tango's and Newcombe's
intervals, non-inferiority, equivalence, cluster-robust errors, Holm and Cochran's Q.
`--before` does the same with another checkout's package, on the same answers, and
holds the seconds of this one against them. Steps are in seconds of CPU, which a busy
machine does not change. Exit status 1: a limit is missed.
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

from igaku.ask.folder import ANSWERS, MANIFEST
from igaku.reading.readings import READER
from igaku.writing import as_line

ROOT = Path(__file__).resolve().parents[1]
SHARE, MEGABYTES = 0.4, 1000  # of the seconds of the version before; of memory
SECTIONS = "ABCDEF"
REASONING = (
    "The patient has had a dry cough for three weeks and takes an ACE inhibitor. "
    "選択肢を順に検討する。aは喘息で夜間に増悪する。bは心不全で起坐呼吸を伴う。"
    "Option c fits: bradykinin accumulates, and the cough ends when the drug does.\n"
    "「禁忌」はdで、妊娠中には投与しない。 So we should weigh c against e again. "
)

ANALYSE = """
import json, sys, time
began = time.process_time()
import pandas, scipy.stats, statsmodels.stats.multitest
try:
    from igaku.study.families import study_of
    from igaku.study.pairs import gates, pairs
    from igaku.study.runs import find_runs
except ImportError:  # until fe0f26e
    from igaku.pairs import gates, pair_table as pairs
    from igaku.results import find_runs
    from igaku.study import study_of
imported = time.process_time()
study = study_of(find_runs(sys.argv[1], texts=False))
loaded = time.process_time()
table, first = pairs(study), gates(study)
done = time.process_time()
print(json.dumps({
    "answers": sum(run.asked for run in study.runs), "pairs": len(table),
    "imports": imported - began, "loading": loaded - imported, "pairing": done - loaded,
}))
"""


@dataclass(frozen=True)
class Figure:
    """One line of the report; a figure without a limit is there to be read."""

    what: str
    value: float
    unit: str
    detail: str
    limit: float | None = None

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        mark = "OVER" if self.is_over else "    " if self.limit is None else "ok  "
        limit = "" if self.limit is None else f"limit {self.limit:g}"
        number = f"{self.value:.2f} {self.unit}"
        return f"{mark} {self.what:<28}{number:>14}  {limit:<11} ({self.detail})"


def main() -> int:
    """Write, measure, print, and say by the exit status whether the limits hold."""
    given = arguments()
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        size = write_runs(Path(name), given.runs, given.questions)
        wrote = time.perf_counter() - began
        about = f"{given.runs} runs of {given.questions} questions"
        print(f"wrote {about}: {size:.2f} GB in {wrote:.0f} s", flush=True)
        n = given.runs * given.questions
        before = analysing(Path(name), n, given.before) if given.before else None
        figures = report(analysing(Path(name), n, ROOT), before)
    print(*figures, sep="\n")
    return int(any(figure.is_over for figure in figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--before", type=Path, help="a checkout of the version before")
    return parser.parse_args()


def analysing(folder: Path, answers: int, checkout: Path) -> dict[str, float]:
    """What a fresh process that loads and compares everything took, by its steps."""
    began = time.perf_counter()
    home = checkout.resolve()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", ANALYSE, str(folder)],
            cwd=home,
            env=os.environ | {"PYTHONPATH": str(home)},
            stdout=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the analysis of {home} failed")
        output.seek(0)
        told: dict[str, float] = json.load(output)
    assert told["answers"] == answers, f"{told['answers']} answers were read"
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = usage.ru_maxrss / unit * 2**20 / 1e6
    return told | {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": peak}


def report(now: dict[str, float], before: dict[str, float] | None) -> list[Figure]:
    """The lines to print: this version, the one before, and the one over the other."""
    figures = _seconds("this version", now)
    if before:
        assert now["pairs"] == before["pairs"], "the two versions pair other runs"
        figures += _seconds("the version before", before)
        for step in ("wall", "cpu", "loading", "pairing"):
            limit = SHARE if step == "wall" else None
            shares = now[step] / before[step]
            figures.append(Figure(f"{step}, now over before", shares, "", "", limit))
    pairs = f"{now['pairs']:,} pairs"
    return [*figures, Figure("peak memory", now["peak"], "MB", pairs, MEGABYTES)]


def _seconds(what: str, told: dict[str, float]) -> list[Figure]:
    steps = ("imports", "loading", "pairing")
    detail = ", ".join(f"{step} {told[step]:.1f}" for step in steps)
    about = f"CPU {told['cpu']:.1f}: {detail}; peak {told['peak']:.0f} MB"
    return [Figure(what, told["wall"], "s", about)]


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
        data = b"".join(as_line(row) for row in answers(rng, plan, ease, number))
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
        "prompt_sha256": f"{rng.getrandbits(256):064x}",
        "prompt_tokens": rng.randrange(400, 900),
    }


def answers(
    rng: random.Random, plan: list[dict[str, object]], ease: list[float], run: int
) -> Iterator[dict[str, object]]:
    for number, (asked, share) in enumerate(zip(plan, ease, strict=True)):
        gold = asked["gold"][0]
        is_right = rng.random() < share
        letter = gold if is_right else rng.choice("abcde".replace(gold, ""))
        start = rng.randrange(len(REASONING))
        reasoning = (REASONING * 4)[start : start + rng.randrange(500, 700)]
        tokens = rng.randrange(150, 400)
        counts = {"prompt_tokens": asked["prompt_tokens"], "completion_tokens": tokens}
        yield {
            "problem_id": asked["problem_id"],
            "section": asked["section"],
            "outcome": "answered",
            "answer": [letter],
            "correct": is_right,
            "content": letter,
            "reasoning": reasoning,
            "finish_reason": "stop",
            **counts,
            "reasoning_tokens": tokens - 8,
            "reasoning_tokens_estimated": False,
            "cached_tokens": None,
            "seconds": round(tokens / 61.3, 4),
            "tokens_per_second": 61.3,
            "served_model": f"model-{run:03}",
            "reply_id": f"chatcmpl-{run:03}-{number}",
            "attempts": 1,
            "prompt_sha256": asked["prompt_sha256"],
            "error": None,
            "raw": body(letter, reasoning, counts, f"{run:03}-{number}"),
            "asked_at": f"2026-02-07T{run % 24:02}:10:{tokens % 60:02}.125+00:00",
            "cause": None,
            "rule": "bare",
            "span": [0, 1],
            "second": None,
            "permissive": [letter],
            "marks": [],
            "reader": READER,
        }


def body(
    letter: str, reasoning: str, counts: dict[str, int], name: str
) -> dict[str, object]:
    """A server's reply, which repeats what was read out of it."""
    message = {"role": "assistant", "content": letter, "reasoning": reasoning}
    details = {"reasoning_tokens": counts["completion_tokens"] - 8}
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": 1770480000,
        "model": f"model-{name[:3]}",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": counts | {"completion_tokens_details": details},
        "stats": {},
    }


if __name__ == "__main__":
    sys.exit(main())
