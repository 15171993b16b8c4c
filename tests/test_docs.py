"""The pages: their links lead somewhere, their commands exist, their examples work."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import igaku
from igaku import paths
from igaku.ask.prompt import load_prompt
from igaku.ask.run import questions_of, server_of
from igaku.cli import app
from igaku.errors import ServerUnreachable, WrongModel
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.lab.variants import quantize
from igaku.params.settings import FIELDS, settings_from
from igaku.reading.reply import read_reply
from igaku.server.client import reach
from igaku.study.recorded import import_folder
from igaku.sweep.file import read_sweep

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]),
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
]
ENGLISH = [
    page
    for page in (ROOT / "docs").glob("*.md")
    if page.name != "README.md" and not page.name.endswith(".ja.md")
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ANALYSIS = {"outputs_dir", "reference", "family", "margin", "lang"}

# What makes pages, and has to be told that they are to be in Japanese.
JAPANESE = r"papermill notebooks|make (run|sweep)\b|igaku (run|analyse|report)\b"

COMMANDS = get_command(app).commands


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request):
    return request.param


def blocks(page, language=None):
    """The code blocks of a page, those of one language or all."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    wanted = [code for _, name, code in found if language in (None, name)]
    return [textwrap.dedent(code) for code in wanted]


def neutral(codes):
    """Code as it is in either language: each names its own notebooks and pages."""
    own = re.compile(r"( LANG_=ja| --lang ja| lang=ja|(?<=\w)\.ja(?=\.ipynb))")
    return [re.sub(r" +#", " #", own.sub("", code)) for code in codes]


def lines(page):
    """The commands of a page's shell blocks, a continued line being one."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in text.splitlines()]


def columns(page):
    """How many columns each row of the tables of a page has."""
    rows = re.findall(r"^ *\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [row.count("|") for row in rows]


def anchors(page):
    """What a link may name behind `#`: the headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


# --- links ----------------------------------------------------------------------------


def test_every_relative_link_and_picture_is_there(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert file.is_relative_to(ROOT), f"{target} leads out of the checkout"
        if anchor:
            assert anchor in anchors(file), target


def test_every_page_of_docs_is_in_its_table_of_contents():
    contents = ROOT / "docs" / "README.md"
    listed = set(LINK.findall(contents.read_text(encoding="utf-8")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= listed


# --- commands and parameters ----------------------------------------------------------


def test_every_command_and_its_options_exist(page):
    for line in lines(page):
        if call := re.search(r"(?:^|[\s/])igaku (\w+)(.*)", line):
            name, rest = call.groups()
            assert name in COMMANDS, line
            known = {opt for p in COMMANDS[name].params for opt in p.opts}
            assert set(re.findall(r"(?<=\s)--[\w-]+", rest)) <= known, line


def test_every_target_of_make_exists(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))
    called = [m[1] for line in lines(page) if (m := re.match(r"make ([a-z-]+)", line))]
    for target in [*named, *called]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_parameter_and_sweep_exists(page):
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"[ `]-p (\w+)[ =]", text)) - {"name"} <= {*FIELDS, *ANALYSIS}
    own = {path.stem for path in (paths.PARAMS / "sweeps").glob("*.yaml")}
    assert set(re.findall(r"make sweep SWEEP=([\w-]+)", text)) <= own | {"mine"}


# --- two languages --------------------------------------------------------------------


def test_each_language_executes_its_own_notebooks(page):
    own = "\n".join(blocks(page, "sh"))
    if page.name == "README.md" and page.parent.name == "docs":
        return  # in both languages
    is_japanese = page.name.endswith(".ja.md")
    assert not re.search(r"LANG_=ja|--lang ja|\.ja\.ipynb", own) or is_japanese
    for line in own.splitlines():
        if is_japanese and re.search(JAPANESE, line):
            assert re.search(r"LANG_=ja|\.ja\.ipynb|--lang ja", line), line


@pytest.mark.parametrize("english", ENGLISH, ids=lambda page: page.name)
def test_both_languages_show_the_same_code_and_tables(english):
    japanese = english.with_suffix(".ja.md")
    assert neutral(blocks(english)) == neutral(blocks(japanese))
    assert columns(english) == columns(japanese)


@pytest.mark.parametrize("english", ENGLISH, ids=lambda page: page.name)
def test_both_languages_lead_to_each_other(english):
    japanese = english.with_suffix(".ja.md")
    assert japanese.name in LINK.findall(english.read_text(encoding="utf-8"))
    assert english.name in LINK.findall(japanese.read_text(encoding="utf-8"))


# --- the examples of docs/adding.md ---------------------------------------------------

