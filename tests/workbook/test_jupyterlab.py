"""JupyterLab as `make lab` opens it, driven in Chromium through two notebooks."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import nbformat
import pytest
from browser import DESK, HEIGHT, HOSTILE, TRICKS, Watched, chromium
from nbformat.v4 import new_code_cell
from starting import PYTHONPATH

from igaku.lab.engines import missing_engine

ROOT = Path(__file__).resolve().parents[2]
MODEL = "lab-gguf-mxfp4"
LIMIT = 6
PATIENCE = 60  # seconds for a notebook on a busy machine


# --- a checkout beside the checkout ---------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a copy of the notebooks, whose user edited the parameters."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    (folder / "outputs").mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    where = {"outputs_dir": str(folder / "outputs")}
    copied(folder, "run", where | {"model": MODEL, "limit": LIMIT})
    copied(folder, "analysis", where)
    shows = f"printed(pd.DataFrame({{'content': [{HOSTILE!r}]}}))"
    copied(folder, "analysis.ja", where, shows)
    return folder


def copied(folder, name, values, *more):
    """A copy of a notebook with other values in its cell parameters, and more cells."""
    notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}"
        cell.source, n = re.subn(rf"^{key}: \w+ = \S+", line, cell.source, flags=re.M)
        assert n == 1, key
    notebook.cells += map(new_code_cell, more)
    nbformat.write(notebook, folder / f"notebooks/{name}.ipynb")


@pytest.fixture(scope="module")
def environment(place):
    """A user with another kernel of that name at home, which Jupyter is to prefer."""
    home = place / "home"
    foreign = home / "data/kernels/python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "foreign", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    # The package of this checkout, which is not where its copied notebooks are.
    kept |= {"PYTHONPATH": PYTHONPATH, "JUPYTER_PREFER_ENV_PATH": "0"}
    return kept | {name: str(home / folder) for name, folder in own.items()}


@pytest.fixture(scope="module")
def lab(browser, place, environment):
    """The address of JupyterLab, started by the very command of `make lab`."""
    if reason := missing_engine(MODEL):
        pytest.skip(f"{MODEL} cannot be served here: {reason}")
    port = free_port()
    options = f"--no-browser --allow-root --port={port} --expose-app-in-browser"
    command = shlex.split(f"env {recipe()} {options} --IdentityProvider.token=")
    with (place / "lab.log").open("w") as log:
        told = {"stdout": log, "stderr": subprocess.STDOUT}
        server = subprocess.Popen(command, cwd=place, env=environment, **told)
        try:
            url = f"http://127.0.0.1:{port}/"
            assert listens(url), (place / "lab.log").read_text()
            yield url
        finally:
            server.terminate()  # it ends its kernels first
            server.wait(PATIENCE)


def recipe():
    """The line that `make lab` runs once the environment is there."""
    if not shutil.which("make"):
        pytest.skip("make is not here: install it to run this test")
    asked = ["make", "-n", "lab", "ARGS="]
    clean = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}  # of make test
    printed = subprocess.run(asked, cwd=ROOT, env=clean, capture_output=True, text=True)
    (line,) = [x for x in printed.stdout.splitlines() if "jupyter lab" in x]
    return line


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def listens(url):
    """Whether the server answers in good time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return urlopen(f"{url}api", timeout=5).status == 200
        except OSError:
            time.sleep(0.2)
    return False


# --- a user in front of it ------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def ran(browser, lab):
    """The window in which run.ipynb was opened and all its cells were run."""
    with browser.new_page(viewport={"width": DESK, "height": HEIGHT}) as page:
        page.goto(f"{lab}lab/tree/notebooks/run.ipynb?reset")
        wait_until_ready(page)
        run_all(page)
        yield page


# What is in front, of all the notebooks that are open.
IN_FRONT = ".jp-NotebookPanel:not(.lm-mod-hidden)"
OPEN = "async path => { await jupyterapp.commands.execute('docmanager:open', {path}); }"


def open_notebook(window, name):
    """A notebook opened in JupyterLab beside those that are, as a click on it does."""
    window.evaluate(OPEN, f"notebooks/{name}.ipynb")
    wait_until_ready(window)


def wait_until_ready(window):
    """Wait until the notebook in front can be run: its kernel is there, unasked for."""
    first = window.locator(f"{IN_FRONT} .jp-CodeCell").first
    first.wait_for(timeout=PATIENCE * 1000)
    kernel = window.locator(f"{IN_FRONT} .jp-KernelName")
    kernel.filter(has_text="igaku").wait_for(timeout=PATIENCE * 1000)
    window.wait_for_function(IS_IDLE, timeout=PATIENCE * 1000)
    assert not window.locator(".jp-Dialog").is_visible()


# The cells as the application holds them: the page draws only those in view.
CELLS = (
    "[...jupyterapp.shell.currentWidget.content.model.cells]"
    ".filter(cell => cell.type == 'code')"
)
OUTPUTS = f"{CELLS}.flatMap(cell => cell.outputs.toJSON())"
ALL_RAN = f"{CELLS}.every(cell => cell.executionCount)"
FAILED = f"{OUTPUTS}.some(output => output.output_type == 'error')"
# What is run before the kernel is there can be dropped.
IS_IDLE = (
    "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
)
# Runs the cell with these words once more, as Ctrl+Enter does.
RUN_AGAIN = """async words => {
  const notebook = jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = notebook.widgets.findIndex(
    cell => cell.model.sharedModel.getSource().includes(words));
  notebook.deselectAll();
  await jupyterapp.commands.execute('notebook:run-cell'); }"""


