"""What the harness costs: five figures, each against its limit, on this machine.

usage: python bench/bench_run.py [FOLDER] [--repeat N] [--skip-papermill]

FOLDER holds fake_openai.py and bare_openai.py, ../shared/bench unless told. Every ratio
is of two programs timed one after the other in this run, so that another machine, or a
busy one, gives the same picture; the median of the repeats is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
QUESTIONS = 400
SLOTS, DELAY = 8, 0.2
KERNEL = {"display_name": "igaku", "language": "python", "name": "python3"}
BASELINE = "import pandas\nimport seaborn\nimport scipy.stats\n"

ASK = """
import sys
from igaku.params.settings import settings_from
from igaku.ask.run import questions_of, run_exam
url, out, concurrency, data = sys.argv[1:]
where = {"data_dir": data} if data else {"exam": "calibration"}
settings = settings_from(
    model="fake", base_url=url, concurrency=int(concurrency), outputs_dir=out, **where
)
import openai, time
questions, began = questions_of(settings), time.perf_counter()
run_exam(settings, questions)
print("\\n", time.perf_counter() - began)
"""
IMPORT = (
    "import time; t = time.perf_counter(); import igaku; print(time.perf_counter() - t)"
)


@dataclass(frozen=True)
class Cost:
    """What a program and the programs it waited for took."""

    wall: float
    cpu: float
    megabytes: float
    output: str


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
        number = f"{self.value:.2f}{self.unit}"
        return (
            f"{mark} {self.what:<46}{number:>10}  limit {self.limit:g}  ({self.detail})"
        )


def main() -> int:
    """Measure, print, and say by the exit status whether all limits hold."""
    given = arguments()
    if not (given.folder / "fake_openai.py").is_file():
        print(
            f"skipped: there is no fake_openai.py in {given.folder}; name its folder."
        )
        return 0
    exam = "IgakuQA 2022" if data_dir() else "calibration"
    print(f"exam: {exam}, median of {given.repeat} repeats")
    figures = [*asking(given), waiting(given), importing(given)]
    if not given.skip_papermill:
        figures += notebook(given)
    print(*figures, sep="\n")
    return int(any(figure.value > figure.limit for figure in figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "bench")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--skip-papermill", action="store_true")
    return parser.parse_args()


def data_dir() -> str:
    folder = SHARED / "data" / "igakuqa"
    return str(folder) if folder.is_dir() else ""


# --- the five figures -----------------------------------------------------------------


def asking(given: argparse.Namespace) -> list[Figure]:
    """CPU over the bare client, and memory, at concurrency 16 without latency."""
    ratios, bare, own = [], [], []
    with server(given.folder, 0, 16) as url:
        for _ in range(given.repeat):
            script = str(given.folder / "bare_openai.py")
            bare.append(cost([sys.executable, script, url, str(QUESTIONS), "16"]))
            own.append(asked(url, 16))
            ratios.append(own[-1].cpu / bare[-1].cpu)
    cpu = f"{median(c.cpu for c in own):.2f} s over {median(c.cpu for c in bare):.2f} s"
    memory = max(c.megabytes for c in own)
    return [
        Figure(
            "CPU over the bare client, concurrency 16", median(ratios), 1.6, "", cpu
        ),
        Figure("memory of a run", memory, 300, " MB", "largest of the repeats"),
    ]


def waiting(given: argparse.Namespace) -> Figure:
    """Wall time of a run over what a server of 8 slots and 200 ms must take.

    It includes what the server is asked of itself before and after, and the files; the
    start of Python and the import of openai are in the second number of the detail.
    """
    ideal = QUESTIONS / SLOTS * DELAY
    with server(given.folder, DELAY, SLOTS) as url:
        costs = [asked(url, SLOTS) for _ in range(min(given.repeat, 3))]
        script = str(given.folder / "bare_openai.py")
        bare = cost([sys.executable, script, url, str(QUESTIONS), str(SLOTS)])
    run = median(float(c.output.split()[-1]) for c in costs)
    whole = median(c.wall for c in costs)
    detail = (
        f"{run:.2f} s over {ideal:g} s; from the start of Python {whole:.2f} s, the"
    )
    detail += f" bare client {bare.wall:.2f} s"
    return Figure(
        "wall over the ideal, 8 slots of 200 ms", run / ideal, 1.1, "", detail
    )


def notebook(given: argparse.Namespace) -> list[Figure]:
    """Wall time of run.ipynb over a notebook of imports, by papermill, and memory."""
    own, bare = [], []
    with server(given.folder, 0, 16) as url, tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "imports.ipynb"
        empty.write_text(json.dumps(notebook_of(BASELINE)))
        for i in range(given.repeat):
            out = Path(name) / str(i)
            out.mkdir()
            bare.append(papermill(empty, out / "imports.ipynb", []))
            target = out / "run.ipynb"
            own.append(
                papermill(ROOT / "notebooks" / "run.ipynb", target, told(url, out))
            )
            check_lines(out)
    ratio = median(a.wall / b.wall for a, b in zip(own, bare, strict=True))
    detail = f"{median(c.wall for c in own):.2f} s over "
    detail += f"{median(c.wall for c in bare):.2f} s"
    memory = max(c.megabytes for c in own)
    what = "papermill run.ipynb over a notebook of imports"
    return [
        Figure(what, ratio, 2.0, "", detail),
        Figure("memory of a run in its notebook", memory, 300, " MB", "its kernel"),
    ]


def told(url: str, out: Path) -> list[str]:
    """The parameters of run.ipynb for a fake server, as papermill takes them."""
    given = {"model": "fake", "base_url": url, "outputs_dir": str(out)}
    given |= {"data_dir": data_dir()} if data_dir() else {"exam": "calibration"}
    given["concurrency"] = "16"
    return [word for name, value in given.items() for word in ("-p", name, value)]


def importing(given: argparse.Namespace) -> Figure:
    """Seconds that `import igaku` takes in a fresh process."""
    command = [sys.executable, "-c", IMPORT]
    seconds = median(float(cost(command).output) for _ in range(given.repeat))
    return Figure("import igaku", seconds, 0.5, " s", "perf_counter around the import")


RUN = "fake" if data_dir() else "fake-calibration"


# --- how it is measured ---------------------------------------------------------------


@contextmanager
def server(folder: Path, delay: float, slots: int) -> Iterator[str]:
    """The address of a fake server that answers after `delay`, `slots` at a time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        str(folder / "fake_openai.py"),
        str(port),
        str(delay),
        str(slots),
    ]
    process = subprocess.Popen(command)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"the fake server does not listen on port {port}")


def asked(url: str, concurrency: int) -> Cost:
    """The cost of one run of the whole exam, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", ASK, url, out, str(concurrency), data_dir()]
        spent = cost(command)
        check_lines(Path(out))
    return spent


def check_lines(out: Path) -> None:
    lines = (out / RUN / "answers.jsonl").read_bytes().count(b"\n")
    assert lines == QUESTIONS, f"the run left {lines} answers"


def papermill(source: Path, target: Path, options: list[str]) -> Cost:
    command = [sys.executable, "-m", "papermill", str(source), str(target)]
    return cost([*command, *options, "-k", "python3", "--no-progress-bar"])


def cost(command: list[str]) -> Cost:
    """Run a command to its end and ask the system what it took."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{command[:3]} failed:\n{errors.read()[-3000:]}")
        output.seek(0)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return Cost(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, output.read()
        )


def notebook_of(code: str) -> dict[str, object]:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": code}
    cell |= {"outputs": [], "execution_count": None}
    return {
        "cells": [cell],
        "metadata": {"kernelspec": KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def median(values: Iterator[float] | list[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    sys.exit(main())