ADDING = ROOT / "docs" / "adding.md"


@pytest.fixture
def examples():
    model, prompt, sweep = blocks(ADDING, "yaml")
    return {"model": model, "prompt": prompt, "sweep": sweep}


def test_the_prompt_is_one(examples, tmp_path):
    path = tmp_path / "my-prompt.yaml"
    path.write_text(examples["prompt"], encoding="utf-8")
    assert load_prompt(path).name == "careful"


def test_the_sweep_has_as_many_runs_as_the_page_says(examples, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(examples["sweep"], encoding="utf-8")
    assert "That is eight runs." in ADDING.read_text(encoding="utf-8")
    assert len(read_sweep(str(path)).jobs) == 8


def test_the_python_runs():
    (code,) = blocks(ADDING, "python")
    subprocess.run([sys.executable, "-c", code], check=True)


def checked(**parameters):
    settings = settings_from(**parameters)
    with server_of(settings) as server:
        return server.check(questions_of(settings))


@pytest.mark.skipif(
    missing_engine("lab-gguf-mxfp4") is not None, reason="llama.cpp is not here"
)
def test_the_model_is_verified_as_the_page_says(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    file = tmp_path / "tiny-gguf.yaml"
    file.write_text(examples["model"], encoding="utf-8")
    with serving("lab-gguf-mxfp4") as server:
        found = checked(model="tiny-gguf", base_url=server.base_url, limit=5)
        page = " ".join(ADDING.read_text(encoding="utf-8").split())
        assert f"*{found['weights']}*" in page and f"*{found['told_by']}*" in page
        other = re.sub(r"(_bytes: )\d+", r"\g<1>999999", examples["model"])
        file.write_text(other, encoding="utf-8")
        with pytest.raises(WrongModel, match="size"):
            checked(model="tiny-gguf", base_url=server.base_url, limit=5)


def test_the_recorded_body_reads_as_the_page_says():
    (example,) = map(json.loads, blocks(ROOT / "CONTRIBUTING.md", "json"))
    reply = read_reply(example["body"], example["status"])
    assert {name: getattr(reply, name) for name in example["reply"]} == example["reply"]


def test_the_recorded_answers_come_in_as_the_page_says(tmp_path, shared):
    (example,) = blocks(ADDING, "json")
    told = json.loads(example)
    told["details"]["strict"] = told["details"]["baseline"]
    (tmp_path / "mine_2022_A.json").write_text(json.dumps(told), encoding="utf-8")
    exam = shared / "data" / "igakuqa"
    import_folder([tmp_path / "mine_2022_A.json"], tmp_path, data_dir=exam)
    runs = igaku.runs(tmp_path).set_index("run")["label"].to_dict()
    assert runs == {
        "mine-recorded": "some/model",
        "mine-recorded-strict": "some/model (strict)",
    }


# --- mlx_lm by itself, as docs/mlx-lm.md starts it ------------------------------------


@pytest.fixture
def mlx_lm(tmp_path):
    """mlx_lm's own server on an embedded model, nothing of igaku's around it."""
    if why := missing_engine("lab-mxfp4-q8"):
        pytest.skip(why)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = quantize("lab-mxfp4-q8")
    (tmp_path / "hub").mkdir()
    command = [sys.executable, "-m", "mlx_lm", "server"]
    command += ["--model", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base_url = f"http://127.0.0.1:{port}/v1"
    try:
        await_server(base_url)
        yield base_url
    finally:
        process.kill()
        process.wait()


def await_server(base_url, seconds=90):
    end = time.monotonic() + seconds
    while True:
        try:
            return reach(base_url)
        except ServerUnreachable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_mlx_lm_answers_to_default_model_and_proves_nothing(mlx_lm):
    found = checked(
        model="default_model", slug="mlx-community-mxfp4-q8", base_url=mlx_lm,
        exam="calibration", limit=5, shots=0, max_tokens=64,
    )  # fmt: skip
    assert found["weights"] == "unverified"
    assert "says nothing of the weights" in found["why"]
    assert found["context_length"] is None
    assert found["said"] and "<|" not in found["said"]


# --- the citation ---------------------------------------------------------------------


def test_the_citation_is_of_this_version():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told.keys() >= {"cff-version", "message", "title", "authors"}
    assert told["cff-version"] == "1.2.0"
    assert told["title"] == project["name"]
    assert str(told["version"]) == project["version"]
    assert told["license"] == project["license"]
    for each in told["references"]:
        assert each.keys() >= {"type", "title", "authors"}


def test_the_changes_begin_with_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", text, re.MULTILINE)[1] == project["version"]
