"""Tables as CSV that spreadsheets open as they are, and obey nothing in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from igaku import writing


def put_table(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Write one table as CSV into a folder."""
    path = folder / f"{name}.csv"
    # With its mark, a spreadsheet takes the file for UTF-8 and shows Japanese.
    text = "\ufeff" + _harmless(frame).to_csv(index=False, lineterminator="\n")
    writing.put(path, text)
    return path


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for a formula."""
    texts = frame.select_dtypes(include=["object", "str"]).columns
    safe = {name: frame[name].map(guarded) for name in texts}
    return frame.assign(**safe) if len(texts) else frame


def guarded(value: Any) -> Any:
    """A value as a cell that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), guarded(("a", "c"))
    ("'=1+1", 'a, c')
    """
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
