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
        ratio = _ratio(read, piece, SHORT)
        if LITTLE_MORE < ratio < 2:
            ratio = _ratio(read, piece, LESS_SHORT)
    finally:
        gc.enable()
    assert ratio <= LITTLE_MORE, f"{ratio:.1f} times as long as its eighths"


def assert_in_no_time(read: Callable[[str], object], text: str, plain: str) -> None:
    """Read a text in at most ten times the time of a plain one of its length.

    A slow machine takes longer for both, and what runs beside them only ever adds to a
    time, so the least of each counts.
    """
    plain = (plain * (len(text) // len(plain) + 1))[: len(text)]
    read(text[:200])  # patterns are compiled once, on first use
    spent = usual = math.inf
    for _ in range(TRIES):
        spent = min(spent, _seconds(read, [text]))
        usual = min(usual, _seconds(read, [plain]))
        if spent < MORE * usual:
            break
    assert spent < MORE * usual, f"{spent:.3f} s, a plain text {usual:.3f} s"


def _ratio(read: Callable[[str], object], piece: str, size: int) -> float:
    """How many times as long a text takes as its eighth does eight times.

    What runs beside it only ever adds to a time, so the least of each counts, and they
    take turns until the long text has taken little more.
    """
    one = len(piece.encode(errors="surrogatepass"))
    short, long = (piece * (n * size // one + 1) for n in (1, TIMES))
    fast = slow = ratio = math.inf
    for _ in range(TRIES):
        fast = min(fast, _seconds(read, [short] * TIMES))
        slow = min(slow, _seconds(read, [long]))
        ratio = slow / max(fast, NO_TIME)
        if ratio <= LITTLE_MORE:
            break
    return ratio


def _seconds(read: Callable[[str], object], texts: list[str]) -> float:
    started = time.process_time()
    for text in texts:
        read(text)
    return time.process_time() - started
