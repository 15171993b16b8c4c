"""How far a run is, told to whoever waits: in a notebook, in a terminal, in a log.

A terminal has one line that is kept up to date; a log gets a line now and then, each by
itself. Whatever becomes of either, the asking goes on.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from igaku.ask import health
from igaku.ask.folder import ANSWERS, Row, unfit
from igaku.ask.rows import read_rows
from igaku.ask.shape import read_manifest
from igaku.errors import IgakuError

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

SEEN, LOGGED = 0.5, 20.0  # seconds between two states: in a terminal, in a log
RECENT = 20  # replies that tell how fast the model writes
NEAR = 3  # losses from the early stop, from where on it is announced
FORM = "{desc}{n_fmt}/{total_fmt} asked{postfix}, {remaining} left |{bar:12}|"


def bar(stream: TextIO | None = None, desc: str = "", **told: Any) -> Bar:
    """A bar of tqdm's on a stream, on standard error unless told.

    >>> import io
    >>> log = io.StringIO()
    >>> with bar(log, total=2, desc="run") as shown:
    ...     _ = shown.update(2)
    >>> log.getvalue().splitlines()[-1]
    'run: 2/2 asked, 00:00 left |############|'
    """
    from tqdm import tqdm

    out = Stream(sys.stderr if stream is None else stream)
    look: dict[str, Any] = {"file": out, "bar_format": FORM, "unit": "q"}
    look |= {"smoothing": 0, "miniters": 1}
    if out.isatty():
        look |= {"mininterval": SEEN, "dynamic_ncols": out.has_width()}
    else:
        look |= {"mininterval": LOGGED, "ascii": " #"}
    look |= {"desc": desc and f"{desc}: "}  # as tqdm's own set_description has it
    return tqdm(None, **look | told)


class Stream:
    """What a bar writes to: a terminal's one line, or a log's many."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._seen = stream, stream.isatty()
        self.encoding = stream.encoding  # tqdm draws by it

    def write(self, text: str) -> None:
        """Write the state of a bar."""
        told = text.strip("\r\n ")
        self.put(text if self._seen else told and f"{told}\n")

    def put(self, text: str) -> None:
        """Write a text as it is; a stream that takes no more is let be."""
        with suppress(OSError, ValueError):
            if text and self._takes_more():
                self._stream.write(text)
                self._stream.flush()

    def flush(self) -> None:
        """Nothing waits to be written."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._seen

    def has_width(self) -> bool:
        """Whether the terminal says how wide it is; tqdm fills none of width 0."""
        try:
            return os.get_terminal_size(self.fileno()).columns > 0
        except OSError:
            return False

    def fileno(self) -> int:
        """The descriptor, by which the width of a terminal is found."""
        return self._stream.fileno()

    def _takes_more(self) -> bool:
        """Whether writing would not wait for a reader, who may never read."""
        try:
            return bool(select.select([], [self._stream.fileno()], [], 0)[1])
        except (OSError, ValueError):
            return True  # it is no file


def handed_on() -> TextIO | None:
    """The standard error that papermill has left to this kernel; None elsewhere.

    A kernel turns its own into cells, and keeps a copy of the one it was started with:
    papermill's terminal, or its log. JupyterLab's is nobody's to read.
    """
    copy = getattr(sys.stderr, "_original_stdstream_copy", None)
    if copy is None or "JPY_SESSION_NAME" in os.environ:
        return None
    try:
        return os.fdopen(os.dup(copy), "w", encoding="utf-8", errors="replace")
    except OSError:
        return None


@contextmanager
def shown(run: str, **told: Any) -> Iterator[Callable[[str], None]]:
    """The bars of a run that this process asks; call what comes with each reply.

    One is for whoever looks at the notebook, one for papermill's terminal or log.
    `told` goes to both: `total`, `initial`, `disable`.
    """
    from tqdm import tqdm

    behind = handed_on()
    bars = [tqdm(unit="q", file=sys.stdout, mininterval=1, miniters=1, **told)]
    if behind:
        Stream(behind).put("\n")  # papermill's own bar has not ended its line
        bars.append(bar(behind, desc=run, position=0, **told))
    began = time.monotonic()

    def tell(words: str) -> None:
        for each in bars:
            each.set_postfix_str(words, refresh=False)
            each.update()
        # At a fixed pace, the bar of an hour fills a notebook with pictures.
        bars[0].mininterval = min(max((time.monotonic() - began) / 60, 1), 30)

    try:
        yield tell
    finally:
        for each in bars:
            each.close()


def last_word(sentence: str) -> None:
    """Tell a sentence to papermill's terminal or log, where there is one.

    papermill closes an interrupted kernel's connections under it, and the kernel would
    pour a trace over the sentence.
    """
    if behind := handed_on():
        logging.getLogger("IPKernelApp").setLevel(logging.CRITICAL)
        Stream(behind).put(f"\nigaku: {sentence}\n")


def standing(rows: Sequence[Row], stops: bool = True) -> str:
    """What became of the replies so far, in a few words.

    `stops` says that a run of lost replies ends early: that is told once it is near.

    >>> standing([{"outcome": "answered", "correct": True, "completion_tokens": 50,
    ...            "seconds": 2.0}])
    'right 1, lost 0, 25 tokens/s'
    """
    outcomes = Counter(row["outcome"] for row in rows)
    right, lost = sum(row["correct"] is True for row in rows), health.lost(outcomes)
    told = [f"right {right}", f"lost {lost}"]
    taken = [(row.get("completion_tokens"), row["seconds"]) for row in rows[-RECENT:]]
    taken = [(n, s) for n, s in taken if isinstance(n, int) and s]
    if taken:
        tokens, seconds = map(sum, zip(*taken, strict=True))
        told.append(f"{tokens / seconds:.0f} tokens/s")
    if stops and lost > health.BROKEN_SHARE * len(rows):  # else scipy is not needed
        enough = health.fewest_lost(max(len(rows) + 1, health.FEWEST)) - lost
        if enough <= NEAR:
            told.append(f"stops early at {max(enough, 1)} more lost")
    return ", ".join(told)


def kept(folder: Path) -> str:
    """What a run that was stopped has, and how it goes on: a sentence."""
    n, total = replies(folder), len(read_manifest(folder).get("questions") or ())
    of = f" of {total}" if total else ""
    what = "reply is" if n == 1 and not total else "replies are"
    return f"Stopped: {n}{of} {what} kept in {folder}, and the same command goes on."


def replies(folder: Path) -> int:
    """How many replies a run has so far."""
    path = folder / ANSWERS
    is_there = path.exists() and not unfit(path)
    return path.read_bytes().count(b"\n") if is_there else 0


class Follower:
    """Keeps a bar at what the folder of a run says, while another process asks.

    `before` is how many questions of other runs the bar has counted.
    """

    def __init__(self, bar: Bar, folder: Path, before: float = 0) -> None:
        self._bar, self._folder, self._before = bar, folder, before
        self._begun, self._size = replies(folder), -1
        self._drawn, self._knows_total = time.monotonic(), bar.total is not None

    def __call__(self) -> None:
        """Look at the folder, and draw the bar where that is due."""
        path = self._folder / ANSWERS
        size = path.stat().st_size if path.exists() else -1
        if size != self._size:
            self._size = size
            with suppress(OSError, IgakuError):  # which the notebook says itself
                self._read(read_rows(path, ("completion_tokens",)))
        if time.monotonic() - self._drawn >= self._bar.mininterval:
            self._drawn = time.monotonic()
            self._bar.refresh()

    def _read(self, rows: Sequence[Row]) -> None:
        bar, told = self._bar, read_manifest(self._folder)
        if not self._knows_total:
            bar.total = len(told.get("questions") or ()) or None
        if len(rows) == self._begun + 1 and not self._before:
            # The time left is reckoned without the start of the kernel.
            bar.start_t = time.time() - float(rows[-1]["seconds"] or 0)
            bar.last_print_t = bar.start_t  # else it believes it never showed
        bar.n = self._before + len(rows)
        if len(rows) > self._begun:
            stops = (told.get("settings") or {}).get("stop_when_broken", True)
            of = f"of its {len(rows)} " if self._before else ""
            bar.set_postfix_str(of + standing(rows, stops), refresh=False)
        elif not self._size:  # the file is made when the asking begins
            bar.set_postfix_str("the first reply is awaited", refresh=False)
