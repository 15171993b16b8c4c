"""Tables as CSV that spreadsheets open as they are, and obey nothing in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from igaku import writing


def put_table(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Write one table as CSV into a folder; the path of the file."""
    path = folder / f"{name}.csv"
    texts = frame.select_dtypes(include=["object", "str"]).columns
    safe = frame.assign(**{name: frame[name].map(guarded) for name in texts})
    # With its mark, a spreadsheet takes the file for UTF-8 and shows Japanese.
    writing.put(path, "\ufeff" + safe.to_csv(index=False, lineterminator="\n"))
    return path


def guarded(value: Any) -> Any:
    """A value as a cell that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), guarded(("a", "c"))
    ("'=1+1", 'a, c')
    """
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
