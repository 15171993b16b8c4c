"""`make run`: every embedded model sits its exam, and the comparison is rendered."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import errors, paths
from igaku.ask.folder import ANSWERS
from igaku.errors import IgakuError

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

    from igaku.params.settings import Settings

LIMIT = 60
PATIENCE = 20  # seconds that papermill has to stop its kernel after Ctrl-C
HEARD = 6  # seconds in which it does so by itself, where it was signalled too

# Two kernels that start at the same moment can draw the same port, and one of them
# dies (papermill#511). A run resumes, so starting it again costs nothing.
PORT_RACE = re.compile(r"ZMQError|DeadKernelError|Kernel (died|didn't respond)")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OURS = "|".join(name for name, each in vars(errors).items() if isinstance(each, type))
FAILURE = re.compile(rf"(?:igaku\.errors\.)?({OURS}): (.+)")


def demo(limit: int = LIMIT, lang: str = "ja", outputs_dir: Path | None = None) -> Path:
    """Ask every embedded model, analyse and render; the page to look at.

    A model whose engine is not installed is left out with a sentence. What failed is
    named at the end, after everything else has been rendered.
    """
    place = {"outputs_dir": str(outputs_dir.absolute())} if outputs_dir else {}
    sittings = [s for s in lab_settings(limit=limit, **place) if has_engine(s)]
    if not sittings:
        raise IgakuError(
            "No engine of the lab is installed: see the sentences above, or give "
            "run.ipynb the address of a server of your own as base_url."
        )
    failed = ask_all(sittings, {"limit": limit, "lang": lang, **place})
    page = write_report(sittings[0].outputs_dir, {"lang": lang, **place})
    say(f"Every reply is kept under {page.parent}; the comparison, and all pages:")
    print(page)
    print(page.with_name("index.html"))
    if failed:
        raise IgakuError(f"{' and '.join(failed)} did not finish: see above.")
    return page


def lab_settings(**given: Any) -> list[Settings]:
    """The settings of the embedded models, one for each file in `params/lab`."""
    from igaku.params.settings import settings_from

    slugs = sorted(path.stem for path in (paths.PARAMS / "lab").glob("*.yaml"))
    return [settings_from(model=slug, **given) for slug in slugs]


def has_engine(settings: Settings) -> bool:
    """Whether the model can be served here; where not, the reason is said."""
    from igaku.lab.engines import missing_engine

    reason = missing_engine(settings.slug)
    if reason:
        say(f"{settings.slug} is left out: {reason}")
    return not reason


def ask_all(sittings: Sequence[Settings], parameters: Mapping[str, Any]) -> list[str]:
    """Ask one model after the other; the slugs of those that failed."""
    from tqdm import tqdm

    failed = []
    total = sum(settings.limit or 0 for settings in sittings)
    pace = 0.5 if sys.stderr.isatty() else 15  # a log keeps every line of a bar
    with tqdm(total=total, unit="q", smoothing=0, mininterval=pace) as bar:
        for number, settings in enumerate(sittings, 1):
            bar.set_description(f"{number}/{len(sittings)} {settings.slug}")
            try:
                ask(settings, parameters, bar)
            except IgakuError as problem:
                bar.write(f"{settings.slug}: {problem}", file=sys.stderr)
                failed.append(settings.slug)
            # A run that stopped early leaves questions that nobody will ask.
            unasked = (settings.limit or 0) - replies(settings.folder)
            bar.total = (bar.total or 0) - unasked
    return failed


def ask(settings: Settings, parameters: Mapping[str, Any], bar: Bar) -> None:
    """Execute run.ipynb for one model, moving the bar with every reply."""
    before = bar.n
    execute(
        "run.ipynb",
        settings.folder / "run.ipynb",
        {"model": settings.slug, **parameters},
        lambda: bar.update(before + replies(settings.folder) - bar.n),
    )


def replies(folder: Path) -> int:
    """How many replies a run has so far."""
    path = folder / ANSWERS
    return path.read_bytes().count(b"\n") if path.exists() else 0


def write_report(folder: Path, parameters: Mapping[str, Any]) -> Path:
    """Execute analysis.ipynb and render every notebook; the page of the analysis."""
    from igaku.pages.render import render

    output = folder / "analysis.ipynb"
    say("Analysing and rendering.")
    execute("analysis.ipynb", output, parameters)
    render(folder)
    return output.with_suffix(".html")


# --- papermill ------------------------------------------------------------------------


def execute(
    notebook: str,
    output: Path,
    parameters: Mapping[str, Any],
    watch: Callable[[], object] = lambda: None,
) -> None:
    """Execute a notebook of `notebooks/` by papermill, calling `watch` meanwhile."""
    each = [("-p", name, str(value)) for name, value in parameters.items()]
    papermill(notebook, output, [word for words in each for word in words], watch)


def papermill(
    notebook: str, output: Path, options: Sequence[str], watch: Callable[[], object]
) -> None:
    """Start papermill with these options; what went wrong is one sentence."""
    status, log = execution(notebook, output, options, watch)
    if status:
        raise IgakuError(last_sentence(log) or f"papermill ended with {status}.")


def execution(
    notebook: str,
    output: Path,
    options: Sequence[str],
    watch: Callable[[], object],
    keep: Sequence[int] = (),
) -> tuple[int, str]:
    """Start papermill with these options; its status and what it said."""
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "papermill", str(paths.NOTEBOOKS / notebook)]
    command += [str(output), "-k", "python3", "--no-progress-bar", *options]
    status, log = run(command, watch, keep)
    if status and PORT_RACE.search(log):
        status, log = run(command, watch, keep)
    return status, log


def run(
    command: Sequence[str], watch: Callable[[], object], keep: Sequence[int] = ()
) -> tuple[int, str]:
    """Run a command, calling `watch` twice a second; its status and what it said.

    The files of `keep` stay open in it, and with them their locks, even when this
    process is killed. What the command starts in its turn does not get them.
    """
    # The kernel of this environment, whatever kernels the user has in the home folder.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    with ended(
        subprocess.Popen(
            command,
            cwd=paths.ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=keep,
        )
    ) as process:
        while True:
            try:
                log, _ = process.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                watch()
                continue
            watch()
            return process.returncode, log


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has ended when the block is left, also by a signal.

    Ctrl-C in a terminal reaches papermill too, and a second one would disturb the
    kernel while it unloads a model; a signal to igaku alone is passed on to it.
    """
    try:
        yield process
    finally:
        if not _has_ended(process, HEARD):
            process.send_signal(signal.SIGINT)
            if not _has_ended(process, PATIENCE):
                process.kill()


def _has_ended(process: subprocess.Popen[str], patience: float) -> bool:
    """Whether a process ends within so many seconds."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    return process.returncode is not None


def last_sentence(log: str) -> str:
    """The message of the last error in a log, which is what a user can act on."""
    if told := failure(log):
        return told[1]
    lines = [line.strip() for line in COLOURS.sub("", log).splitlines()]
    last = ([line for line in lines if line] or [""])[-1]
    return last.partition("Error: ")[2] or last


def failure(log: str) -> tuple[str, str] | None:
    """The class and the sentence of the last error in a log that is one of igaku's."""
    lines = map(str.strip, COLOURS.sub("", log).splitlines())
    told = [found for line in lines if (found := FAILURE.match(line))]
    return (told[-1][1], told[-1][2]) if told else None


def say(sentence: str) -> None:
    """Tell the user one thing, beside the bar and not in it."""
    print(sentence, file=sys.stderr, flush=True)
