"""What grows: a long file, many questions, many runs, much text, a bad night.

usage: python bench/bench_scale.py [PART ...] [--megabytes N] [--questions N] [--runs N]
           [--replies MB] [--folder FOLDER]

PART is among resume, questions, runs, replies and night; all of them unless told. The
full sizes are --megabytes 2000 --questions 20000 --runs 100 --replies 500. Each figure
is of a process of its own, by what the system says of it at its end. The night is
notebooks/run.ipynb through papermill, asked of a stand-in that fails one request in ten
and started again until it is finished, with the pauses that a user has.
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
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import bench_analysis
import torture
from bench_analysis import Figure
from bench_run import KERNEL, ROOT, Cost, cost
from fault_server import serving
from faults import BROKEN, DIALECTS, MODEL, SHIFTED, Dealer
from torture import Fate, Findings, Trial, lines_of, table

from igaku.ask.folder import ANSWERS, MANIFEST
from igaku.writing import as_line

ASKED = 1000  # questions of the run that is made long, one of which is left to ask
NIGHTS = 60  # invocations: then it is never finished
# They wait for minutes by design, and a night of them says nothing more.
PATIENT = ("429 after a day", "silent", "stalled")
READ = """
import json, sys, time
told, began = {}, time.process_time()
def done(name):
    global began
    told[name], began = time.process_time() - began, time.process_time()
import igaku, igaku.study
from igaku.pages import document, notebooks
done("imports")
folder = sys.argv[1]
replies = igaku.load_runs(folder, raw=False); n = len(replies); done("load_runs")
study = igaku.study.open_study(folder); done("study")
runs = igaku.runs(study); done("runs")
alarms = igaku.audit(study); done("audit")
pairs = igaku.pairs(study); done("pairs")
igaku.flips(study, *pairs[["reference", "candidate"]].iloc[0]); done("flips")
igaku.study.lengths(study); igaku.study.survival(study); igaku.study.strata(study)
done("tokens, strata")
if "pages" in sys.argv:
    document.write(study); done("document")
    notebooks.render(folder); done("index")
