"""Whether a time grows with a text, on a machine that does other work as well."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

TIMES, SHORT = 8, 2 * 1024
NO_TIME = 0.003
TRIES = 30


def assert_linear(read: Callable[[str], object], piece: str) -> None:
    """Read 16 kB of a piece in little more than the time of 2 kB of it, eight times.

    What runs beside it only ever adds to a time, so the least of each counts, and the
    short and the long text, which take as long, take turns. What is quadratic takes
    eight times as long.
    """
    size = len(piece.encode(errors="surrogatepass"))
    short, long = (piece * (n * SHORT // size + 1) for n in (1, TIMES))
    fast = slow = math.inf
    for _ in range(TRIES):
        fast = min(fast, _seconds(read, [short] * TIMES))
        slow = min(slow, _seconds(read, [long]))
        if slow <= 1.25 * max(fast, NO_TIME):
            return
    raise AssertionError(f"16 kB take {slow / fast:.1f} times as long as 8 of 2 kB")


def _seconds(read: Callable[[str], object], texts: list[str]) -> float:
    started = time.process_time()
    for text in texts:
        read(text)
    return time.process_time() - started