def run_all(window):
    """Run all cells by the menu, until each has its number or one has failed."""
    window.get_by_role("menuitem", name="Run", exact=True).click()
    window.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    window.wait_for_function(f"{ALL_RAN} || {FAILED}", timeout=PATIENCE * 1000)
    assert troubles(window) == []


def troubles(window):
    """Errors, and what was written where errors are."""
    found = window.evaluate(OUTPUTS)
    return [o for o in found if "ename" in o or o.get("name") == "stderr"]


def texts(window):
    """Everything that the cells put out, as text."""
    found = window.evaluate(OUTPUTS)
    each = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in found]
    return "\n".join("".join(text) for text in each)


def htmls(window):
    """Everything that the cells put out as HTML."""
    found = window.evaluate(OUTPUTS)
    return "\n".join("".join(o.get("data", {}).get("text/html", "")) for o in found)


def test_a_run_in_jupyterlab_asks_no_question_twice(ran, place):
    assert f"{LIMIT}/{LIMIT}" in texts(ran)  # the bar's last word
    assert f"of {LIMIT} right" in texts(ran) and "Status OK" in texts(ran)
    answers = place / "outputs" / MODEL / "answers.jsonl"
    before = answers.read_bytes()
    assert before.count(b"\n") == LIMIT
    ran.evaluate(RUN_AGAIN, "run_exam")
    assert "nothing is left to ask" in htmls(ran)
    assert troubles(ran) == [] and answers.read_bytes() == before


# Puts other words into the cell with these, and runs it, as a user does.
CHANGED = """async ([words, before, after]) => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const cells = [...notebook.model.cells];
  const at = cells.findIndex(
    cell => cell.type == 'code' && cell.sharedModel.getSource().includes(words));
  const source = cells[at].sharedModel.getSource();
  cells[at].sharedModel.setSource(source.replace(before, after));
  notebook.activeCellIndex = at;
  notebook.deselectAll();
  await jupyterapp.commands.execute('notebook:run-cell');
  return cells[at].outputs.toJSON(); }"""


def change(window, words, before, after):
    """The outputs of a cell once a user has changed it and run it again."""
    found = window.evaluate(CHANGED, [words, before, after])
    assert troubles(window) == []
    return found


@pytest.fixture(scope="module")
def explored(ran):
    """The same window once all cells of analysis.ipynb were run."""
    open_notebook(ran, "analysis")
    run_all(ran)
    return ran


def test_the_analysis_in_jupyterlab_sees_that_run(explored, place):
    assert "lab GGUF MXFP4" in texts(explored)
    assert (place / "outputs/report.html").is_file()
    found = explored.evaluate(OUTPUTS)
    assert [o for o in found if "image/png" in o.get("data", {})]
    frames = explored.locator(f"{IN_FRONT} .jp-OutputArea-output table")
    frames.first.wait_for()
    told = explored.locator(f"{IN_FRONT} .jp-OutputArea-output pre").first
    assert told.evaluate("it => getComputedStyle(it).wordBreak") == "normal"


def test_a_reader_changes_a_line_and_sees_it(explored, place):
    hue = change(explored, "sns.histplot", 'hue = "section"', 'hue = "outcome"')
    assert any("image/png" in output["data"] for output in hue)
    filtered = change(explored, "replies.section == section", "== section", "== 'A'")
    assert any("<table" in output["data"]["text/html"] for output in filtered)
    (place / "outputs/pairs.csv").unlink()
    change(explored, "export.put_table", '"pairs"', '"every_pair"')
    assert (place / "outputs/every_pair.csv").is_file()
    own = change(explored, "fig.savefig", "figsize=(6.5", "figsize=(3.5")
    assert any("image/png" in output["data"] for output in own)


# Runs all cells up to the one with these words, as Run All Above does from the next.
RUN_TO = """async words => {
  const notebook = jupyterapp.shell.currentWidget.content;
  notebook.activeCellIndex = 1 + notebook.widgets.findIndex(
    cell => cell.model.sharedModel.getSource().includes(words));
  notebook.deselectAll();
  await jupyterapp.commands.execute('notebook:run-all-above'); }"""


@pytest.fixture(scope="module")
def japanese(ran):
    """The window once analysis.ja.ipynb was run down to the scores, watched."""
    watched = Watched(ran)
    open_notebook(ran, "analysis.ja")
    ran.evaluate(RUN_TO, "read_score")
    assert troubles(ran) == []
    return watched


def test_the_japanese_analysis_in_jupyterlab(japanese):
    """Its code is that of the English one, which is run whole: here only its words."""
    said = texts(japanese.page)
    assert "問正答" in said and "of 6 right" not in said


INTO_VIEW = """async () => {
  const notebook = jupyterapp.shell.currentWidget.content;
  await notebook.scrollToItem(notebook.activeCellIndex); }"""


def test_what_a_model_wrote_is_text_in_jupyterlab_too(japanese):
    window = japanese.page
    window.evaluate(RUN_AGAIN, "{'content': [")
    window.evaluate(INTO_VIEW)
    assert troubles(window) == []
    outputs = window.locator(f"{IN_FRONT} .jp-OutputArea-output")
    shown = outputs.locator("table.mathjax_ignore td")
    shown = shown.filter(has_text="ran('script')")
    shown.wait_for()
    window.wait_for_timeout(500)  # MathJax comes after the output
    told = " ".join(shown.inner_text().split())
    assert all(" ".join(trick.split()) in told for trick in TRICKS)
    assert shown.locator("*").count() == 0 and japanese.ran == []
