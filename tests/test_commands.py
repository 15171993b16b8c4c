"""`igaku run` and its kin: as without a notebook, and with a sign of life."""

import io
import json
import os
import pty
import re
import subprocess
from contextlib import suppress

import pandas as pd
import pytest
from runs import sit
from stand_in import Answer, StandIn
from starting import IGAKU, ROOT, environment, executed
from typer.testing import CliRunner

from igaku import cli, commands, workbook
from igaku.ask.progress import Follower, Stream, bar, standing
from igaku.ask.run import questions_of, run_exam, server_of
from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.params.settings import settings_from
from igaku.study.runs import load_runs

GGUF = "lab-gguf-mxfp4"


# --- as without a notebook ------------------------------------------------------------


def asked_here(folder, limit):
    """The lab's model asked in this process, with no notebook around it."""
    settings = settings_from(model=GGUF, limit=limit, outputs_dir=str(folder))
    with server_of(settings) as server:
        server.run_exam(questions_of(settings), progress=False)


def rows_of(folder):
    (path,) = folder.glob("*/answers.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.skipif(missing_engine(GGUF) is not None, reason="llama.cpp is not here")
def test_a_run_goes_on_by_the_command_and_answers_alike(tmp_path, monkeypatch):
    one, other = tmp_path / "one", tmp_path / "other"
    asked_here(one, 6)
    first = rows_of(one)
    command = ["run", GGUF, "--limit", "12", "--outputs", str(one)]
    said, shown = executed(*IGAKU, *command)
    for limit in (6, 12):  # in the order in which the first was asked
        asked_here(other, limit)
    columns = ["problem_id", "outcome", "answer", "correct", "content", "reasoning"]
    frames = [load_runs(each)[columns] for each in (one, other)]
    pd.testing.assert_frame_equal(*frames)
    assert rows_of(one)[:6] == first and len(rows_of(one)) == 12
    manifests = [
        json.loads((folder / GGUF / "manifest.json").read_text())
        for folder in (one, other)
    ]
    settings = [m["settings"] | {"outputs_dir": "", "base_url": ""} for m in manifests]
    assert settings[0] == settings[1]
    assert manifests[0]["questions"] == manifests[1]["questions"]
    assert [len(m["sessions"]) for m in manifests] == [2, 2]

    right = sum(row["correct"] for row in rows_of(one))
    lines = [line.split() for line in said.splitlines()]
    assert lines[1][:2] == ["A", "2"]
    assert lines[7][:3] == ["all", "12", str(right)]
    assert f"{right} of 12 right" in said and "Status OK" in said
    page = one / GGUF / "run.html"
    assert said.endswith(f"{page.as_uri()}\n") and page.stat().st_size > 10_000
    assert f"{GGUF}: 12/12 asked, right {right}" in shown and "\r" not in shown

    before = rows_of(one)
    monkeypatch.setattr(workbook, "execute", lambda *told: asked_here(one, 12))
    done = CliRunner().invoke(cli.app, command)
    assert "It was finished before: nothing was asked.\n" in done.stderr
    assert rows_of(one) == before and done.stdout.endswith(f"{page.as_uri()}\n")


def test_parameters_are_read_as_yaml_and_a_slip_is_a_sentence():
    named = {"limit": 3, "exam": None}
    told = ["load=true", "seed=7", "prompt=a=b.yaml", "extra_body={top_k: 20}"]
    assert commands.parameters(named, told) == {
        "limit": 3, "load": True, "seed": 7, "prompt": "a=b.yaml",
        "extra_body": {"top_k": 20},
    }  # fmt: skip
    for slip, sentence in {
        "lmit=3": "did you mean limit",
        "limit=4": "limit is given twice",
        "model=x": "model is given twice",
        "seed": "-p seed=VALUE",
        "seed=[": "cannot be read as YAML",
        "api_key=x": "IGAKU_API_KEY",
    }.items():
        with pytest.raises(IgakuError, match=re.escape(sentence)):
            commands.parameters(named, [slip])


def refused(words, given):
    """A command that does not end well: what it said on stderr."""
    told = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    done = subprocess.run(
        [*IGAKU, *words, *told], cwd=ROOT, env=environment(), capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 1 and not done.stdout
    return done.stderr


GIVEN = {"exam": "calibration", "shots": 0, "limit": 2, "run": "r"}


def test_what_goes_wrong_in_the_notebook_is_one_sentence(tmp_path):
    answer = Answer(status=500, body={"error": "no memory"})
    with StandIn(lambda asked, n: answer) as server:
        place = {"base_url": server.base_url, "outputs_dir": str(tmp_path)}
        errors = refused(["run", "stand-in"], GIVEN | place)
    *bars, last = errors.splitlines()
    assert last.startswith("igaku: ") and "no memory" in last
    assert all(line.startswith("r: ") for line in bars)


def test_a_run_of_other_settings_is_refused_before_its_notebook_is_touched(tmp_path):
    with StandIn() as server:
        given = GIVEN | {"base_url": server.base_url, "outputs_dir": str(tmp_path)}
        settings = settings_from(model="stand-in", **given)
        folder = run_exam(settings, questions_of(settings), progress=False)
        kept = folder / "run.ipynb"
        kept.write_text("the notebook of that run")
        errors = refused(["run", "stand-in", "--max-tokens", "7"], given)
    assert "was made under other settings: max_tokens (1024, now 7)" in errors
    assert kept.read_text() == "the notebook of that run"


# --- a sign of life -------------------------------------------------------------------


def test_the_early_stop_is_told_once_it_is_near():
    blank = {"outcome": "empty", "correct": None, "completion_tokens": None}
    rows = [blank | {"seconds": 1.0}] * 3
    assert standing(rows) == "right 0, lost 3"
    assert standing(rows + rows[:1]) == "right 0, lost 4, stops early at 3 more lost"
    assert standing(rows + rows[:1], stops=False) == "right 0, lost 4"


def test_a_bar_of_many_runs_says_whose_replies_it_tells_of(tmp_path):
    with bar(io.StringIO(), total=60) as shown:
        look = Follower(shown, tmp_path / "second", before=30)
        sit(tmp_path, [True, False, True], "second")
        look()
        assert shown.n == 33 and shown.postfix.startswith("of its 3 right 2, lost 0")


def test_a_bar_whose_first_reply_took_long_ends_its_line(tmp_path):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, bar(terminal) as shown:
        look = Follower(shown, tmp_path / "run")
        sit(tmp_path, [True], "run")
        look()
    said = ""
    with suppress(OSError):  # all of it has been read
        while piece := os.read(ours, 65536):
            said += piece.decode()
    os.close(ours)
    assert said.endswith("\r\n") and "1/1 asked, right 1" in said


def test_the_page_of_replies_is_of_all_replies_there_are(tmp_path):
    sit(tmp_path, [True, False], "one")
    page = commands.page_of("replies", tmp_path)
    assert page.name == "replies.html" and "later-one" not in page.read_text("utf-8")
    sit(tmp_path, [False, True], "later-one")
    assert "later-one" in commands.page_of("replies", tmp_path).read_text("utf-8")


def test_a_bar_says_when_the_first_question_is_asked(tmp_path):
    folder = sit(tmp_path, [None], "run").folder
    (folder / "answers.jsonl").unlink()
    with bar(io.StringIO(), postfix=commands.BEGINNING) as shown:
        look = Follower(shown, folder)
        look()
        assert shown.postfix == commands.BEGINNING
        (folder / "answers.jsonl").touch()
        look()
        assert shown.postfix == "the first reply is awaited"


def test_a_stream_that_nobody_reads_holds_nothing_up():
    reader, writer = os.pipe()
    full = Stream(os.fdopen(os.dup(writer), "w"))
    for _ in range(100):  # a pipe takes some 64 kB
        full.put("x" * 1000)
    os.close(writer)
    assert len(os.read(reader, 1_000_000)) < 100_000
    os.close(reader)
    full.put("and nobody ever will")
