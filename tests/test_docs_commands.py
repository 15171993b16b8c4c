"""Every `igaku` line of the pages, run in a new workbook against a stand-in.

What asks a whole exam or serves until it is stopped is read down to what it would do,
and done once: `igaku run` and `igaku analyse` as the README has them.
"""

import re
import shlex
import subprocess
import sys

import pytest
from runs import sit
from stand_in import StandIn
from starting import IGAKU, environment, executed
from test_docs import ADDING, BLOCK, PAGES, ROOT, lines
from typer.testing import CliRunner

from igaku import cli, commands, paths
from igaku.errors import IgakuError
from igaku.params.settings import settings_from

OTHERS = {  # what runs them to their end
    "import": "tests/study/test_recorded.py", "rescue": "tests/test_rescue.py",
    "serve": "tests/lab/test_serve.py", "quantize": "tests/lab/test_recipes.py",
    "sweep": "tests/sweep/test_sweep.py",
}  # fmt: skip
NAMES = (
    "openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b@mxfp4", "default_model",
    "gpt-oss-20b-vllm", "gpt-oss:20b", "lab-gguf-mxfp4",
)  # fmt: skip
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/v1")


def calls():
    """The lines that call igaku, each once, without what stands before its name."""
    told = [line for page in PAGES for line in lines(page)]
    found = [re.search(r"(?:^|[\s/])igaku (\w+ ?.*)", line) for line in told]
    return sorted({" ".join(call[1].split()) for call in found if call})


@pytest.fixture(scope="module")
def server():
    with StandIn(models=NAMES) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def book(server, shared, tmp_path_factory):
    """A workbook with a run beside another, analysed, by the README's own two lines."""
    folder = tmp_path_factory.mktemp("book")
    commands.new(folder)
    examples = [found[2] for found in BLOCK.findall(ADDING.read_text("utf-8"))]
    for name, mark in (
        ("params/tiny-gguf.yaml", "model: lab-gguf-mxfp4"),
        ("params/sweeps/mine.yaml", "models:"), ("my-prompt.yaml", "name: careful"),
    ):  # fmt: skip
        text = next(text for text in examples if f"\n{mark}" in f"\n{text}")
        text = ADDRESS.sub(server.base_url, text)
        (folder / name).write_text(text, encoding="utf-8")
    sit(folder / "outputs", [True, True, False], "one")
    data = {"IGAKU_DATA": str(shared / "data/igakuqa")}
    for line, page in (
        (f"run openai-8bit --limit 3 --base-url {server.base_url}", "openai-8bit/run"),
        ("analyse", "analysis"),
    ):  # fmt: skip
        said, _ = executed(*IGAKU, *line.split(), cwd=folder, **data)
        made = folder / f"outputs/{page}.html"
        assert said.splitlines()[-1] == made.as_uri()
    assert said.count("\n") == 1  # of the analysis
    return folder


@pytest.fixture
def inside(book, shared, monkeypatch):
    """This process, as if it had been started in the workbook."""
    monkeypatch.chdir(book)
    monkeypatch.setenv("IGAKU_DATA", str(shared / "data/igakuqa"))
    monkeypatch.setenv("BROWSER", "true")
    for name in ("ROOT", "READ", "WORKBOOK"):
        monkeypatch.setattr(paths, name, book)
    for name in ("params", "notebooks", "outputs"):
        monkeypatch.setattr(paths, name.upper(), book / name)
    return book


# --- what the two lines left ----------------------------------------------------------


def test_analyse_and_report_write_what_the_notebook_writes(inside):
    folder = inside / "outputs"
    for name in ("analysis.html", "report.html", "index.html"):
        assert (folder / name).stat().st_size > 2_000
    by_notebook = (folder / "report.md").read_bytes()
    (folder / "report.md").unlink()
    done = CliRunner().invoke(cli.app, ["report", str(folder)])
    assert done.stdout == f"{(folder / 'report.html').as_uri()}\n"
    assert (folder / "report.md").read_bytes() == by_notebook


def test_open_finds_a_page_by_its_name_and_says_where_it_is(book, tmp_path):
    folder = book / "outputs"
    assert commands.page_of(None, folder) == folder / "report.html"
    for name in ("index", "replies"):
        assert commands.page_of(name, folder) == folder / f"{name}.html"
    with pytest.raises(IgakuError, match="did you mean analysis"):
        commands.page_of("analyses", folder)
    with pytest.raises(IgakuError, match="igaku analyse"):
        commands.page_of("report", tmp_path)
    with pytest.raises(IgakuError, match="igaku run"):
        commands.page_of("report", tmp_path / "nowhere")
    told = {n: v for n, v in environment(BROWSER="true").items() if n not in SCREENS}
    words = [*IGAKU, "open", "--outputs", folder]
    done = subprocess.run(map(str, words), env=told, capture_output=True, text=True)
    assert done.stdout == f"{(folder / 'report.html').as_uri()}\n"
    assert ("No browser was found" in done.stderr) == (sys.platform != "darwin")


SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS opens its own browser")
def test_open_opens_the_browser_where_there_is_one(book, tmp_path):
    folder = book / "outputs"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    words = [*IGAKU, "open", "analysis", "--outputs", folder]
    said, errors = executed(*words, DISPLAY=":9", BROWSER=str(browser))
    assert not errors
    assert (tmp_path / "opened").read_text() == said


# --- every line -----------------------------------------------------------------------


def words_of(line, server):
    """A line's words, at the stand-in, with names for what the page leaves open."""
    line = ADDRESS.sub(server.base_url, line).replace("NAME", "gpt-oss-20b-vllm")
    words = shlex.split(line)
    takes = ("models", "card", "check", "run")
    own = words[0] in takes and "--base-url" not in words
    return words + (["--base-url", server.base_url] if own else [])


def test_the_pages_call_every_command_that_a_newcomer_needs():
    named = {line.split()[0] for line in calls()}
    assert named >= {"run", "analyse", "open", "models", "card", "check", "new"}
    assert all((ROOT / file).exists() for file in OTHERS.values())


@pytest.mark.parametrize("line", calls())
def test_a_line_of_the_pages_runs(line, server, inside, monkeypatch):
    words = words_of(line, server)
    told = []
    for name in ("run", "analyse"):
        monkeypatch.setattr(
            commands, name, lambda *given: told.append(given) or inside / "page.html"
        )
    if words[0] in OTHERS and "--status" not in words:
        words = [words[0], "--help"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, (line, done.output, done.exception)
    if words[0] == "run":
        ((model, named, more, lang),) = told
        given = commands.parameters(named, more)
        settings = settings_from(model=model, **given)
        assert settings.base_url == server.base_url
        assert lang == ("ja" if "--lang ja" in line else "en")