print(json.dumps(told | {"replies": n}))
"""


def main() -> int:
    """Measure, print, and say by the exit status whether the limits hold."""
    given = arguments()
    figures: list[Figure] = []
    for part in given.parts or PARTS:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            began = time.perf_counter()
            found = PARTS[part](given, Path(name))
        print(f"{part}, {time.perf_counter() - began:.0f} s", *found, sep="\n")
        sys.stdout.flush()
        figures += found
    return int(any(figure.is_over for figure in figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--replies", type=int, default=50, help="megabytes of them")
    parser.add_argument("--folder", type=Path, help="where there is room; else /tmp")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}")
    return given


# --- one long file --------------------------------------------------------------------


def resume(given: argparse.Namespace, folder: Path) -> list[Figure]:
    """Memory of going on with a run whose file has this many megabytes."""
    with serving(Dealer("", 0)) as server:
        trial = Trial(server, folder, "long", ASKED, 4, Findings())
        trial.life(0, Fate("none"))
        empty = replace(trial, name="short", number=2)
        usual = alone(empty)
        lengthen(trial.run / ANSWERS, given.megabytes * 10**6)
        size = (trial.run / ANSWERS).stat().st_size / 1e6
        went_on = alone(trial)
        loaded = cost([sys.executable, "-c", LOAD, str(trial.run)])
    rows = sum(1 for _ in lines_of(trial.run / ANSWERS))
    assert rows == ASKED, "the question that was left was not asked"
    detail = f"{size:.0f} MB; a short run takes {usual.megabytes:.0f} MB"
    seconds = f"{1000 * went_on.cpu / size:.1f} s per GB"
    return [
        Figure("resume, peak memory", went_on.megabytes, "MB", detail, 500),
        Figure("resume, CPU", went_on.cpu, "s", seconds),
        Figure("load_run, peak memory", loaded.megabytes, "MB", "without texts"),
    ]


LOAD = """
import sys
from igaku.study.runs import load_run
load_run(sys.argv[1], texts=False)
"""


def alone(trial: Trial) -> Cost:
    """What one invocation of a run costs, as a process of its own."""
    return cost(
        [sys.executable, torture.__file__, "--victim", json.dumps(trial.told())]
    )


def lengthen(path: Path, size: int) -> None:
    """Give a run's replies texts that fill the file, and leave its last question."""
    rows = list(lines_of(path))[:-1]
    fill(path, rows, size // len(rows), "0")


def fill(path: Path, rows: list[dict[str, Any]], each: int, seed: str) -> None:
    """Write rows whose thought fills a line of `each` bytes, in it and in its body."""
    lot = random.Random(seed)
    with path.open("wb") as file:
        for row in rows:
            text = lot.randbytes(each // 4).hex()
            file.write(as_line(row | {"reasoning": text, "raw": {"text": text}}))


# --- many questions -------------------------------------------------------------------


def many(given: argparse.Namespace, folder: Path) -> list[Figure]:
    """CPU per thousand questions, for all of them and for a quarter."""
    found = []
    with serving(Dealer("", 0)) as server:
        for number in (2, given.questions // 4, given.questions):
            trial = Trial(server, folder, f"of-{number}", number, 16, Findings())
            found.append(alone(trial))
            assert len(table(trial)) == number
        again = alone(trial)
    start, part, whole = found
    few = (part.cpu - start.cpu) / (given.questions // 4) * 1000
    all_of_them = (whole.cpu - start.cpu) / given.questions * 1000
    detail = f"{few:.2f} at {given.questions // 4:,}, over the start of Python"
    return [
        Figure("CPU per 1,000 questions", all_of_them, "s", detail),
        Figure("the same, over a quarter's", all_of_them / few, "", "linear is 1", 1.3),
        Figure("a finished run again, CPU", again.cpu, "s", f"{start.cpu:.2f} of 2"),
        Figure("its peak memory", whole.megabytes, "MB", "while asking", 500),
    ]


# --- many runs, much text -------------------------------------------------------------


def runs(given: argparse.Namespace, folder: Path) -> list[Figure]:
    """Reading and comparing this many runs of 400 questions, and a quarter of them."""
    found = [reading(folder / str(n), n, 400) for n in (given.runs // 4, given.runs)]
    return told_of(f"{given.runs} runs", *found, limit=1000)


def replies(given: argparse.Namespace, folder: Path) -> list[Figure]:
    """The same for ten runs whose replies have this many megabytes together."""
    sizes = [given.replies * 10**6 // share for share in (4, 1)]
    found = [reading(folder / str(size), 10, 400, size) for size in sizes]
    what, limit = f"{given.replies} MB of replies", 300 + 2 * given.replies
    return told_of(what, *found, limit=limit)


def reading(folder: Path, number: int, questions: int, size: int = 0) -> Cost:
    """What it costs to load these runs, compare them, and write their pages."""
    folder.mkdir()
    bench_analysis.write_runs(folder, number, questions)
    if size:
        each = size // (number * questions)
        for path in folder.glob(f"*/{ANSWERS}"):
            fill(path, list(lines_of(path)), each, path.parent.name)
    return cost([sys.executable, "-c", READ, str(folder), "pages"])


def told_of(what: str, part: Cost, whole: Cost, limit: float) -> list[Figure]:
    before, now = (json.loads(each.output.splitlines()[-1]) for each in (part, whole))
    steps = [
        Figure(f"{step}, CPU", now[step], "s", f"{before[step]:.2f} s for a quarter")
        for step in now
        if step != "replies"
    ]
    detail = f"{part.megabytes:.0f} MB for a quarter; {now['replies']:,} replies"
    return [*steps, Figure(what, whole.megabytes, "MB", detail, limit)]


# --- a bad night ----------------------------------------------------------------------


def night(given: argparse.Namespace, folder: Path) -> list[Figure]:
    """How often run.ipynb must be started on a server that fails one in ten."""
    kinds = tuple(k for k in (*BROKEN, *SHIFTED, *DIALECTS) if k not in PATIENT)
    tables, started = [], []
    with serving(Dealer("", 0)) as server:
        for name, rate in (("quiet", 0.0), ("bad", 0.1)):
            server.deal(Dealer("night", rate, kinds))
            trial = Trial(server, folder, name, 400, 8, Findings())
            began = time.perf_counter()
            started.append((invocations(trial), time.perf_counter() - began))
            tables.append(table(trial))
        faults = server.log.faults.total()
    quiet, bad = tables
    differing = sum(bad.get(name) != row for name, row in quiet.items())
    (_, usual), (times, seconds) = started
    about = f"{faults} faults; {seconds:.0f} s, {usual:.0f} s without any"
    return [
        Figure("rows that differ after the night", differing, "", about, 0),
        Figure("papermill until it is finished", times, "times", "400 questions", 12),
    ]


def invocations(trial: Trial) -> int:
    """Start the notebook until every question has a reply; how often that was."""
    told = {
        "model": MODEL, "base_url": trial.server.base_url, "run": trial.name,
        "exam": "calibration", "shots": "0", "concurrency": str(trial.concurrency),
        "timeout": "5", "outputs_dir": str(trial.folder), "stop_when_broken": "False",
    }  # fmt: skip
    options = [word for name, value in told.items() for word in ("-p", name, value)]
    command = [
        sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "run.ipynb"),
        str(trial.folder / f"{trial.name}.ipynb"), *options, "-k", KERNEL["name"],
        "--no-progress-bar",
    ]  # fmt: skip
    for number in count(1):
        with (trial.folder / f"{trial.name}.log").open("ab") as log:
            ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log)
        is_left = (trial.run / MANIFEST).is_file() and len(table(trial)) < trial.number
        if (ended.returncode == 0 and not is_left) or number == NIGHTS:
            return number
    raise AssertionError


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Figure]]] = {
    "resume": resume,
    "questions": many,
    "runs": runs,
    "replies": replies,
    "night": night,
}

if __name__ == "__main__":
    os.environ.setdefault("IGAKU_API_KEY", "none-needed")
    sys.exit(main())
