"""Whether a time grows with a text, on a machine that does other work as well."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SHORT, LONG = 8 * 1024, 64 * 1024
TRIES = 30


def assert_linear(read: Callable[[str], object], piece: str) -> None:
    """Read 64 kB of a piece in at most ten times the time of 8 kB of it.

    What runs beside it only ever adds to a time, so the least of each counts, and the
    short and the long text take turns. What is quadratic takes 64 times as long.
    """
    size = len(piece.encode(errors="surrogatepass"))
    short, long = (piece * (length // size + 1) for length in (SHORT, LONG))
    fast = slow = math.inf
    for _ in range(TRIES):
        fast = min(fast, _seconds(read, short), _seconds(read, short))
        slow = min(slow, _seconds(read, long))
        if slow <= 10 * max(fast, 0.005):
            return
    raise AssertionError(f"64 kB take {slow / fast:.1f} times as long as 8 kB")


def _seconds(read: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    read(text)
    return time.process_time() - started
