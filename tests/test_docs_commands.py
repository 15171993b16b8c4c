"""Every `igaku` line of the pages, run in a new workbook against a stand-in.

What asks a whole exam or serves until it is stopped is read down to what it would do,
and done once: `igaku run` and `igaku analyse` as the README has them.
"""

import os
import re
import shlex
import subprocess
import sys

import pytest
from stand_in import StandIn
from starting import PYTHONPATH
from test_docs import ADDING, BLOCK, PAGES, ROOT, lines
from typer.testing import CliRunner

from igaku import cli, commands, paths
from igaku.params.settings import settings_from
from igaku.starter import new

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
    """A workbook with one run, analysed, made by the README's own two lines."""
    folder = tmp_path_factory.mktemp("book")
    new(folder)
    examples = [found[2] for found in BLOCK.findall(ADDING.read_text("utf-8"))]
    for name, mark in (
        ("params/tiny-gguf.yaml", "model: lab-gguf-mxfp4"),
        ("params/sweeps/mine.yaml", "models:"), ("my-prompt.yaml", "name: careful"),
    ):  # fmt: skip
        text = next(text for text in examples if f"\n{mark}" in f"\n{text}")
        text = ADDRESS.sub(server.base_url, text)
        (folder / name).write_text(text, encoding="utf-8")
    place = os.environ | {
        "PYTHONPATH": PYTHONPATH, "IGAKU_DATA": str(shared / "data/igakuqa"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }  # fmt: skip
    for line in (
        f"run openai-8bit --limit 3 --base-url {server.base_url}", "analyse",
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "igaku.cli", *line.split()],
            cwd=folder, env=place, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "file://" in done.stdout
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
