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

from igaku import paths, writing
from igaku.ask import progress
from igaku.ask.progress import Follower
from igaku.errors import IgakuError
from igaku.redaction import redacted, secrets

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

    from igaku.params.settings import Settings

# jsonschema makes dozens of grammars for addresses, which no notebook has: most of the
# time that papermill takes to start.
PAPERMILL = (
    "import sys; sys.modules['rfc3987_syntax'] = None; "
    "from papermill.cli import papermill; papermill(prog_name='papermill')"
)
PATIENCE = 20  # seconds that papermill has to stop its kernel after Ctrl-C

# Two kernels that start at the same moment can draw the same port, and one of them
# dies (papermill#511). A run resumes, so starting it again costs nothing.
PORT_RACE = re.compile(r"ZMQError|DeadKernelError|Kernel (died|didn't respond)")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OURS: list[type[IgakuError]] = [IgakuError, *IgakuError.__subclasses__()]
KINDS = {each.__name__: each.kind for each in OURS}
NO_ROOM = "|".join(map(str, writing.FULL))
DISK = re.compile(rf"\[Errno ({NO_ROOM})\] ([^:\n]+)(?::[^\n]*)?$")
FAILURE = re.compile(rf"(?:igaku\.errors\.)?({'|'.join(KINDS)}): (.+)")


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
        raise IgakuError(failure(log)[1] or f"papermill ended with {status}.")


def execution(
    notebook: str,
    output: Path,
    parameters: Mapping[str, Any],
    watch: Callable[[], object],
    keep: Sequence[int] = (),
) -> tuple[int, str]:
    """Execute a notebook by papermill; its status and what it said."""
    import yaml

    writing.folder(output.parent)
    file = notebook_of(notebook, parameters.get("lang", "en"))
    # Not -p: papermill makes text of False and numbers of some texts.
    given = yaml.safe_dump(dict(parameters), allow_unicode=True)
    command = [sys.executable, "-c", PAPERMILL, str(file), str(output)]
    command += ["-k", "python3", "--no-progress-bar", "-y", given]
    if notebook != "run.ipynb":  # a fifth of its time is the saving at every cell
        command.append("--no-request-save-on-cell-execute")
    try:
        status, log = run(command, watch, keep)
        if status and PORT_RACE.search(log):
            status, log = run(command, watch, keep)
    finally:
        _clear(output)
    if status and (told := DISK.search(log.strip())):
        trouble = writing.refused(output, OSError(int(told[1]), told[2]))
        log = f"{type(trouble).__name__}: {trouble}"
    return status, redacted(log)


def _clear(notebook: Path) -> None:
    """Take secrets out of what papermill wrote, whoever put them in."""
    text = notebook.read_text("utf-8") if secrets() and notebook.is_file() else ""
    if redacted(text) != text:
        writing.put(notebook, text)


def ask(settings: Settings, parameters: Mapping[str, Any], bar: Bar) -> None:
    """Execute run.ipynb for a run, moving the bar with every reply."""
    folder = settings.folder
    follow = Follower(bar, folder, bar.n - bar.initial)
    execute("run.ipynb", folder / "run.ipynb", parameters, follow)


def analyse(folder: Path, lang: str) -> Path:
    """Execute analysis.ipynb over a folder's runs and render it all; its page."""
    from igaku.pages.notebooks import render

    output = folder / "analysis.ipynb"
    place = {} if folder == paths.OUTPUTS else {"outputs_dir": str(folder)}
    with progress.bar(desc="Analysing", bar_format="{desc}{elapsed}") as clock:
        execute("analysis.ipynb", output, {"lang": lang, **place}, clock.update)
    say("Writing the pages.")
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
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=keep,
            process_group=0,  # Ctrl-C is for this process to hand on, once
        )
    ) as process:
        log = None
        while log is None:
            with suppress(subprocess.TimeoutExpired):
                log, _ = process.communicate(timeout=0.5)
            watch()
        return process.returncode, log


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has ended when the block is left, also by a signal.

    Ctrl-C is handed on once: a second one would disturb the kernel while it unloads a
    model, and cuts short no more than the wait for it.
    """
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def failure(log: str) -> tuple[str | None, str]:
    """Kind and sentence of igaku's last error in a log; else None and its last line."""
    lines = [line.strip() for line in COLOURS.sub("", log).splitlines()]
    if told := [found for line in lines if (found := FAILURE.match(line))]:
        return KINDS[told[-1][1]], told[-1][2]
    last = ([line for line in lines if line] or [""])[-1]
    return None, last.partition("Error: ")[2] or last


def say(sentence: str) -> None:
    """Tell the user one thing, beside the bar and not in it."""
    print(sentence, file=sys.stderr, flush=True)
