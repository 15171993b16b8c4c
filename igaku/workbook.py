"""Executing a notebook of the workbook by papermill, and saying how that went."""

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

PATIENCE = 20  # seconds that papermill has to stop its kernel after Ctrl-C
HEARD = 6  # seconds in which it does so by itself, where it was signalled too

# Two kernels that start at the same moment can draw the same port, and one of them
# dies (papermill#511). A run resumes, so starting it again costs nothing.
PORT_RACE = re.compile(r"ZMQError|DeadKernelError|Kernel (died|didn't respond)")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OURS = "|".join(name for name, each in vars(errors).items() if isinstance(each, type))
FAILURE = re.compile(rf"(?:igaku\.errors\.)?({OURS}): (.+)")


def notebook_of(name: str, lang: str = "en") -> Path:
    """The file of a notebook in a language: `run.ipynb`, and `run.ja.ipynb` beside it.

    >>> notebook_of("run.ipynb", "ja").name
    'run.ja.ipynb'
    """
    path = paths.NOTEBOOKS / name
    return path if lang == "en" else path.with_suffix(f".{lang}{path.suffix}")


def execute(
    notebook: str,
    output: Path,
    parameters: Mapping[str, Any],
    watch: Callable[[], object] = lambda: None,
) -> None:
    """Execute a notebook in the language of its parameters, calling `watch` meanwhile.

    What went wrong is one sentence.
    """
    status, log = execution(notebook, output, parameters, watch)
    if status:
        raise IgakuError(last_sentence(log) or f"papermill ended with {status}.")


def execution(
    notebook: str,
    output: Path,
    parameters: Mapping[str, Any],
    watch: Callable[[], object],
    keep: Sequence[int] = (),
) -> tuple[int, str]:
    """Execute a notebook by papermill; its status and what it said."""
    import yaml

    output.parent.mkdir(parents=True, exist_ok=True)
    file = notebook_of(notebook, parameters.get("lang", "en"))
    # Not -p: papermill makes text of False and numbers of some texts.
    given = yaml.safe_dump(dict(parameters), allow_unicode=True)
    command = [sys.executable, "-m", "papermill", str(file), str(output)]
    command += ["-k", "python3", "--no-progress-bar", "-y", given]
    status, log = run(command, watch, keep)
    if status and PORT_RACE.search(log):
        status, log = run(command, watch, keep)
    return status, log


def ask(settings: Settings, parameters: Mapping[str, Any], bar: Bar) -> None:
    """Execute run.ipynb for a run, moving the bar with every reply."""
    before, folder = bar.n, settings.folder
    execute(
        "run.ipynb",
        folder / "run.ipynb",
        parameters,
        lambda: bar.update(before + replies(folder) - bar.n),
    )


def analyse(folder: Path, lang: str) -> Path:
    """Execute analysis.ipynb over a folder's runs and render it all; its page."""
    from igaku.pages.notebooks import render

    say("Analysing and rendering.")
    output = folder / "analysis.ipynb"
    place = {} if folder == paths.OUTPUTS else {"outputs_dir": str(folder)}
    execute("analysis.ipynb", output, {"lang": lang, **place})
    render(folder)
    return output.with_suffix(".html")


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


def replies(folder: Path) -> int:
    """How many replies a run has so far."""
    path = folder / ANSWERS
    return path.read_bytes().count(b"\n") if path.exists() else 0


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
