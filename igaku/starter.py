"""`igaku new`: a workbook folder of one's own, beside no checkout."""

from __future__ import annotations

from pathlib import Path

from igaku import paths, writing
from igaku.errors import IgakuError


def new(folder: Path) -> tuple[list[Path], list[Path]]:
    """Make a folder with notebooks, params and outputs; the files made, those kept.

    What is there already stays as it is.
    """
    made: list[Path] = []
    kept: list[Path] = []
    for name, pattern in (("notebooks", "*.ipynb"), ("params", "**/*.yaml")):
        source = paths.READ / name
        files = sorted(source.glob(pattern))
        if not files:
            raise IgakuError(
                f"There is nothing to copy from {source}: install igaku again, or run "
                "this in its checkout."
            )
        for file in files:
            target = folder / name / file.relative_to(source)
            (kept if target.exists() else made).append(target)
            if target in made:
                writing.put(target, file.read_bytes())
    writing.folder(folder / "outputs")
    return made, kept
