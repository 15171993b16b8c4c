"""Whether a time grows with a text, on a machine that does other work as well."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable

TIMES, SHORT, LESS_SHORT = 8, 2 * 1024, 8 * 1024
NO_TIME, LITTLE_MORE = 0.003, 1.25
TRIES, MORE = 15, 10


def assert_linear(read: Callable[[str], object], piece: str) -> None:
    """Read 16 kB of a piece in little more than the time of 2 kB of it, eight times.

    Else, where the machine was too busy to tell, 64 kB in that of 8 kB. What is
    quadratic takes eight times as long, and the more of it, the surer.
    """
    gc.disable()  # it takes longer where more is held at once
    try:
        ratio = _ratio(read, *_long_and_shorts(piece, SHORT), LITTLE_MORE)
        if LITTLE_MORE < ratio < 2:
            ratio = _ratio(read, *_long_and_shorts(piece, LESS_SHORT), LITTLE_MORE)
    finally:
        gc.enable()
    assert ratio <= LITTLE_MORE, f"{ratio:.1f} times as long as its eighths"


def assert_in_no_time(read: Callable[[str], object], text: str, plain: str) -> None:
    """Read a text in at most ten times the time of a plain one of its length."""
    plain = (plain * (len(text) // len(plain) + 1))[: len(text)]
    ratio = _ratio(read, [text], [plain], MORE)
    assert ratio <= MORE, f"{ratio:.1f} times as long as a plain text"


def _long_and_shorts(piece: str, size: int) -> tuple[list[str], list[str]]:
    """A text of so many pieces, and its eighth, eight times."""
    one = len(piece.encode(errors="surrogatepass"))
    short, long = (piece * (n * size // one + 1) for n in (1, TIMES))
    return [long], [short] * TIMES


def _ratio(
    read: Callable[[str], object], texts: list[str], others: list[str], enough: float
) -> float:
    """How many times as long the texts take as the others do.

    What runs beside them only ever adds to a time, so the least of each counts, and
    they take turns until the ratio is low enough.
    """
    fast = slow = ratio = math.inf
    for _ in range(TRIES):
        fast = min(fast, _seconds(read, others))
        slow = min(slow, _seconds(read, texts))
        ratio = slow / max(fast, NO_TIME)
        if ratio <= enough:
            break
    return ratio


def _seconds(read: Callable[[str], object], texts: list[str]) -> float:
    started = time.process_time()
    for text in texts:
        read(text)
    return time.process_time() - started
