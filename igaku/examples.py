"""`make examples`: the notebooks executed on the lab, to be read without running them.

They are committed, so they hold nothing of the machine that made them, pictures are
light, and what a viewer would drop (progress bars over progress bars) is gone already.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from igaku import paths, writing
from igaku.params.settings import settings_from
from igaku.rescue import rescue
from igaku.workbook import execute, say

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = paths.OUTPUTS / "examples"
LIMIT = 100
EFFORT = "high"  # at which the lab's budget cuts some replies, and not all
MODEL = "lab-mxfp4-q4"  # whose run is shown, and whose lost questions are asked again
# One run breaks: its budget ends most replies before they come to an answer.
STUDY: dict[str, dict[str, Any]] = {
    "lab-mlx-8bit": {}, MODEL: {}, "lab-all-mxfp4": {},
    "lab-gguf-mxfp4": {"max_tokens": 72},
}  # fmt: skip
KEPT = {"kernelspec", "language_info"}  # of a notebook's metadata


def examples(folder: Path = FOLDER) -> list[Path]:
    """Execute run, analysis and mechanism on the embedded models; the files to read."""
    with TemporaryDirectory() as place:
        executed = _executed(Path(place))
        return [_written(path, folder, Path(place)) for path in executed]


def _executed(runs: Path) -> list[Path]:
    """The notebooks as papermill leaves them, in the folder of their runs."""
    place = {"outputs_dir": str(runs)}
    for model, more in STUDY.items():
        say(f"Asking {model}.")
        asked = {"model": model, "limit": LIMIT, "reasoning_effort": EFFORT, **more}
        folder = settings_from(**asked, **place).folder
        execute("run.ipynb", folder / "run.ipynb", {**asked, **place})
    say(f"Asking again what {MODEL} lost, then analysing.")
    list(rescue(MODEL, outputs_dir=runs))
    execute("analysis.ipynb", runs / "analysis.ipynb", place)
    say("Taking the recipes apart.")
    execute("mechanism.ipynb", runs / "mechanism.ipynb", {})
    names = (f"{MODEL}/run.ipynb", "analysis.ipynb", "mechanism.ipynb")
    return [runs / name for name in names]


def _written(executed: Path, folder: Path, runs: Path) -> Path:
    import nbformat

    text = executed.read_text("utf-8").replace(str(runs), paths.OUTPUTS.name)
    shown = presentable(nbformat.reads(text, 4))
    target = folder / executed.name
    writing.put(target, writing.as_json(shown, indent=1) + "\n")
    return target


def presentable(notebook: NotebookNode) -> NotebookNode:
    """The executed notebook without its machine, with bars at their end, light."""
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata = {k: v for k, v in notebook.metadata.items() if k in KEPT}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if "injected-parameters" in tags:
            # papermill draws another name each time, and ends in an empty line.
            cell |= {"id": "injected", "source": cell.source.strip()}
        # Of a bar that was wiped away a line of blanks is left.
        told = cell.get("outputs", [])
        told[:] = [output for output in told if output.get("text", "-").strip()]
        for output in told:
            if png := output.get("data", {}).get("image/png"):
                output.data["image/png"] = base64.b64encode(_light(png)).decode()
    return notebook


def _light(png: str) -> bytes:
    """A picture, base64, in the 256 colours that it has most of: half the size."""
    from PIL import Image

    drawn, light = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    drawn.convert("RGB").quantize(256).save(light, "PNG", optimize=True)
    return light.getvalue()


if __name__ == "__main__":
    for path in examples():
        print(path.relative_to(paths.ROOT))
