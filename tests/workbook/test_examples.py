"""The executed notebooks under `outputs/examples`, which are read on the web."""

import ast
import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from PIL import Image

from igaku.examples import presentable
from igaku.study.runs import find_runs

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "outputs" / "examples"
NAMES = ("run", "analysis", "mechanism")
INJECTED = "injected-parameters"
MOST = 1_500_000  # bytes; beyond a few million a viewer shows nothing
# What GitHub's viewer leaves of a notebook's HTML, and the style that it drops.
SHOWN = {
    *("a", "b", "br", "caption", "code", "details", "div", "em", "h1", "h2", "h3"),
    *("h4", "li", "ol", "p", "pre", "strong", "summary", "table", "tbody", "td"),
    *("th", "thead", "tr", "ul", "style"),
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def example(name):
    return nbformat.read(EXAMPLES / f"{name}.ipynb", 4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def test_an_example_is_of_the_notebook_as_it_is_now(name, example):
    """Where this fails, a notebook was changed: run `make examples`."""
    now = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4)
    own = [c for c in code(example) if INJECTED not in c.metadata.get("tags", [])]
    assert [c.source for c in own] == [c.source for c in code(now)]
    assert [c.metadata for c in own] == [c.metadata for c in code(now)]


def test_an_example_was_executed_from_top_to_bottom(example):
    counts = [cell.execution_count for cell in code(example)]
    assert counts == list(range(1, len(counts) + 1))
    nbformat.validate(example)


def test_an_example_changes_nothing_but_parameters(name, example):
    injected = [c for c in code(example) if INJECTED in c.metadata.get("tags", [])]
    first = next(c for c in code(example) if "parameters" in c.metadata.get("tags", []))
    known = {typed.target.id for typed in ast.parse(first.source).body}
    given = {t.targets[0].id for c in injected for t in ast.parse(c.source).body}
    assert given <= known
    assert (name == "mechanism") == (not given)


def test_an_example_shows_no_error_and_no_noise(example):
    kinds = {output.output_type for output in outputs(example)}
    assert kinds <= {"execute_result", "display_data", "stream"}
    streams = [o for o in outputs(example) if o.output_type == "stream"]
    assert all(o.name == "stdout" and "\r" not in o.text for o in streams)
    told = {mime for o in outputs(example) for mime in o.get("data", {})}
    assert told <= {"text/html", "text/plain", "image/png"}


def test_an_example_shows_pictures_and_frames(example):
    data = [output.get("data", {}) for output in outputs(example)]
    drawn = [each["image/png"] for each in data if "image/png" in each]
    assert drawn
    assert all(base64.b64decode(png).startswith(b"\x89PNG") for png in drawn)
    tables = [each for each in data if "<table" in each.get("text/html", "")]
    assert len(tables) >= 4


def test_the_analysis_shown_is_of_a_study_with_a_broken_run():
    shown = nbformat.read(EXAMPLES / "analysis.ipynb", 4)
    html = [o.get("data", {}).get("text/html", "") for o in outputs(shown)]
    assert sum('class="dataframe"' in each or 'id="T_' in each for each in html) >= 15
    told = "".join(o.text for o in outputs(shown) if o.output_type == "stream")
    assert "Broken" in told


def test_an_example_tells_nothing_of_the_machine_that_made_it(name, example):
    text = (EXAMPLES / f"{name}.ipynb").read_text("utf-8")
    assert len(text.encode()) < MOST
    assert set(example.metadata) <= {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in example.cells)
    pictured = re.compile(r'"image/png": "[^"]+"')
    assert not re.search(
        r"/(tmp|home|Users|root|private|var|work|mnt)/", pictured.sub("", text)
    )
    hosts = re.findall(r"https?://([^/:\s\"<&\\]+)", pictured.sub("", text))
    assert set(hosts) <= {"127.0.0.1", "huggingface.co", "github.com", "arxiv.org"}


class Tags(HTMLParser):
    """The elements that a piece of HTML is made of."""

    def __init__(self):
        super().__init__()
        self.met = set()

    def handle_starttag(self, tag, attrs):
        self.met.add(tag)


def test_a_viewer_that_strips_html_leaves_what_an_example_says(example):
    seen = Tags()
    for output in outputs(example):
        seen.feed("".join(output.get("data", {}).get("text/html", "")))
    assert "table" in seen.met
    assert seen.met <= SHOWN


def test_examples_are_committed_and_runs_are_not():
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")

    def ignored(path):
        command = ["git", "check-ignore", "-q", "--no-index", path]
        return subprocess.run(command, cwd=ROOT).returncode == 0

    assert not any(ignored(f"outputs/examples/{name}.ipynb") for name in NAMES)
    assert ignored("outputs/examples/run.html")
    assert ignored("outputs/some-run/answers.jsonl")
    assert ignored("outputs/analysis.ipynb")


def test_the_hook_strips_the_notebooks_and_leaves_the_examples():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (strip,) = [h for h in hooks["repos"][0]["hooks"] if h["id"] == "nbstripout"]
    assert re.search(strip["files"], "notebooks/run.ipynb")
    assert not re.search(strip["files"], "outputs/examples/run.ipynb")


def test_examples_are_no_runs(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    assert find_runs(tmp_path) == []


# --- how they are made ----------------------------------------------------------------

DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def executed():
    """A notebook as papermill leaves one, with a bar in pieces and a picture."""
    bar = ["\r  0%|  | 0/2", "\r 50%|# | 1/2", "\r100%|##| 2/2\n"]
    made = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in bar]
    picture = {"image/png": DOT, "text/plain": "a dot"}
    made.append(
        nbformat.v4.new_output(
            "display_data", picture, metadata={"image/png": {"alt": "a dot"}}
        )
    )
    cell = nbformat.v4.new_code_cell("x = 1", outputs=made, execution_count=1)
    cell.metadata = {"papermill": {"duration": 1.0}, "tags": [INJECTED]}
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python", "version": "3.11.7"},
        "papermill": {"output_path": "/home/someone/outputs/run.ipynb"},
    }
    return notebook


def test_what_papermill_notes_of_the_machine_is_left_out(executed):
    shown = presentable(executed)
    assert "papermill" not in shown["metadata"]
    assert shown["metadata"]["language_info"] == {"name": "python"}
    assert shown["cells"][0]["metadata"] == {"tags": [INJECTED]}
    assert shown["cells"][0]["execution_count"] == 1
    nbformat.validate(nbformat.from_dict(shown))


def test_of_a_bar_only_its_end_is_left(executed):
    stream, _ = presentable(executed)["cells"][0]["outputs"]
    assert stream["text"] == "100%|##| 2/2\n"


def test_a_picture_becomes_light_and_keeps_its_colours(executed):
    shades = np.zeros((200, 200, 3), np.uint8)
    shades[..., 2] = np.arange(200) + 55  # as of a heat map
    shades[..., 0] = np.arange(200)[:, None] // 50 * 50
    whole = io.BytesIO()
    Image.fromarray(shades).save(whole, "PNG", compress_level=0)
    picture = executed.cells[0].outputs[-1]["data"]
    picture["image/png"] = base64.b64encode(whole.getvalue()).decode()

    _, shown = presentable(executed)["cells"][0]["outputs"]
    light = base64.b64decode(shown["data"]["image/png"])
    found = np.asarray(Image.open(io.BytesIO(light)).convert("RGB"))
    assert abs(found.astype(int) - shades).max() <= 8
    assert len(light) < len(whole.getvalue()) / 2
    assert shown["data"]["text/plain"] == "a dot"
