"""What the analysis half costs and how large it is, each figure against its target.

usage: python bench/bench_workbook.py [RECORDED] [--repeat N] [--before CHECKOUT]

RECORDED is the folder of recorded answers, ../shared/data/recorded unless told; they
are imported into a temporary folder. A ratio is of two programs timed one after the
other in this run; the median of the repeats is reported. The analysis is executed as
`igaku analyse` does it; papermill called by hand, which saves at each cell, is told
beside it. CHECKOUT is another version, measured beside this one. Exit status 1: a
target is missed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "data" / "recorded"
EXAM = ROOT.parent / "shared" / "data" / "igakuqa"
TIMES, IMPORT_SECONDS = 2.5, 0.1
LINES, LONGEST = 16_000, 450  # of the package, of a module
FRAMES, CALLS = 15, 30  # shown by the executed analysis, in its code
SHOWING = ("figures", "pages")  # rooms that only show
LIBRARIES = ("pd", "sns", "plt", "mcnemar", "noninferiority", "paired_difference")
PLAIN = "import pandas\nimport seaborn\nimport scipy.stats\n"
AS_IGAKU = (
    "import sys, pathlib; from igaku import workbook; workbook.execute("
    "'analysis.ipynb', pathlib.Path(sys.argv[1]), {'outputs_dir': sys.argv[2]})"
)
IMPORT = (
    "import time; t = time.perf_counter(); import igaku; print(time.perf_counter() - t)"
)


def main() -> int:
    given = arguments()
    # This version comes last: what it executed is looked at afterwards.
    checkouts = ({"before": given.before} if given.before else {}) | {"now": ROOT}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(ROOT, "-m", "igaku.cli", "import", given.recorded, "--outputs", place)
        for seventh in place.glob("*-mt4096-*"):  # the same model with another budget
            shutil.rmtree(seventh)
        kept = [
            figure("import igaku", imports(given.repeat), IMPORT_SECONDS, "s"),
            *analysing(place, checkouts, given.repeat),
            *sizes(),
            *executed(place / "analysis.ipynb"),
        ]
    return int(not all(kept))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recorded", nargs="?", type=Path, default=RECORDED)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
    return parser.parse_args()


def figure(what: str, value: float, target: float, unit: str = "", at_least=False):
    """Print a figure beside its target; whether that is kept."""
    kept = value >= target if at_least else value <= target
    sign = "≥" if at_least else "≤"
    mark = "ok  " if kept else "MISS"
    print(f"{mark} {what:<52}{value:>10,.6g} {unit:<2} target {sign} {target:,}")
    return kept


def run(checkout: Path, *words: object) -> float:
    """Run a checkout's Python; the CPU seconds of it and of all that it waited for."""
    place = os.environ | {"PYTHONPATH": str(checkout), "JUPYTER_PREFER_ENV_PATH": "1"}
    if EXAM.is_dir():
        place.setdefault("IGAKU_DATA", str(EXAM))
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=checkout,
        env=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} failed:\n{output[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def imports(repeat: int) -> float:
    """Seconds of `import igaku` in a fresh process."""
    command = [sys.executable, "-c", IMPORT]
    found = [
        float(subprocess.check_output(command, cwd=ROOT, text=True))
        for _ in range(repeat)
    ]
    return round(statistics.median(found), 3)


# --- what the analysis costs ----------------------------------------------------------


def analysing(place: Path, checkouts: dict[str, Path], repeat: int):
    """CPU of analysis.ipynb to both pages, over papermill on three imports."""
    plain = place / "plain.ipynb"
    about = {"kernelspec": {"name": "python3", "display_name": "", "language": ""}}
    cell = {"cell_type": "code", "id": "a", "source": PLAIN, "metadata": {}}
    cell |= {"outputs": [], "execution_count": None}
    head = {"nbformat": 4, "nbformat_minor": 5, "metadata": about}
    plain.write_text(json.dumps(head | {"cells": [cell]}))
    names = ("plain", *checkouts, "by hand")
    costs: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeat):
        costs["plain"].append(papermill(ROOT, plain, place / "plain-done.ipynb"))
        for name, checkout in checkouts.items():
            costs[name].append(analysis(checkout, place))
        costs["by hand"].append(analysis(ROOT, place, by_hand=True))
    for path in place.glob("plain*"):
        path.unlink()
    median = {name: statistics.median(found) for name, found in costs.items()}
    told = ", ".join(f"{name} {cost:.2f} s" for name, cost in median.items())
    print(f"     CPU, median of {repeat}: {told}")
    for name in checkouts:
        times = round(median[name] / median["plain"], 2)
        kept = figure(f"six recorded runs to both pages, {name}", times, TIMES, "×")
        if name == "now":
            yield kept


def analysis(checkout: Path, place: Path, by_hand: bool = False) -> float:
    """CPU seconds of a checkout's analysis.ipynb, to analysis.html and report.html."""
    pages = [place / name for name in ("analysis.html", "report.html")]
    for page in pages:
        page.unlink(missing_ok=True)
    done = place / "analysis.ipynb"
    source = checkout / "notebooks" / "analysis.ipynb"
    if by_hand:
        spent = papermill(checkout, source, done, "-p", "outputs_dir", place)
    else:
        spent = run(checkout, "-c", AS_IGAKU, done, place)
    spent += run(checkout, "-m", "igaku.cli", "render", done)
    missing = [page.name for page in pages if not page.exists()]
    if missing:
        raise SystemExit(f"{checkout} has not written {' and '.join(missing)}")
    return spent


def papermill(checkout: Path, *words: object) -> float:
    options = ("-k", "python3", "--no-progress-bar")
    return run(checkout, "-m", "papermill", *words, *options)


# --- how large it is ------------------------------------------------------------------


def sizes():
    """Lines of the package and of its longest module, and the share that only shows."""
    package = ROOT / "igaku"
    lines = {
        str(path.relative_to(package)): len(path.read_text("utf-8").splitlines())
        for path in package.rglob("*.py")
    }
    total = sum(lines.values())
    longest = max(lines, key=lambda name: lines[name])
    shown = sum(n for name, n in lines.items() if name.split("/")[0] in SHOWING)
    yield figure(f"lines of igaku/, {len(lines)} modules", total, LINES)
    yield figure(f"longest module, {longest}", lines[longest], LONGEST)
    yield figure("lines that only show", round(100 * shown / total), 20, "%")


def executed(notebook: Path):
    """Frames and calls of libraries in an executed notebook, as a reader sees them."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tables = [
        output
        for cell in code
        for output in cell["outputs"]
        if "<table" in "".join(output.get("data", {}).get("text/html", ""))
    ]
    sources = ("".join(cell["source"]) for cell in code)
    calls = sum(map(library_calls, sources))
    yield figure("frames shown by the analysis", len(tables), FRAMES, at_least=True)
    yield figure("calls of libraries in its code", calls, CALLS, at_least=True)


def library_calls(source: str) -> int:
    """Calls by the name of a library or test, or of a method of a frame or of Axes."""
    frames = r"groupby|pivot|merge|assign|query|sort_values|unstack|describe|to_csv|set"
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [ast.unparse(node.func) for node in nodes]
    return sum(
        name.split(".")[0] in LIBRARIES
        or bool(re.search(rf"\.({frames})(_\w+)?$", name))
        for name in names
    )


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    print(f"     measured in {time.monotonic() - began:.0f} s")
    sys.exit(status)
